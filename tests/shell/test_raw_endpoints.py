"""TCP and TLS endpoints with real sockets: bytes, ends and breaks pass as they are, and TLS is never opened on the way.

`world` says at the end that no socket, task or timer is left.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.shell.test_tls_port import leaf, new_authority
from tests.support.ports import free_ports
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_visitor import Visitor, fetched
from tests.support.shell_world import LOOPBACK, PATIENCE, RunningAgent, World, address_of, until, world
from tests.support.tls_client import secure_visitor, trusting

from tunnel.agent.end import NotAuthorised, PortDenied
from tunnel.cli.build import core_mode
from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Success, error_of
from tunnel.core.relay.pipe import Pipe
from tunnel.core.token.token import EndpointKind
from tunnel.drive.address import Address
from tunnel.observe.events import AgentReady, ConnectionDone, LinkRefused, LocalUnreachable

pytestmark = pytest.mark.anyio

LIMITS: Final = Limits(grace_seconds=5.0, reconnect_seconds_min=0.02, reconnect_seconds_max=0.1)
TCP, TLS = EndpointKind.TCP, EndpointKind.TLS


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Visitor]:
    """A connection to a tcp:// address, whose host is this machine."""
    reader, writer = await asyncio.open_connection(LOOPBACK, address_of(url.removeprefix("tcp://")).port)
    try:
        yield Visitor(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def echo(connection: Connection) -> None:
    """Sends back what comes, and its end after the visitor's."""
    while data := await connection.reader.read(1 << 16):
        await connection.send(data)


async def greeting(connection: Connection) -> None:
    """Speaks first, ends its side, and keeps what it hears until the visitor ends."""
    await connection.send(b"hello")
    connection.writer.write_eof()
    connection.service.heads.append(await connection.until_ended())


async def is_refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # let in by the queue of a socket that was closed then
        return False
    writer.transport.abort()
    return False


@pytest.mark.shows("OPS-RAW-001", "ROUTE-PORT-002")
async def test_a_tcp_service_is_reached_at_its_port(state: Path) -> None:
    ports = free_ports(2)
    async with (
        serving(echo) as local,
        world(state, LIMITS, tcp_ports=ports) as running,
        running.agent(local.address, kind=TCP, port=ports.high) as agent,
    ):
        url = (await agent.log.next(AgentReady)).url
        assert url == f"tcp://localhost:{ports.high}"
        async with calling(url) as one, calling(url) as other:
            body = bytes(range(256)) * 4000
            await asyncio.gather(one.send(body), other.send(b"x"))
            assert await other.exactly(1) == b"x"
            assert await one.exactly(len(body)) == body
            one.end()
            assert await one.to_the_end() == b""
        done = await running.log.next(ConnectionDone)
        assert (done.name, done.kind, done.outcome) == ("demo", "tcp", "ok")
        assert (done.bytes_up, done.bytes_down, done.peer) == (len(body), len(body), LOOPBACK)
        assert (await fetched(running)).status == 421


@pytest.mark.shows("OPS-RAW-002")
@pytest.mark.bug("B7")
async def test_each_side_may_end_alone(state: Path) -> None:
    async with (
        serving(greeting) as local,
        world(state, LIMITS, tcp_ports=free_ports(1)) as running,
        running.agent(local.address, kind=TCP) as agent,
        calling((await agent.log.next(AgentReady)).url) as one,
    ):
        assert await one.to_the_end() == b"hello"
        await one.send(b"and still I speak")
        one.end()
        assert (await running.log.next(ConnectionDone)).outcome == "ok"
        await until(lambda: bool(local.heads))
        assert local.heads == [b"and still I speak"]


@pytest.mark.shows("OPS-RAW-003")
async def test_a_reset_of_the_visitor_is_a_reset_of_the_service(state: Path) -> None:
    seen: list[str] = []

    async def told(connection: Connection) -> None:
        await connection.send(b"go")
        try:
            await connection.reader.read()
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")

    async with (
        serving(told) as local,
        world(state, LIMITS, tcp_ports=free_ports(1)) as running,
        running.agent(local.address, kind=TCP) as agent,
    ):
        async with calling((await agent.log.next(AgentReady)).url) as one:
            assert await one.exactly(2) == b"go"
            one.reset()
        assert (await running.log.next(ConnectionDone)).outcome == "visitor-left"
        await until(lambda: bool(seen))
        assert seen == ["reset"]


@pytest.mark.shows("OPS-RAW-003")
async def test_a_reset_of_the_service_is_a_reset_of_the_visitor(state: Path) -> None:
    async def breaks(connection: Connection) -> None:
        await connection.reader.readexactly(2)
        connection.reset()

    async with (
        serving(breaks) as local,
        world(state, LIMITS, tcp_ports=free_ports(1)) as running,
        running.agent(local.address, kind=TCP) as agent,
        calling((await agent.log.next(AgentReady)).url) as one,
    ):
        await one.send(b"go")
        with pytest.raises(ConnectionResetError):
            await one.read()
        assert (await running.log.next(ConnectionDone)).outcome == "local-closed-early"


@pytest.mark.shows("OPS-RAW-003")
async def test_without_a_service_the_visitor_is_reset(state: Path) -> None:
    async with (
        world(state, LIMITS, tcp_ports=free_ports(1)) as running,
        running.agent(Address(LOOPBACK, free_ports(1).low), kind=TCP) as agent,
        calling((await agent.log.next(AgentReady)).url) as one,
    ):
        with pytest.raises(ConnectionResetError):
            await one.read()
        assert (await running.log.next(ConnectionDone)).outcome == "local-refused"
        await agent.log.next(LocalUnreachable)


@pytest.mark.shows("OPS-RAW-004")
async def test_a_visitor_that_does_not_read_makes_the_service_wait(state: Path) -> None:
    total = 48 * 1024 * 1024
    sent = 0

    async def pours(connection: Connection) -> None:
        nonlocal sent
        piece = b"p" * (1 << 18)
        while sent < total:
            await connection.send(piece)
            sent += len(piece)

    async with (
        serving(pours) as local,
        world(state, LIMITS, tcp_ports=free_ports(1)) as running,
        running.agent(local.address, kind=TCP) as agent,
        calling((await agent.log.next(AgentReady)).url) as one,
    ):
        assert await one.exactly(1) == b"p"
        before = -1
        while before != sent:  # it goes as far as buffers and windows reach, and stands still there
            before = sent
            await asyncio.sleep(0.2)
        assert sent < total
        received = 1
        while part := await one.read(1 << 20):
            received += len(part)
        assert received == total


# Ports.


@pytest.mark.shows("ROUTE-PORT-002", "OPS-RAW-005")
async def test_a_port_is_granted_as_asked_or_denied_with_a_reason(state: Path) -> None:
    ports = free_ports(2)
    async with serving(hello) as local, world(state, LIMITS, tcp_ports=ports) as running:
        async with running.agent(local.address, "one", kind=TCP, port=ports.low):
            async with running.agent(local.address, "two", kind=TCP, port=ports.low, is_ready=False) as two:
                ended = await two.end()
                detail = f"Port {ports.low} is taken; choose another, or none."
                assert ended == Failure(PortDenied(ports.low, detail))
            async with running.agent(local.address, "two", kind=TCP, port=80, is_ready=False) as two:
                assert await code_of(two) == "no-port"
            async with running.agent(local.address, "two", kind=TCP) as two:
                assert (await two.log.next(AgentReady)).url.endswith(f":{ports.high}")
        await until_refused(ports.low)
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        running.agent(local.address, kind=TCP, is_ready=False) as one,
    ):
        assert await code_of(one) == "unsupported-kind"


