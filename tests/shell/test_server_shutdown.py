"""How a server and an agent end: at once when idle, after the running exchange when not, now when told twice.

Order is shown by who waits for whom. That nothing waits for a timer is shown with timers of a minute and a bound of
twenty seconds, which no machine is too busy for; the second that Ctrl-C may take is what is left without them.
"""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_raw import hello as hello_of
from tests.support.shell_raw import raw_agent
from tests.support.shell_visitor import CutShort, fetched, get, visitor
from tests.support.shell_world import PATIENCE, World, nothing_left, started, world

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success
from tunnel.observe.events import (
    AgentReady,
    ExchangeDone,
    LinkLost,
    LinkRefused,
    NameGranted,
    SessionEnded,
    ShuttingDown,
)

pytestmark = pytest.mark.anyio

LIMITS: Final = Limits(grace_seconds=30.0, reconnect_seconds_min=0.02, reconnect_seconds_max=0.1)
BRIEF: Final = replace(LIMITS, grace_seconds=0.1)
A_MINUTE: Final = replace(
    LIMITS, grace_seconds=60.0, goodbye_seconds_max=60.0, linger_seconds_max=60.0, half_closed_seconds_max=60.0
)
AT_ONCE: Final = 20.0
"""Less than any timer of the end, and more than a busy machine takes."""


class Halves:
    """A local service that answers one half, and the other when it is told to."""

    def __init__(self) -> None:
        self.half_sent = asyncio.Event()
        self.go_on = asyncio.Event()

    async def handle(self, connection: Connection) -> None:
        """One exchange."""
        first, _ = await connection.request()
        if not first:
            return
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        self.half_sent.set()
        await self.go_on.wait()
        await connection.send(b"other")


async def ended(running: World) -> None:
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.shield(running.task) == Success(None)


@pytest.mark.shows("OPS-SHUT-001")
async def test_an_idle_server_with_agents_and_kept_alive_visitors_ends_within_a_second(state: Path) -> None:
    async with nothing_left(), serving(hello) as local:
        running = await started(state, A_MINUTE)
        async with running.agent(local.address, limits=A_MINUTE), visitor(running) as one, visitor(running):
            await one.send(get(running))
            assert (await one.answer()).status == 200
            begun = time.monotonic()
            running.stop.set()
            await ended(running)
            assert time.monotonic() - begun < AT_ONCE
            assert await one.to_the_end() == b""


@pytest.mark.shows("OPS-SHUT-001", "OPS-SHUT-006")
async def test_an_idle_agent_ends_within_a_second_though_a_visitor_is_kept_alive(state: Path) -> None:
    """The visitor stays connected and is told the truth; the next agent of the account serves its next request."""
    async with serving(hello) as local, world(state, A_MINUTE) as running, visitor(running) as one:
        async with running.agent(local.address, limits=A_MINUTE) as agent:
            await one.send(get(running))
            assert (await one.answer()).status == 200
            begun = time.monotonic()
            agent.stop.set()
            assert await agent.end() == Success(None)
            assert time.monotonic() - begun < AT_ONCE
        await one.send(get(running))
        assert (await one.answer()).status == 503
        async with running.agent(local.address):
            await one.send(get(running))
            assert (await one.answer()).status == 200


@pytest.mark.shows("OPS-SHUT-002")
async def test_a_running_download_outlives_the_stop_of_the_server(state: Path) -> None:
    service = Halves()
    async with nothing_left(), serving(service.handle) as local:
        running = await started(state, LIMITS)
        async with running.agent(local.address), visitor(running) as one:
            await one.send(get(running))
            async with asyncio.timeout(PATIENCE):
                await service.half_sent.wait()
            running.stop.set()
            await running.log.next(ShuttingDown)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(running.public.host, running.public.port)
            assert not running.task.done()
            service.go_on.set()
            answer = await one.answer()
            assert answer.body == b"firstother"
            await ended(running)


@pytest.mark.shows("OPS-SHUT-002", "OPS-SHUT-006")
async def test_a_running_download_outlives_the_stop_of_the_agent(state: Path) -> None:
    """New visitors are told at once that the agent is offline, before the last exchange ends."""
    service = Halves()
    async with (
        serving(service.handle) as local,
        world(state, LIMITS) as running,
        visitor(running) as one,
        running.agent(local.address) as agent,
    ):
        await one.send(get(running))
        async with asyncio.timeout(PATIENCE):
            await service.half_sent.wait()
        agent.stop.set()
        async with asyncio.timeout(PATIENCE):
            while (await fetched(running)).status != 503:
                pass
        assert not agent.task.done()
        service.go_on.set()
        assert (await one.answer()).body == b"firstother"
        assert await agent.end() == Success(None)


