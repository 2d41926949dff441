"""Every limit of admission, at the socket: one above it is told so or dropped, and the place is free again after.

Limits are small here so that a handful of connections reaches them; the numbers in force have their reasons in
`core/base/limits.py`.
"""

import asyncio
import ssl
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.support import shell_raw as raw
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_raw import raw_agent
from tests.support.shell_visitor import Visitor, fetched, get, visitor
from tests.support.shell_world import PATIENCE, World, world

from tunnel.core.base.limits import Limits
from tunnel.core.token.token import TOKEN_BYTES
from tunnel.observe.events import AgentReady, LinkLost, LinkRefused, SessionOpened
from tunnel.server import run

pytestmark = pytest.mark.anyio

LIMITS: Final = Limits(grace_seconds=5.0, reconnect_seconds_min=0.02, reconnect_seconds_max=0.1)


async def waiting(connection: Connection) -> None:
    """Takes requests and answers none."""
    await connection.request()
    await connection.until_ended()


async def connected(stack: AsyncExitStack, running: World, count: int) -> list[Visitor]:
    """So many visitors, each of which has had an answer."""
    visitors = [await stack.enter_async_context(visitor(running)) for _ in range(count)]
    for one in visitors:
        await one.send(get(running))
        assert (await one.answer()).status == 200
    return visitors


@pytest.mark.shows("OPS-ADMIT-002")
@pytest.mark.parametrize("sends_first", [True, False])
async def test_one_connection_too_many_from_an_address_is_told_so(state: Path, sends_first: bool) -> None:  # noqa: FBT001
    """Also when its request is already there: closing over unread bytes would reset the answer away."""
    limits = replace(LIMITS, connections_per_address_max=3)
    async with (
        serving(hello) as local,
        world(state, limits) as running,
        running.agent(local.address),
        AsyncExitStack() as stack,
    ):
        first, *_ = await connected(stack, running, 3)
        async with visitor(running) as one:
            if sends_first:
                await one.send(get(running) + b"x" * 50_000)
            answer = await one.answer()
            assert answer.status == 429
            assert answer.fields["retry-after"] == "1"
            assert answer.fields["connection"] == "close"
            assert b"too-many-connections" in answer.body
            assert await one.to_the_end() == b""
        first.writer.transport.abort()
        await until_admitted(running)


async def until_admitted(running: World) -> None:
    """Return once a new connection is answered by the local service."""
    async with asyncio.timeout(PATIENCE):
        while (await fetched(running)).status != 200:
            pass


@pytest.mark.shows("OPS-ADMIT-001")
async def test_one_connection_too_many_for_the_server_is_told_so(state: Path) -> None:
    limits = replace(LIMITS, connections_max=2)
    async with (
        serving(hello) as local,
        world(state, limits) as running,
        running.agent(local.address),
        AsyncExitStack() as stack,
    ):
        first, *_ = await connected(stack, running, 2)
        answer = await fetched(running)
        assert answer.status == 503
        assert b"server-full" in answer.body
        first.writer.transport.abort()
        await until_admitted(running)


@pytest.mark.shows("OPS-ADMIT-001")
async def test_far_too_many_connections_are_dropped_without_a_word(state: Path) -> None:
    """Telling each of a flood would be a way to hold as many connections as one likes."""
    limits = replace(LIMITS, connections_max=1, linger_seconds_max=60.0)
    async with (
        serving(hello) as local,
        world(state, limits) as running,
        running.agent(local.address),
        AsyncExitStack() as stack,
    ):
        await connected(stack, running, 1)
        flood = [await stack.enter_async_context(visitor(running)) for _ in range(100)]
        silent = 0
        for one in flood:
            try:
                silent += await one.read(1) == b""
            except ConnectionError:
                silent += 1
        assert silent == 100 - 64


@pytest.mark.shows("OPS-ADMIT-007")
async def test_the_descriptors_of_the_system_are_a_limit_too(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents' links count like visitors: with 3 left in all, one link leaves two."""
    monkeypatch.setattr(run, "connections_possible", lambda: 3)
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        running.agent(local.address),
        AsyncExitStack() as stack,
    ):
        await connected(stack, running, 2)
        assert (await fetched(running)).status == 503
        async with running.agent(local.address, "more", is_ready=False) as more:
            await more.log.next(LinkLost)
            assert (await running.log.next(LinkRefused)).code == "server-full"


@pytest.mark.shows("OPS-ADMIT-003")
async def test_one_link_too_many_is_dropped_and_comes_in_when_there_is_room(state: Path) -> None:
    limits = replace(LIMITS, links_max=1)
    async with serving(hello) as local, world(state, limits) as running:
        async with running.agent(local.address, "one"), running.agent(local.address, "two", is_ready=False) as two:
            assert (await running.log.next(LinkRefused)).detail == "the server holds as many links as it may"
            await two.log.next(LinkLost, 2)
            assert len(running.log.all(SessionOpened)) == 1
        async with running.agent(local.address, "two"):
            assert (await fetched(running, name="two")).status == 200


@pytest.mark.shows("OPS-ADMIT-004")
async def test_strangers_of_one_address_are_few_and_known_agents_do_not_count(state: Path) -> None:
    """Three connections in their handshake fill the limit; whoever has shown a token has left it."""
    limits = replace(LIMITS, handshakes_per_address_max=3)
    async with serving(hello) as local, world(state, limits) as running, AsyncExitStack() as stack:
        for number in range(4):
            await stack.enter_async_context(running.agent(local.address, f"known{number}"))
        strangers = [await asyncio.open_connection(running.agents.host, running.agents.port) for _ in range(3)]
        late = await stack.enter_async_context(running.agent(local.address, "late", is_ready=False))
        assert "handshakes" in (await running.log.next(LinkRefused)).detail
        await late.log.next(LinkLost)
        for _, writer in strangers:
            writer.transport.abort()
        await late.log.next(AgentReady)
        assert (await fetched(running, name="late")).status == 200


