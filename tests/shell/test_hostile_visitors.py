"""What the public port does with visitors that mean no good or cannot do better; beside each an honest one is served.

Timeouts are short limits here, so that each wait ends within the test; what they are in force stands in
`core/base/limits.py`.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.support.shell_local import Connection, Handler, hello, serving
from tests.support.shell_visitor import Visitor, fetched, get, post, visitor
from tests.support.shell_world import PATIENCE, World, world

from tunnel.core.base.limits import Limits
from tunnel.drive.transport import stream_transport
from tunnel.observe.events import ExchangeDone

pytestmark = pytest.mark.anyio

LIMITS: Final = Limits(grace_seconds=5.0, linger_seconds_max=0.2)


@asynccontextmanager
async def path(state: Path, limits: Limits = LIMITS, handler: Handler = hello) -> AsyncIterator[World]:
    """A world with a local service; an honest visitor is served at the end."""
    async with serving(handler) as local, world(state, limits) as running, running.agent(local.address):
        yield running
        async with visitor(running) as honest:
            await honest.send(get(running, "/honest"))
            assert (await honest.answer()).body == b"GET /honest HTTP/1.1"


async def drip(one: Visitor, data: bytes, done: asyncio.Event) -> None:
    """Byte after byte until somebody has had enough of it."""
    try:
        for at in range(len(data)):
            await one.send(data[at : at + 1])
            await asyncio.wait([asyncio.ensure_future(done.wait())], timeout=0.02)
            if done.is_set():
                return
    except ConnectionError:
        pass


async def enormous(connection: Connection) -> None:
    """Answers more than all buffers hold, except to the honest visitor."""
    first, _ = await connection.request()
    if first.startswith(b"GET /honest"):
        await connection.answer(first)
        return
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        await connection.send(b"x" * 65536)


@asynccontextmanager
async def narrow_visitor(running: World) -> AsyncIterator[Visitor]:
    """A visitor whose machine takes no more than a few kilobytes ahead of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((running.public.host, running.public.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2048)
    try:
        yield Visitor(reader, writer)
    finally:
        writer.transport.abort()


@pytest.mark.bug("C18")
async def test_a_head_that_drips_in_is_answered_408_at_its_deadline(state: Path) -> None:
    """A byte every 20 ms would go on for ever; progress of a byte does not move the deadline of a head."""
    done = asyncio.Event()
    async with path(state, replace(LIMITS, head_seconds_max=0.3)) as running, visitor(running) as one:
        dripping = asyncio.create_task(drip(one, get(running, "/" + "a" * 4000), done))
        answer = await one.answer()
        done.set()
        await dripping
        assert answer.status == 408
        assert b"request-timeout" in answer.body


@pytest.mark.bug("C18")
async def test_a_visitor_that_says_nothing_is_closed_when_idle_for_too_long(state: Path) -> None:
    async with path(state, replace(LIMITS, idle_seconds_max=0.2)) as running, visitor(running) as one:
        assert await one.to_the_end() == b""


@pytest.mark.bug("C18", "C5")
async def test_a_body_that_stalls_is_answered_408(state: Path) -> None:
    async with path(state, replace(LIMITS, body_stall_seconds_max=0.2)) as running, visitor(running) as one:
        await one.send(get(running, "/", "demo", "Content-Length: 10", method="POST") + b"half")
        assert (await one.answer()).status == 408


@pytest.mark.bug("C18")
async def test_a_visitor_that_takes_nothing_is_dropped_and_its_download_with_it(state: Path) -> None:
    taken_back = asyncio.Event()

    async def big(connection: Connection) -> None:
        first, _ = await connection.request()
        if first.startswith(b"GET /honest"):
            await connection.answer(first)
            return
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                await connection.send(b"x" * 65536)
        except ConnectionError:
            taken_back.set()

    async with path(state, replace(LIMITS, write_stall_seconds_max=0.3), big) as running, visitor(running) as one:
        stream_transport(one.writer.transport).pause_reading()
        await one.send(get(running))
        assert (await running.log.next(ExchangeDone)).outcome == "visitor-stalled"
        async with asyncio.timeout(PATIENCE):
            await taken_back.wait()


@pytest.mark.shows("OPS-RUN-009")
@pytest.mark.bug("C18")
async def test_a_visitor_that_takes_a_little_now_and_then_is_not_dropped(state: Path) -> None:
    """Its receive buffer is tiny and it reads 2 kB at a time, so for five times the limit our socket is never free.

    Only what its machine has acknowledged shows that it goes on; without that count it is dropped (the next test).
    """
    limits = replace(LIMITS, write_stall_seconds_max=0.3)
    async with path(state, limits, enormous) as running, narrow_visitor(running) as one:
        await one.send(get(running))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while loop.time() < begun + 5 * limits.write_stall_seconds_max:
            assert await one.read(2048)
            await asyncio.sleep(0.005)
        assert running.log.all(ExchangeDone) == []


@pytest.mark.shows("OPS-RUN-009")
async def test_a_visitor_that_takes_a_little_and_then_nothing_is_dropped(state: Path) -> None:
    limits = replace(LIMITS, write_stall_seconds_max=0.3)
    async with path(state, limits, enormous) as running, narrow_visitor(running) as one:
        await one.send(get(running))
        for _ in range(20):
            assert await one.read(2048)
        assert (await running.log.next(ExchangeDone)).outcome == "visitor-stalled"


@pytest.mark.bug("C10", "C11", "C17")
@pytest.mark.parametrize("seed", range(4))
async def test_garbage_is_answered_or_dropped_and_never_forwarded(state: Path, seed: int) -> None:
    noise = random.Random(seed)  # noqa: S311 - test data
    async with serving(hello) as local, world(state, LIMITS) as running, running.agent(local.address):
        for _ in range(25):
            async with visitor(running) as one:
                try:
                    await one.send(noise.randbytes(noise.choice([1, 10, 1000, 100_000])))
                    one.end()
                except ConnectionError:
                    continue
                said = await one.to_the_end()
                assert said == b"" or said.startswith(b"HTTP/1.1 4")
        assert local.heads == []
        assert (await fetched(running)).status == 200


@pytest.mark.bug("C1", "C4")
async def test_a_tls_client_at_the_public_port_is_told_that_this_is_http(state: Path) -> None:
    async with path(state) as running, visitor(running) as one:
        await one.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500)
        assert (await one.answer()).status == 400


