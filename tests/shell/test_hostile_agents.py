"""What the agents' port does with everything that is no agent of ours: it ends that one connection and nothing else.

A world always has an honest agent beside the hostile one; at the end of each test a visitor asks it. The rest is said
by `world`: no socket, no task, no complaint is left; and the fixture of all tests says that nothing reached a guard.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.support import shell_raw as raw
from tests.support.shell_local import hello, serving
from tests.support.shell_raw import ACK, AWAY, CONTROL, DATA, FIN, PING, RST, SYN, UPDATE, data, header, raw_agent
from tests.support.shell_visitor import fetched, get, visitor
from tests.support.shell_world import LOOPBACK, PATIENCE, World, minted, until, world

from tunnel.core.base.ids import EndpointId
from tunnel.core.base.limits import Limits
from tunnel.core.link.codec import encode_message
from tunnel.core.link.messages import Withdraw
from tunnel.core.link.preface import StreamReply, encode_reply
from tunnel.core.token.codec import MINTED_BYTES
from tunnel.core.token.token import TOKEN_BYTES
from tunnel.drive.transport import stream_transport
from tunnel.observe.events import LinkRefused, SessionEnded, SessionOpened

pytestmark = pytest.mark.anyio

LIMITS: Final = Limits(grace_seconds=5.0)
HASTY: Final = replace(LIMITS, handshake_seconds_max=0.2)


@asynccontextmanager
async def honest(state: Path, limits: Limits = LIMITS) -> AsyncIterator[World]:
    """A world whose honest agent serves `honest` before and after."""
    # The honest agent has the usual patience: only the hostile one is to be hurried.
    async with (
        serving(hello) as local,
        world(state, limits) as running,
        running.agent(local.address, "honest", limits=LIMITS) as agent,
    ):
        yield running
        assert (await fetched(running, "/still", "honest")).body == b"GET /still HTTP/1.1"
        assert not agent.task.done()


async def dropped(reader: asyncio.StreamReader) -> None:
    """Return once the server has closed."""
    async with asyncio.timeout(PATIENCE):
        try:
            while await reader.read(1 << 16):
                pass
        except OSError:
            pass


@asynccontextmanager
async def plain(running: World) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection to the agents' port."""
    reader, writer = await asyncio.open_connection(running.agents.host, running.agents.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


GARBAGE: Final = [
    b"\x00" * 4096,
    b"\x16\x03\x01\x40\x00" + b"\xff" * 0x4000,
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    b"SSH-2.0-x\r\n",
]


@pytest.mark.shows("OPS-ADMIT-008", "OPS-ADMIT-010")
@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_instead_of_tls_is_dropped_and_named(state: Path, garbage: bytes) -> None:
    async with honest(state) as running, plain(running) as (reader, writer):
        writer.write(garbage)
        writer.write_eof()
        await dropped(reader)
        refused = await running.log.next(LinkRefused)
        assert refused.code == "no-tls"
        assert refused.peer.startswith(LOOPBACK)


@pytest.mark.shows("OPS-ADMIT-005")
@pytest.mark.bug("B4")
@pytest.mark.parametrize("begin", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
async def test_a_handshake_that_does_not_go_on_is_dropped_at_its_deadline(state: Path, begin: bytes) -> None:
    async with honest(state, HASTY) as running, plain(running) as (reader, writer):
        writer.write(begin)
        await dropped(reader)
        assert (await running.log.next(LinkRefused)).code == "no-tls"


@pytest.mark.shows("OPS-ADMIT-005")
@pytest.mark.bug("B4")
@pytest.mark.parametrize("words", [b"", header(UPDATE, SYN, CONTROL, 0), raw.half_a_hello()])
async def test_an_agent_that_never_finishes_its_hello_is_dropped_at_the_same_deadline(
    state: Path, words: bytes
) -> None:
    """The deadline began when TCP was accepted; TLS does not start it anew, pings do not keep it off."""
    async with honest(state, HASTY) as running, raw_agent(running) as agent:
        await agent.send(words)
        await agent.send(header(PING, SYN, 0, 7))
        frames = await agent.all_frames()
        assert (PING, ACK, 0, 7, b"") in frames
        assert (await running.log.next(LinkRefused)).code == "too-slow"


@pytest.mark.shows("LINK-TLS-002")
@pytest.mark.parametrize("alpn", ["", "http/1.1"])
async def test_a_tls_client_that_does_not_offer_tunnel_is_a_visitor(state: Path, alpn: str) -> None:
    """Even if all it says afterwards were a perfect hello."""
    async with honest(state) as running, raw_agent(running, alpn) as agent:
        await agent.send(raw.hello(running.token()) + raw.expose("demo"))
        assert (await agent.reader.read()).startswith(b"HTTP/1.1 400 ")
        assert len(running.log.all(SessionOpened)) == 1


@pytest.mark.shows("TLS-ARRIVE-003")
async def test_a_tls_client_that_offers_neither_protocol_gets_the_alert_for_it(state: Path) -> None:
    async with honest(state) as running:
        with pytest.raises(ssl.SSLError, match="no application protocol"):
            await raw_agent(running, "tunnel/2").__aenter__()
        assert (await running.log.next(LinkRefused)).code == "no-tls"


@pytest.mark.shows("LINK-TLS-001")
async def test_a_client_of_tls_1_2_is_dropped(state: Path) -> None:
    async with honest(state) as running:
        context = raw.trusting(running, alpn=["tunnel/1"])
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(running.agents.host, running.agents.port, ssl=context)
        assert (await running.log.next(LinkRefused)).code == "no-tls"


def forged(token: bytes) -> bytes:
    """The last byte of the signature changed."""
    end = MINTED_BYTES - 1
    return token[:end] + bytes([token[end] ^ 1]) + token[MINTED_BYTES:]


@pytest.mark.shows("OPS-ADMIT-008")
@pytest.mark.parametrize("flaw", ["malformed", "bad-signature", "expired", "unknown-key"])
async def test_a_token_that_does_not_hold_gets_its_reason_and_nothing_else(
    state: Path, tmp_path: Path, flaw: str
) -> None:
    async with honest(state) as running:
        token = {
            "malformed": b"\x09" + running.token()[1:],
            "bad-signature": forged(running.token()),
            "expired": running.token(seconds=-10),
            "unknown-key": minted(tmp_path / "other"),
        }[flaw]
        async with raw_agent(running) as agent:
            await agent.send(raw.hello(token))
            frames = await agent.all_frames()
            said = b"".join(frame[4] for frame in frames if frame[0] == DATA)
            assert said[2:3] == b"\x82"  # Refused, and not a word after it
            refused = await running.log.next(LinkRefused)
            assert refused.code == flaw
            assert refused.detail.encode() in said
            assert len(running.log.all(LinkRefused)) == 1
        assert (await fetched(running)).status == 404


LIES: Final = {
    "unknown version": header(DATA, 0, CONTROL, 0, version=1),
    "unknown kind": header(9, 0, CONTROL, 0),
    "data on stream 0": data(0, b"x"),
    "ping on a stream": header(PING, SYN, 5, 0),
    "endless frame": header(DATA, 0, CONTROL, 0xFFFF_FFFF),
    "more than the window": header(DATA, 0, CONTROL, 262_145) + b"x" * 262_145,
    "window overflow": header(UPDATE, 0, CONTROL, 0xFFFF_FFFF) + header(UPDATE, 0, CONTROL, 0xFFFF_FFFF),
    "reopened stream": header(UPDATE, SYN, CONTROL, 0),
    "even id": header(UPDATE, SYN, 2, 0),
    "data with syn beyond the window": header(DATA, SYN, 3, 262_145),
}


@pytest.mark.shows("OPS-ADMIT-008")
@pytest.mark.bug("A1", "A2")
@pytest.mark.parametrize("lie", LIES)
async def test_an_agent_that_lies_about_frames_is_told_and_dropped(state: Path, lie: str) -> None:
    """After a valid hello; its visitor gets an answer, and the last frame that leaves is GOAWAY 1."""
    async with honest(state) as running, raw_agent(running) as agent, visitor(running) as one:
        await agent.login(running.token())
        await one.send(get(running))
        await agent.frame_of(DATA, stream=2)
        await agent.send(LIES[lie])
        frames = await agent.all_frames()
        assert frames[-1] == (AWAY, 0, 0, 1, b"")
        answer = await one.answer()
        assert answer.status == 502
        assert b"link-lost" in answer.body
        assert (await running.log.next(SessionEnded)).reason


WORDS: Final = {
    "an unknown message": b"\x00\x01\x7f",
    "a message too long": b"\xff\xff\x02",
    "a second hello": raw.hello(b"t" * TOKEN_BYTES)[24:],
    "a withdrawal of nothing": encode_message(Withdraw(EndpointId(9))),
}


@pytest.mark.shows("OPS-ADMIT-008")
@pytest.mark.parametrize("words", WORDS)
async def test_an_agent_that_speaks_out_of_turn_is_refused_and_dropped(state: Path, words: str) -> None:
    async with honest(state) as running, raw_agent(running) as agent:
        await agent.login(running.token())
        await agent.send(data(CONTROL, WORDS[words]))
        said = b"".join(frame[4] for frame in await agent.all_frames() if frame[0] == DATA)
        assert said[2:3] == b"\x82"
        assert (await running.log.next(LinkRefused)).code == "protocol"


@pytest.mark.shows("OPS-ADMIT-008")
@pytest.mark.bug("A19")
async def test_streams_that_an_agent_opens_are_reset_and_only_the_first_is_read(state: Path) -> None:
    async with honest(state) as running, raw_agent(running) as agent:
        await agent.login(running.token())
        for stream in range(3, 403, 2):
            await agent.send(header(UPDATE, SYN, stream, 0) + data(stream, b"listen to me"))
        resets = {(await agent.frame_of(UPDATE, RST))[2] for _ in range(200)}
        assert resets == set(range(3, 403, 2))
        assert (await fetched(running, name="honest")).status == 200


@pytest.mark.shows("OPS-ADMIT-008")
@pytest.mark.bug("A3")
async def test_an_agent_that_asks_and_does_not_read_is_dropped(state: Path) -> None:
    """Pings whose answers it never takes: the answers are bounded, and so is what we hold for it."""
    limits = replace(LIMITS, control_frames_max=64)
    async with honest(state, limits) as running, raw_agent(running) as agent:
        await agent.login(running.token())
        transport = stream_transport(agent.writer.transport)
        transport.pause_reading()
        pings = b"".join(header(PING, SYN, 0, number) for number in range(2000))
        ended = asyncio.ensure_future(running.log.next(SessionEnded))
        while not ended.done() and not transport.is_closing():
            agent.writer.write(pings)
            await asyncio.wait([ended], timeout=0.01)
        assert "read" in (await ended).reason


@pytest.mark.shows("OPS-ADMIT-008")
@pytest.mark.bug("A3")
async def test_an_agent_that_asks_for_names_and_does_not_take_the_answers_is_dropped(state: Path) -> None:
    """It never widens the window of the control stream, so what we say stays with us, up to a limit."""
    limits = replace(LIMITS, link_output_bytes_max=8 * 1024, stream_queue_bytes=16 * 1024)
    async with honest(state, limits) as running, raw_agent(running) as agent:
        await agent.login(running.token("other"))
        ended = asyncio.ensure_future(running.log.next(SessionEnded))
        reading = asyncio.create_task(agent.all_frames())
        endpoint = 1
        while not ended.done():
            asked = b"".join(raw.expose("not-permitted", endpoint + more) for more in range(1, 257))
            endpoint += 256
            agent.writer.write(asked)
            await asyncio.wait([ended], timeout=0.005)
        await reading
        assert (await running.log.next(LinkRefused)).code == "protocol"


@pytest.mark.bug("A7")
@pytest.mark.parametrize("how", ["end", "reset", "close"])
async def test_an_agent_without_its_control_stream_is_none(state: Path, how: str) -> None:
    async with honest(state) as running, raw_agent(running) as agent, visitor(running) as one:
        await agent.login(running.token())
        await one.send(get(running))
        await agent.frame_of(DATA, stream=2)
        if how == "close":
            agent.writer.transport.abort()
        else:
            await agent.send(header(UPDATE, FIN if how == "end" else RST, CONTROL, 0))
        assert (await one.answer()).status == 502
        assert (await running.log.next(SessionEnded)).session == 2
        assert (await fetched(running)).status == 503


@pytest.mark.bug("D", "A12")
@pytest.mark.parametrize(
    ("reply", "code"),
    [(b"\x01\x01", b"local-refused"), (b"\x01\x06", b"local-overloaded"), (b"\x07\x00", b"link-broke-protocol")],
)
async def test_what_an_agent_replies_on_a_stream_becomes_the_answer(state: Path, reply: bytes, code: bytes) -> None:
    async with honest(state) as running, raw_agent(running) as agent, visitor(running) as one:
        await agent.login(running.token())
        await one.send(get(running))
        await agent.frame_of(DATA, stream=2)
        await agent.send(data(2, reply + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        answer = await one.answer()
        assert answer.status in {502, 503}
        assert code in answer.body
        # Late bytes for the stream that was left are nothing to make a fuss of.
        await agent.send(data(2, b"late"))
        await one.send(get(running))
        assert (await agent.frame_of(DATA, stream=4))[4]


@pytest.mark.bug("A5")
@pytest.mark.shows("RELAY-BODY-008")
async def test_a_stream_left_by_fin_is_reset_when_its_peer_goes_on(state: Path) -> None:
    """The answer is out before its request is whole; the rest of the request is passed on, and then nobody listens."""
    async with honest(state) as running, raw_agent(running) as agent, visitor(running) as one:
        await agent.login(running.token())
        await one.send(b"POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 4\r\n\r\nab")
        await agent.frame_of(DATA, stream=2)
        connected = encode_reply(StreamReply.CONNECTED)
        await agent.send(data(2, connected + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        assert (await one.answer()).status == 200
        await one.send(b"cd")
        while not (await agent.frame())[1] & FIN:
            pass
        await agent.send(data(2, b"and on it goes"))
        assert (await agent.frame_of(UPDATE, flags=RST, stream=2))[2] == 2


@pytest.mark.shows("OPS-SHUT-004")
@pytest.mark.bug("B4")
async def test_a_peer_that_answers_no_goodbye_is_dropped_all_the_same(state: Path) -> None:
    """TLS would wait half a minute for its close_notify; the names are free at once and the socket soon after."""
    limits = replace(LIMITS, goodbye_seconds_max=0.2)
    async with honest(state, limits) as running, raw_agent(running) as agent:
        await agent.login(running.token())
        stream_transport(agent.writer.transport).pause_reading()
        sock: socket.socket = agent.writer.get_extra_info("socket")
        await agent.send(header(9, 0, 0, 0))
        await running.log.next(SessionEnded)
        assert (await fetched(running)).status == 503

        def is_reset() -> bool:
            return sock.fileno() < 0 or sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0 or _peer_is_gone(sock)

        await until(is_reset)
        assert is_reset()


def _peer_is_gone(sock: socket.socket) -> bool:
    """Whether the kernel has seen the other side's FIN or RST: TCP_INFO's first byte is the state, 1 is established."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1