@pytest.mark.shows("OPS-ADMIT-004")
@pytest.mark.bug("B4")
async def test_strangers_that_come_and_go_in_every_way_leave_no_count(state: Path) -> None:
    """One place for strangers; after each way of failing it must be free again."""
    limits = replace(LIMITS, handshakes_per_address_max=1, handshake_seconds_max=0.15, goodbye_seconds_max=0.1)

    async def tcp_only(running: World) -> None:
        _, writer = await asyncio.open_connection(running.agents.host, running.agents.port)
        writer.transport.abort()

    async def garbage(running: World) -> None:
        _, writer = await asyncio.open_connection(running.agents.host, running.agents.port)
        writer.write(b"garbage in place of TLS")
        await running.log.next(LinkRefused, len(running.log.all(LinkRefused)) + 1)
        writer.transport.abort()

    async def nobody(running: World) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await raw_agent(running, "nothing/1").__aenter__()

    async def visitor_over_tls(running: World) -> None:
        async with raw_agent(running, "http/1.1"):
            pass

    async def silent(running: World) -> None:
        async with raw_agent(running) as agent:
            await agent.all_frames()

    async def false_token(running: World) -> None:
        async with raw_agent(running) as agent:
            await agent.send(raw.hello(b"\1" * TOKEN_BYTES))
            await agent.all_frames()

    async def leaves(running: World) -> None:
        async with raw_agent(running) as agent:
            await agent.send(raw.hello(running.token())[:40])

    async with serving(hello) as local, world(state, limits) as running:
        for attempt in (tcp_only, garbage, nobody, visitor_over_tls, silent, false_token, leaves):
            await attempt(running)
            async with running.agent(local.address, limits=LIMITS):
                assert (await fetched(running)).status == 200


@pytest.mark.shows("OPS-ADMIT-006")
@pytest.mark.bug("A19")
async def test_the_streams_of_a_token_are_counted_over_all_its_links(state: Path) -> None:
    limits = replace(LIMITS, grace_seconds=0.1)
    async with serving(waiting) as local, world(state, limits) as running, AsyncExitStack() as stack:
        token = running.token(streams_max=3)
        for name in ("one", "two"):
            await stack.enter_async_context(running.agent(local.address, name, token=token))
        other = await stack.enter_async_context(running.agent(local.address, "other"))
        held = []
        for name in ("one", "two", "one"):
            held.append(await stack.enter_async_context(visitor(running)))
            await held[-1].send(get(running, "/", name))
        async with asyncio.timeout(PATIENCE):
            await local.connection(3)
        answer = await fetched(running, name="two")
        assert answer.status == 429
        assert b"link-busy" in answer.body
        async with visitor(running) as free:
            await free.send(get(running, "/", "other"))
            async with asyncio.timeout(PATIENCE):
                await local.connection(4)
        assert not other.task.done()
        held[0].reset()
        async with visitor(running) as next_one:
            async with asyncio.timeout(PATIENCE):
                await local.connections[0].ended.wait()
            await next_one.send(get(running, "/", "two"))
            async with asyncio.timeout(PATIENCE):
                await local.connection(5)


@pytest.mark.shows("OPS-ADMIT-006")
@pytest.mark.bug("A19")
async def test_one_stream_too_many_on_a_link_is_a_429(state: Path) -> None:
    """The control stream counts, so a limit of three leaves two visitors."""
    limits = replace(LIMITS, streams_per_session_max=3, grace_seconds=0.1)
    async with serving(waiting) as local, world(state, limits) as running, AsyncExitStack() as stack:
        await stack.enter_async_context(running.agent(local.address))
        for number in range(1, 3):
            one = await stack.enter_async_context(visitor(running))
            await one.send(get(running))
            async with asyncio.timeout(PATIENCE):
                await local.connection(number)
        assert (await fetched(running)).status == 429


@pytest.mark.shows("OPS-ADMIT-006")
async def test_one_link_too_many_of_a_token_is_refused_and_tried_again(state: Path) -> None:
    async with serving(hello) as local, world(state, LIMITS) as running:
        token = running.token(sessions_max=1)
        async with (
            running.agent(local.address, "one", token=token),
            running.agent(local.address, "two", token=token, is_ready=False) as two,
        ):
            await two.log.next(LinkLost, 2)
            assert (await running.log.next(LinkRefused)).code == "too-many-sessions"
            assert not two.task.done()


@pytest.mark.bug("B2")
@pytest.mark.shows("OPS-ADMIT-009")
async def test_every_stream_is_authorised_anew(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link still stands when the token's time is over: its next visitor is refused, with nothing remembered."""
    from tunnel.drive.clock import SystemClock  # noqa: PLC0415 - whose hands are moved

    honest = SystemClock.unix
    async with serving(hello) as local, world(state, LIMITS) as running, running.agent(local.address) as agent:
        async with visitor(running) as one:
            await one.send(get(running))
            assert (await one.answer()).status == 200
            monkeypatch.setattr(SystemClock, "unix", lambda clock: honest(clock) + 7200)
            await one.send(get(running, method="POST"))
            answer = await one.answer()
            assert answer.status == 403
            assert b"not-permitted" in answer.body
            assert len(local.heads) == 1
        assert not agent.task.done()