@pytest.mark.bug("C17")
async def test_nothing_that_follows_a_refused_request_becomes_one(state: Path) -> None:
    async with serving(hello) as local, world(state, LIMITS) as running, running.agent(local.address):
        async with visitor(running) as one:
            await one.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + get(running, "/smuggled") * 50)
            assert (await one.answer()).status == 400
            assert await one.to_the_end() == b""
        assert local.heads == []


@pytest.mark.bug("C18")
async def test_one_that_pipelines_without_end_and_reads_nothing_is_bounded(state: Path) -> None:
    """We stop reading it: what it can send before its socket blocks is far from all it wants to."""
    async with path(state, replace(LIMITS, write_stall_seconds_max=0.5)) as running, visitor(running) as one:
        transport = stream_transport(one.writer.transport)
        transport.pause_reading()
        flood = get(running, "/" + "p" * 8000) * 64
        closed = asyncio.ensure_future(one.writer.wait_closed())
        while not transport.is_closing() and transport.get_write_buffer_size() < 16_000_000:
            one.writer.write(flood)
            await asyncio.wait([closed], timeout=0.005)
        assert transport.get_write_buffer_size() > 0
        await asyncio.wait([closed], timeout=PATIENCE)
        assert closed.done()
        closed.exception()


@pytest.mark.bug("C16", "B4")
async def test_visitors_that_leave_at_every_moment_leave_nothing_behind(state: Path) -> None:
    """Reset after each number of bytes of a request and its answer; `world` counts sockets and tasks at the end."""
    async with path(state) as running:
        request = post(running, b"b" * 100)
        for cut in range(0, len(request), 7):
            async with visitor(running) as one:
                await one.send(request[:cut])
                one.reset()
        async with AsyncExitStack() as stack:
            for cut in range(1, 60, 7):
                one = await stack.enter_async_context(visitor(running))
                await one.send(request)
                await one.exactly(cut)
                one.reset()