async def code_of(agent: RunningAgent) -> str:
    """The code with which the server said no."""
    ended = await agent.end()
    assert not isinstance(ended, Success)
    refused = error_of(ended)
    assert isinstance(refused, NotAuthorised)
    return refused.code


async def until_refused(port: int) -> None:
    """Return once nobody listens there."""
    async with asyncio.timeout(PATIENCE):
        while not await is_refused(port):
            pass


@pytest.mark.shows("ROUTE-PORT-004", "OPS-RAW-005")
async def test_an_agent_that_comes_back_finds_its_port(state: Path) -> None:
    ports = free_ports(3)
    async with serving(echo) as local, world(state, LIMITS, tcp_ports=ports) as running:
        async with running.agent(local.address, "first", kind=TCP) as agent:
            url = (await agent.log.next(AgentReady)).url
        await until_refused(ports.low)
        async with running.agent(local.address, "second", kind=TCP, token=foreign(running)) as other:
            assert (await other.log.next(AgentReady)).url != url
            async with running.agent(local.address, "first", kind=TCP) as agent:
                assert (await agent.log.next(AgentReady)).url == url
                async with calling(url) as one:
                    await one.send(b"x")
                    assert await one.exactly(1) == b"x"


def foreign(running: World) -> bytes:
    """A token of another account."""
    return running.token(account=b"z" * 16, kinds=(TCP,))


@pytest.mark.shows("ROUTE-PORT-003", "OPS-BEAT-004")
async def test_a_newer_agent_takes_the_port_over_without_closing_it(state: Path) -> None:
    async with serving(echo) as local, world(state, LIMITS, tcp_ports=free_ports(2)) as running:
        token = running.token(kinds=(TCP,))
        async with running.agent(local.address, kind=TCP, token=token) as older:
            url = (await older.log.next(AgentReady)).url
            async with calling(url) as cut:
                await cut.send(b"1")
                assert await cut.exactly(1) == b"1"
                async with running.agent(local.address, kind=TCP, token=token) as newer:
                    assert (await newer.log.next(AgentReady)).url == url
                    with suppress(ConnectionError):
                        assert await cut.read() == b""
                    async with calling(url) as one:
                        await one.send(b"2")
                        assert await one.exactly(1) == b"2"


