"""How exchanges end when somebody does not keep to the end: each breach reaches the other side as what it was.

A whole answer stays whole, a cut one is visibly cut, and a visitor that leaves takes its local connection with it.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.shell_local import Connection, Handler, Service, hello, serving
from tests.support.shell_relay import relaying
from tests.support.shell_visitor import CutShort, fetched, get, post, visitor
from tests.support.shell_world import PATIENCE, Log, World, world

from tunnel.agent.settings import LocalService
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.drive.transport import stream_transport
from tunnel.observe.events import Event, ExchangeDone, SessionEnded
from tunnel.server.state import AUTHORITY, server_identity

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def path(state: Path, handler: Handler, limits: Limits | None = None) -> AsyncIterator[tuple[World, Service]]:
    """A world whose name `demo` is served by `handler`."""
    async with serving(handler) as local, world(state, limits) as running, running.agent(local.address):
        yield running, local


async def ended(connection: Connection) -> None:
    async with asyncio.timeout(PATIENCE):
        await connection.ended.wait()


@pytest.mark.shows("OPS-RUN-008")
@pytest.mark.bug("C15")
async def test_an_early_answer_survives_the_reset_that_follows_it(state: Path) -> None:
    """The local service answers while the upload runs, and closes over what it did not read: the kernel sends RST."""
    early = b"e" * 300_000

    async def refusing(connection: Connection) -> None:
        await connection.request()
        await connection.answer(early, b"413 Content Too Large")
        await connection.delivered()
        connection.reset()

    async with path(state, refusing) as (running, _), visitor(running) as one:
        await one.send(get(running, "/", "demo", "Content-Length: 1000000000", method="POST") + b"x" * 100_000)
        answer = await one.answer()
        assert answer.status == 413
        assert answer.body == early


@pytest.mark.shows("OPS-RUN-008")
async def test_a_reset_reaches_a_slow_visitor_behind_everything_that_came_before_it(state: Path) -> None:
    """More than the buffers hold is on its way when the local service breaks: the visitor gets it, and then a cut."""
    sent = b"s" * 400_000
    gone = asyncio.Event()

    async def breaking(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + sent)
        await connection.delivered()
        connection.reset()
        gone.set()

    async with path(state, breaking) as (running, _), visitor(running) as one:
        await one.send(get(running))
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
        with pytest.raises(CutShort) as cut:
            await one.answer()
        assert cut.value.args[0] == sent
        assert (await running.log.next(ExchangeDone)).outcome == "local-closed-early"


@pytest.mark.bug("D")
async def test_a_chunked_answer_that_breaks_ends_without_its_last_chunk(state: Path) -> None:
    async def breaking(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    async with path(state, breaking) as (running, _), visitor(running) as one:
        await one.send(get(running))
        assert (await one.head())[0] == 200
        assert await one.to_the_end() == b"3\r\nabc\r\n"


@pytest.mark.bug("D")
async def test_a_close_delimited_answer_that_breaks_ends_with_a_reset(state: Path) -> None:
    """To an HTTP/1.0 visitor the end of the connection is the end of the body; a broken one must not look like it."""

    async def breaking(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    async with path(state, breaking) as (running, _), visitor(running) as one:
        await one.send(b"GET / HTTP/1.0\r\nHost: %b\r\n\r\n" % running.host())
        with pytest.raises((CutShort, ConnectionResetError)):
            await one.answer()


@pytest.mark.bug("D", "B10")
@pytest.mark.parametrize("nonsense", [b"", b"\x16\x03\x01 no http", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"])
async def test_a_local_service_that_speaks_no_http_is_a_502(state: Path, nonsense: bytes) -> None:
    async def babbling(connection: Connection) -> None:
        await connection.request()
        await connection.send(nonsense)

    async with path(state, babbling) as (running, _):
        assert (await fetched(running)).status == 502


@pytest.mark.bug("C16", "B7")
async def test_a_visitor_that_resets_in_the_middle_of_an_upload_takes_its_local_connection_along(state: Path) -> None:
    async def taking(connection: Connection) -> None:
        await connection.request()
        await connection.until_ended()

    async with path(state, taking) as (running, local):
        async with visitor(running) as one:
            await one.send(get(running, "/", "demo", "Content-Length: 100000", method="POST") + b"half")
            connection = await local.connection()
            one.reset()
        await ended(connection)
        assert (await running.log.next(ExchangeDone)).outcome == "visitor-left"


@pytest.mark.bug("C16")
async def test_a_visitor_that_ends_its_upload_short_is_answered_and_its_local_connection_closed(state: Path) -> None:
    async def taking(connection: Connection) -> None:
        await connection.request()
        await connection.until_ended()

    async with path(state, taking) as (running, local), visitor(running) as one:
        await one.send(get(running, "/", "demo", "Content-Length: 100000", method="POST") + b"half")
        connection = await local.connection()
        one.end()
        answer = await one.answer()
        assert answer.status == 400
        assert b"request-cut-short" in answer.body
        await ended(connection)


@pytest.mark.bug("B7")
@pytest.mark.parametrize("how", ["reset", "end"])
async def test_a_visitor_that_leaves_a_download_takes_its_local_connection_along(state: Path, how: str) -> None:
    """With a reset at once; one that only ends its side may still be reading, for as long as a limit says."""

    async def endless(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await connection.until_ended()

    limits = Limits(half_closed_seconds_max=0.1 if how == "end" else 3600.0, grace_seconds=5.0)
    async with path(state, endless, limits) as (running, local), visitor(running) as one:
        await one.send(get(running))
        assert (await one.head())[0] == 200
        one.reset() if how == "reset" else one.end()
        await ended(await local.connection())


@pytest.mark.shows("OPS-BEAT-005")
@pytest.mark.bug("A7")
async def test_a_link_that_is_lost_before_the_answer_is_a_502(state: Path) -> None:
    async def silent(connection: Connection) -> None:
        await connection.request()
        await connection.until_ended()

    async with serving(silent) as local, world(state) as running, relaying(running.agents) as relay:
        async with running.agent(local.address, server=relay.address), visitor(running) as one:
            await one.send(post(running, b"not to be repeated"))
            connection = await local.connection()
            relay.cut(reset=True)
            answer = await one.answer()
            assert answer.status == 502
            assert b"link-lost" in answer.body
            await ended(connection)
            assert len(local.heads) == 1
        assert (await running.log.next(SessionEnded)).session == 1


@pytest.mark.shows("OPS-BEAT-005")
@pytest.mark.bug("A7")
async def test_a_link_that_is_lost_within_the_answer_cuts_it_visibly(state: Path) -> None:
    async def half(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await connection.until_ended()

    async with (
        serving(half) as local,
        world(state) as running,
        relaying(running.agents) as relay,
        running.agent(local.address, server=relay.address),
        visitor(running) as one,
    ):
        await one.send(get(running))
        assert (await one.head())[0] == 200
        assert await one.exactly(4) == b"half"
        relay.cut()
        assert await one.to_the_end() == b""
        assert (await running.log.next(ExchangeDone)).outcome == "link-lost"


@pytest.mark.shows("OPS-RUN-006")
@pytest.mark.bug("A17")
async def test_a_visitor_that_rests_gets_the_rest(state: Path) -> None:
    """Everything between it and the local service fills up and stands still; credit comes back when it reads on."""
    size = 24_000_000

    async def big(connection: Connection) -> None:
        await connection.request()
        await connection.answer(b"x" * size)

    async with path(state, big) as (running, local), visitor(running) as one:
        await one.send(get(running))
        transport = (await local.connection()).writer.transport
        waiting = -1
        while transport.get_write_buffer_size() != waiting or not waiting:
            waiting = transport.get_write_buffer_size()
            await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0.05))])
        assert len((await one.answer()).body) == size


@pytest.mark.shows("OPS-RUN-009")
async def test_a_visitor_that_does_not_take_the_last_bytes_is_dropped(state: Path) -> None:
    """The answer is complete and the connection closing; without a deadline it would stay so for ever."""
    limits = Limits(write_stall_seconds_max=0.2, grace_seconds=5.0)
    body = b"b" * 8_000_000

    async def big(connection: Connection) -> None:
        await connection.request()
        await connection.answer(body, b"200 OK", b"Connection: close")

    async with path(state, big, limits) as (running, _), visitor(running) as one:
        stream_transport(one.writer.transport).pause_reading()
        await one.send(get(running, "/", "demo", "Connection: close"))
        done = await running.log.next(ExchangeDone)
        assert done.outcome == "visitor-stalled"


@pytest.mark.shows("LINK-TLS-006")
@pytest.mark.bug("B7")
async def test_the_end_of_an_upgraded_visitor_reaches_a_local_service_behind_tls(state: Path, tmp_path: Path) -> None:
    """There is no half-close in asyncio's TLS, so the local service sees a whole one, and not silence."""
    made = server_identity(tmp_path / "local", ["127.0.0.1"], UnixSeconds(int(time.time())))
    assert isinstance(made, Success)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(value_of(made).chain)
    got: list[bytes] = []

    async def upgraded(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: any\r\n\r\n")
        got.append(await connection.until_ended())

    service = LocalService
    async with serving(upgraded, context) as local, world(state) as running:
        target = service(local.address, tls=True, ca=tmp_path / "local" / AUTHORITY)
        async with running.agent(target), visitor(running) as one:
            await one.send(get(running, "/", "demo", "Connection: Upgrade", "Upgrade: any"))
            assert (await one.head())[0] == 101
            await one.send(b"last words")
            one.end()
            assert await one.to_the_end() == b""
            assert got == [b"last words"]


@pytest.mark.shows("OPS-RUN-010")
@pytest.mark.plants_escape
async def test_an_exception_in_the_callback_of_one_visitor_ends_that_visitor_alone(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of ours, planted where one stream's bytes lead to: another visitor of the same link goes on.

    In the sink and not in the edge, because a compiled class cannot be changed while it runs.
    """
    from tunnel.observe.escapes import handler_escapes_total  # noqa: PLC0415 - the planted defect's place

    honest = Log.emit

    def broken(self: Log, event: Event) -> None:
        if isinstance(event, ExchangeDone) and event.target == "/broken" and event.name:
            message = "planted"
            raise RuntimeError(message)
        honest(self, event)

    async with path(state, hello) as (running, _), visitor(running) as one, visitor(running) as other:
        await other.send(get(running, "/before"))
        assert (await other.answer()).status == 200
        monkeypatch.setattr(Log, "emit", broken)
        before = handler_escapes_total()
        await one.send(get(running, "/broken"))
        await one.to_the_end()
        await other.send(get(running, "/after"))
        assert (await other.answer()).body == b"GET /after HTTP/1.1"
        assert handler_escapes_total() == before + 1
        assert running.log.all(SessionEnded) == []