@pytest.mark.shows("OPS-SHUT-003")
async def test_what_runs_longer_than_the_grace_period_is_cut_visibly(state: Path) -> None:
    service = Halves()
    async with nothing_left(), serving(service.handle) as local:
        running = await started(state, BRIEF)
        async with running.agent(local.address, limits=BRIEF), visitor(running) as one:
            await one.send(get(running))
            async with asyncio.timeout(PATIENCE):
                await service.half_sent.wait()
            running.stop.set()
            with pytest.raises(CutShort):
                await one.answer()
            assert (await running.log.next(ExchangeDone)).outcome == "server-stopped"
            await ended(running)


@pytest.mark.shows("OPS-SHUT-004", "OPS-SHUT-005")
@pytest.mark.parametrize("moment", ["serving", "draining"])
async def test_a_server_that_is_cancelled_ends_at_once_and_leaves_nothing(state: Path, moment: str) -> None:
    """What a second Ctrl-C does; also with half a handshake and half an exchange in its hands."""
    service = Halves()
    async with nothing_left(), serving(service.handle) as local:
        running = await started(state, A_MINUTE)
        _, stranger = await asyncio.open_connection(running.agents.host, running.agents.port)
        stranger.write(b"\x16\x03\x01")
        async with running.agent(local.address, limits=BRIEF), visitor(running) as one:
            await one.send(get(running))
            async with asyncio.timeout(PATIENCE):
                await service.half_sent.wait()
            if moment == "draining":
                running.stop.set()
                await running.log.next(ShuttingDown)
            begun = time.monotonic()
            running.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running.task
            assert time.monotonic() - begun < AT_ONCE
            with pytest.raises(CutShort):
                await one.answer()
        stranger.transport.abort()


@pytest.mark.shows("OPS-SHUT-007")
async def test_an_agent_is_told_of_the_end_and_dials_the_successor_while_the_old_link_finishes(state: Path) -> None:
    """Two servers on one state directory, one after the other: the download of the first runs on over its old link."""
    service = Halves()
    async with nothing_left(), serving(service.handle) as local:
        first = await started(state, LIMITS)
        async with first.agent(local.address) as agent, visitor(first) as one:
            await one.send(get(first))
            async with asyncio.timeout(PATIENCE):
                await service.half_sent.wait()
            first.stop.set()
            await agent.log.next(LinkLost)
            second = await started(state, LIMITS, agents=first.agents)
            await agent.log.next(AgentReady, 2)
            assert first.log.all(SessionEnded) == []
            service.go_on.set()
            assert (await one.answer()).body == b"firstother"
            assert (await fetched(second)).body == b"firstother"
            await ended(first)
        second.stop.set()
        await ended(second)


@pytest.mark.shows("OPS-SHUT-007")
async def test_a_server_that_drains_refuses_an_agent_that_was_still_shaking_hands(state: Path) -> None:
    service = Halves()
    async with nothing_left(), serving(service.handle) as local:
        running = await started(state, LIMITS)
        async with running.agent(local.address), visitor(running) as one, raw_agent(running) as early:
            await one.send(get(running))
            async with asyncio.timeout(PATIENCE):
                await service.half_sent.wait()
            running.stop.set()
            await running.log.next(ShuttingDown)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(running.agents.host, running.agents.port)
            await early.send(hello_of(running.token()))
            await early.all_frames()
            assert (await running.log.next(LinkRefused)).code == "shutting-down"
            service.go_on.set()
            assert (await one.answer()).body == b"firstother"
            await ended(running)
            assert len(running.log.all(NameGranted)) == 1


@pytest.mark.shows("OPS-SHUT-005")
async def test_a_server_whose_public_address_is_taken_leaves_nothing(state: Path) -> None:
    async with world(state, LIMITS) as running:
        with pytest.raises(pytest.fail.Exception, match="CannotListen"):
            await started(state, LIMITS, public=running.public)


@pytest.mark.shows("OPS-SHUT-005")
async def test_a_server_whose_agents_address_is_taken_leaves_nothing(state: Path) -> None:
    async with world(state, LIMITS) as running:
        with pytest.raises(pytest.fail.Exception, match="CannotListen"):
            await started(state, LIMITS, agents=running.agents)


@pytest.mark.shows("OPS-SHUT-005")
async def test_starts_and_stops_in_a_row_leave_nothing(state: Path) -> None:
    async with nothing_left(), serving(hello) as local:
        for _ in range(10):
            running = await started(state, LIMITS)
            async with running.agent(local.address):
                assert (await fetched(running)).status == 200
            running.stop.set()
            await ended(running)