@pytest.mark.shows("ROUTE-PORT-005")
@pytest.mark.bug("B4")
async def test_a_port_that_cannot_be_listened_on_is_given_back(state: Path) -> None:
    """As in frp #5200, where the port stayed taken for ever once its listener had failed."""
    ports = free_ports(2)
    limits = replace(LIMITS, lease_lapse_seconds=1e-6)
    with socket.socket() as taken:
        taken.bind((LOOPBACK, ports.low))
        taken.listen()
        async with serving(hello) as local, world(state, limits, tcp_ports=ports) as running:
            async with running.agent(local.address, "one", kind=TCP, port=ports.low, is_ready=False) as one:
                ended = await one.end()
                assert not isinstance(ended, Success)
                denied = error_of(ended)
                assert isinstance(denied, PortDenied)
                assert "does not give out" in denied.detail
            async with running.agent(local.address, "two", kind=TCP) as two:
                assert (await two.log.next(AgentReady)).url.endswith(f":{ports.high}")
            taken.close()
            third = running.agent(local.address, "third", kind=TCP, port=ports.low, token=foreign(running))
            async with third as other:
                assert (await other.log.next(AgentReady)).url.endswith(f":{ports.low}")


@pytest.mark.shows("OPS-RAW-006", "OPS-SHUT-002", "OPS-SHUT-003")
async def test_a_raw_connection_has_the_grace_period_and_no_more(state: Path) -> None:
    limits = replace(LIMITS, grace_seconds=0.3)
    async with (
        serving(echo) as local,
        world(state, limits, tcp_ports=free_ports(1)) as running,
        running.agent(local.address, kind=TCP, limits=LIMITS) as agent,
        calling((await agent.log.next(AgentReady)).url) as one,
    ):
        await one.send(b"1")
        assert await one.exactly(1) == b"1"
        running.stop.set()
        await one.send(b"2")
        assert await one.exactly(1) == b"2"
        with suppress(ConnectionError):
            assert await one.read() == b""
        assert (await running.log.next(ConnectionDone)).outcome == "server-stopped"


# TLS passthrough.


@asynccontextmanager
async def secret_service(directory: Path, running: World) -> AsyncIterator[Path]:
    """A local TLS service with a certificate of its own authority, exposed as `demo`; gives the authority's file."""
    files = leaf(directory, new_authority(directory), "demo.localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    context.set_alpn_protocols(["secret/1", "http/1.1"])
    async with serving(echo, context) as local, running.agent(local.address, kind=TLS) as agent:
        assert (await agent.log.next(AgentReady)).url == f"tls://demo.localhost:{running.agents.port}"
        yield directory / "root.pem"


@pytest.mark.shows("TLS-PASS-001", "TLS-PASS-002")
async def test_tls_passes_to_its_owner_unopened(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The visitor verifies the certificate of the local service, and nothing that passes here can be read."""
    passed: list[bytes] = []
    up, down = Pipe.receive_visitor, Pipe.receive_origin

    def seen_up(self: Pipe, data: bytes, now: Instant) -> None:
        passed.append(data)
        up(self, data, now)

    def seen_down(self: Pipe, data: bytes, now: Instant) -> None:
        passed.append(data)
        down(self, data, now)

    monkeypatch.setattr(Pipe, "receive_visitor", seen_up)
    monkeypatch.setattr(Pipe, "receive_origin", seen_down)
    async with world(state, LIMITS) as running, secret_service(tmp_path, running) as root:
        async with secure_visitor(running, trusting(root, "secret/1"), "demo.localhost") as one:
            tls = one.writer.get_extra_info("ssl_object")
            assert tls.selected_alpn_protocol() == "secret/1"
            await one.send(b"nobody reads this " * 5000)
            assert await one.exactly(18 * 5000) == b"nobody reads this " * 5000
        done = await running.log.next(ConnectionDone)
        assert (done.kind, done.name) == ("tls", "demo")
        whole = b"".join(passed)
        # A compiled pipe is called by no name that could be replaced: there it is the sources that are shown.
        assert len(whole) > 2 * 18 * 5000 or core_mode() == "compiled"
        assert b"nobody" not in whole


@pytest.mark.shows("TLS-PASS-003")
async def test_tls_of_a_name_whose_agent_is_away_is_not_opened(tmp_path: Path, state: Path) -> None:
    """Our own certificate is valid for the name: a visitor shown it would tell us what is meant for its owner."""
    async with world(state, LIMITS) as running:
        async with secret_service(tmp_path, running):
            assert (await fetched(running)).status == 421
        await until_offline(running)
        with pytest.raises(ssl.SSLError, match="unrecognized name"):
            await secure_visitor(running, trusting(running.authority, "http/1.1"), "demo.localhost").__aenter__()
        assert (await running.log.next(LinkRefused)).code == "agent-offline"


async def until_offline(running: World) -> None:
    """Return once the name has no agent."""
    async with asyncio.timeout(PATIENCE):
        while (await fetched(running)).status != 503:
            pass


@pytest.mark.shows("TLS-PASS-001")
async def test_a_token_for_http_exposes_nothing_else(state: Path) -> None:
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        running.agent(local.address, kind=TLS, token=running.token(), is_ready=False) as agent,
    ):
        assert await code_of(agent) == "not-permitted"
