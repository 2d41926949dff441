"""What passes between the two ends of a link, seen by an agent made of raw bytes: order, credit, and ends.

The visitor's side is a real visitor, the agent's side sends frames by hand, so what the server does with each of them
can be told apart from what our own agent would have made of it.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.support import shell_raw as raw
from tests.support.shell_raw import ACK, CONTROL, DATA, FIN, PING, RST, SYN, UPDATE, RawAgent, data, header, raw_agent
from tests.support.shell_visitor import get, post, visitor
from tests.support.shell_world import PATIENCE, World, world

from tunnel.core.base.limits import Limits
from tunnel.observe.events import ExchangeDone, SessionEnded

pytestmark = pytest.mark.anyio

LIMITS: Final = Limits(grace_seconds=5.0)
WINDOW: Final = 262_144
CONNECTED: Final = b"\x01\x00"
BODY: Final = b"b" * 200_000
WHOLE: Final = CONNECTED + b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + BODY


async def stream_of(agent: RawAgent) -> int:
    """The number of the next stream of a visitor, once its request is there."""
    return (await agent.frame_of(DATA, stream=-1))[2]


@asynccontextmanager
async def narrow_agent(running: World) -> AsyncIterator[RawAgent]:
    """An agent whose machine takes no more than some kilobytes ahead of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.connect((running.agents.host, running.agents.port))
    context = raw.trusting(running, alpn=["tunnel/1"])
    reader, writer = await asyncio.open_connection(
        sock=sock, ssl=context, server_hostname=running.agents.host, limit=16_384
    )
    try:
        yield RawAgent(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.mark.shows("OPS-RUN-001")
@pytest.mark.bug("A11", "A6")
async def test_an_answer_followed_by_the_end_of_the_link_arrives_whole(state: Path) -> None:
    """In one write: the answer, its FIN and the TLS goodbye; the visitor may not lose a byte of it."""
    async with world(state, LIMITS) as running, visitor(running) as one:
        async with raw_agent(running) as agent:
            await agent.login(running.token())
            await one.send(get(running))
            stream = (await agent.frame_of(DATA, stream=2))[2]
            agent.writer.write(data(stream, WHOLE, FIN))
            agent.writer.close()
            await running.log.next(SessionEnded)
        answer = await one.answer()
        assert (answer.status, answer.body) == (200, BODY)
        assert (await running.log.next(ExchangeDone)).outcome == "ok"


@pytest.mark.shows("OPS-RUN-006")
@pytest.mark.bug("A5", "A14")
async def test_an_upload_goes_as_far_as_the_window_and_on_with_each_update(state: Path) -> None:
    async with world(state, LIMITS) as running, raw_agent(running) as agent, visitor(running) as one:
        await agent.login(running.token())
        upload = b"u" * 1_000_000
        sending = asyncio.create_task(one.send(post(running, upload)))
        got = b""
        while len(got) < WINDOW:
            frame = await agent.frame_of(DATA, stream=2)
            got += frame[4]
        assert len(got) == WINDOW
        await agent.send(data(2, CONNECTED))
        while not got.endswith(upload[-1000:]) or got.count(b"u") < len(upload):
            await agent.send(header(UPDATE, 0, 2, 100_000))
            wanted = len(got) + 100_000
            while len(got) < wanted and got.count(b"u") < len(upload):
                got += (await agent.frame_of(DATA, stream=2))[4]
        await sending
        await agent.send(data(2, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        assert (await one.answer()).status == 200


@pytest.mark.bug("A4", "A5")
async def test_an_upload_that_the_agent_does_not_take_ends_with_an_answer_and_a_reset(state: Path) -> None:
    """The stream's queue is full for longer than the limit, while the link itself lives on with its heartbeats."""
    limits = replace(LIMITS, response_head_seconds_max=0.3)
    async with world(state, limits) as running, raw_agent(running) as agent, visitor(running) as one:
        await agent.login(running.token())
        sending = asyncio.create_task(one.send(post(running, b"u" * 3_000_000)))
        await agent.frame_of(DATA, stream=2)
        await agent.send(data(2, CONNECTED))
        await agent.frame_of(UPDATE, RST, stream=2)
        answer = await one.answer()
        assert answer.status == 504
        assert b"local-stalled" in answer.body
        sending.cancel()
        await asyncio.wait([sending])
        assert running.log.all(SessionEnded) == []


@pytest.mark.bug("A5")
async def test_an_agent_that_ends_its_side_and_takes_no_more_of_the_upload_gets_a_reset(state: Path) -> None:
    async with world(state, LIMITS) as running, raw_agent(running) as agent, visitor(running) as one:
        await agent.login(running.token())
        sending = asyncio.create_task(one.send(post(running, b"u" * 3_000_000)))
        await agent.frame_of(DATA, stream=2)
        await agent.send(data(2, CONNECTED + b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", FIN))
        await agent.frame_of(UPDATE, RST, stream=2)
        answer = await one.answer()
        assert (answer.status, answer.body) == (403, b"no")
        sending.cancel()
        await asyncio.wait([sending])


@pytest.mark.shows("OPS-RUN-011")
@pytest.mark.bug("A18")
async def test_a_ping_is_answered_in_the_middle_of_big_writes(state: Path) -> None:
    """Eight uploads fill the link to an agent whose machine takes little; its ping overtakes most of what waits.

    It waits behind what our transport and the kernel already have, and the kernel is kept from taking more than it can
    send: by itself it would have all eight (TCP_NOTSENT_LOWAT).
    """
    async with world(state, LIMITS) as running, narrow_agent(running) as agent, AsyncExitStack() as stack:
        await agent.login(running.token())
        for _ in range(8):
            one = await stack.enter_async_context(visitor(running))
            one.writer.write(post(running, b"u" * WINDOW))
        total = 0
        while total < WINDOW:
            total += (await agent.frame_of(DATA))[3]
        await agent.send(header(PING, SYN, 0, 77))
        while True:
            kind, flags, _, length, _ = await agent.frame()
            total += length if kind == DATA else 0
            if kind == PING and flags & ACK:
                break
        assert total < 3 * WINDOW
        # What the windows allow of the rest arrives, too.
        while total < 8 * WINDOW - 8192:
            total += (await agent.frame_of(DATA))[3]


@pytest.mark.shows("OPS-RUN-006")
@pytest.mark.bug("A22")
async def test_a_visitor_that_stalls_holds_up_no_other_on_its_link(state: Path) -> None:
    """The first stream has used its whole window and gets no more; fifty others pass by it."""
    async with world(state, LIMITS) as running, raw_agent(running) as agent, visitor(running) as stalled:
        await agent.login(running.token())
        sock = stalled.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await stalled.send(get(running))
        await agent.frame_of(DATA, stream=2)
        head = CONNECTED + b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
        await agent.send(data(2, head + b"x" * (WINDOW - len(head))))
        for number in range(4, 104, 2):
            async with visitor(running) as one:
                await one.send(get(running))
                await agent.frame_of(DATA, stream=number)
                await agent.send(data(number, WHOLE, FIN))
                assert (await one.answer()).body == BODY
        assert stalled.reader.at_eof() is False


@pytest.mark.bug("A20", "A8")
async def test_an_agent_that_never_acknowledges_a_stream_is_served_all_the_same(state: Path) -> None:
    """Any frame of the stream stands for the ACK; streams that come and go leave nothing on either side."""
    async with world(state, LIMITS) as running, raw_agent(running) as agent, visitor(running) as one:
        await agent.login(running.token())
        for _ in range(300):
            await one.send(post(running, b""))
            stream = await stream_of(agent)
            assert stream != CONTROL
            await agent.send(data(stream, CONNECTED + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
            assert (await one.answer()).status == 200


async def test_a_link_whose_bytes_come_one_by_one_works(state: Path) -> None:
    async with world(state, LIMITS) as running, visitor(running) as one:
        context = raw.trusting(running, alpn=["tunnel/1"])
        assert context.minimum_version <= ssl.TLSVersion.TLSv1_3
        async with raw_agent(running) as agent:
            for byte in raw.hello(running.token()):
                await agent.send(bytes([byte]))
            await agent.frame_of(DATA, stream=CONTROL)
            for byte in raw.expose("demo"):
                await agent.send(bytes([byte]))
            heard = b""
            while b"demo" not in heard:
                heard += (await agent.frame_of(DATA, stream=CONTROL))[4]
            await one.send(get(running))
            await agent.frame_of(DATA, stream=2)
            for byte in data(2, CONNECTED + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"):
                await agent.send(bytes([byte]))
            async with asyncio.timeout(PATIENCE):
                assert (await one.answer()).body == b"ok"
