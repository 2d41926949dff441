"""An agent with several links: streams spread over them, and the loss of one costs only what runs on it.

A relay stands between agent and server, so that one link of two can be cut while the other is left alone.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_relay import relaying
from tests.support.shell_visitor import Visitor, fetched, get, post, visitor
from tests.support.shell_world import World, world

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success
from tunnel.observe.events import (
    AgentReady,
    ExchangeDone,
    LinkLost,
    LinkUp,
    NameGranted,
    NameReleased,
    SessionEnded,
    SessionOpened,
)

pytestmark = pytest.mark.anyio

HALF: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"


async def halting(connection: Connection, go_on: asyncio.Event) -> None:
    """Answers `/half` in two parts, the second when it is told to; everything else at once."""
    first, fields = await connection.request()
    while first:
        await connection.body(fields)
        if first.startswith(b"GET /half"):
            await connection.send(HALF)
            await go_on.wait()
            await connection.send(b"half")
        else:
            await connection.answer(first)
        first, fields = await connection.request()


async def rest_of(one: Visitor) -> bytes:
    """The second half of an answer, or what came of it."""
    parts = b""
    with suppress(ConnectionError):
        while len(parts) < 4 and (part := await one.read(4)):
            parts += part
    return parts


async def served(running: World, number: int) -> set[int]:
    """Which sessions had the exchanges so far, once so many are done."""
    await running.log.next(ExchangeDone, number)
    return {done.session for done in running.log.all(ExchangeDone)}


@pytest.mark.shows("OPS-LINKS-001")
async def test_exchanges_spread_over_all_links(state: Path) -> None:
    async with (
        serving(hello) as local,
        world(state) as running,
        running.agent(local.address, links=3) as agent,
    ):
        answers = await asyncio.gather(*[fetched(running, f"/{number}") for number in range(30)])
        assert [answer.body for answer in answers] == [b"GET /%d HTTP/1.1" % number for number in range(30)]
        assert await served(running, 30) == {session.session for session in running.log.all(SessionOpened)}
        assert [grant.members for grant in running.log.all(NameGranted)] == [1, 2, 3]
        assert len(agent.log.all(AgentReady)) == 1
        first = await agent.log.next(LinkUp)
        assert (first.link, first.up, first.of) == (1, 1, 3)
        await agent.log.next(LinkUp, 3)
        assert {event.link for event in agent.log.all(LinkUp)} == {1, 2, 3}


@pytest.mark.bug("B3")
@pytest.mark.shows("OPS-LINKS-002", "OPS-LINKS-003", "RELAY-RETRY-001")
async def test_a_cut_link_costs_only_what_runs_on_it(state: Path) -> None:
    """Two answers are half out, one on each link; one link is cut; the other answer comes whole, and all new ones."""
    go_on = asyncio.Event()
    async with (
        serving(lambda connection: halting(connection, go_on)) as local,
        world(state) as running,
        relaying(running.agents) as relay,
        running.agent(local.address, server=relay.address, links=2) as agent,
        visitor(running) as one,
        visitor(running) as two,
    ):
        for each in (one, two):
            await each.send(get(running, "/half"))
            assert (await each.head())[0] == 200
            assert await each.exactly(4) == b"half"
        relay.pairs[0].end(reset=True)
        lost = await agent.log.next(LinkLost)
        assert (lost.up, lost.of) == (1, 2)
        for number in range(5):
            assert (await fetched(running, f"/{number}")).status == 200
            async with visitor(running) as poster:
                await poster.send(post(running, b"12345"))
                assert (await poster.answer()).status == 200
        go_on.set()
        assert sorted([await rest_of(one), await rest_of(two)]) == [b"", b"half"]
        await agent.log.next(LinkUp, 3)
        assert len(agent.log.all(AgentReady)) == 1
        assert (await running.log.next(NameReleased)).members == 1
        await running.log.next(NameGranted, 3)
        assert (await fetched(running)).status == 200
        outcomes = [done.outcome for done in running.log.all(ExchangeDone)]
        assert outcomes.count("link-lost") == 1
        assert set(outcomes) == {"link-lost", "ok"}


@pytest.mark.shows("OPS-LINKS-002")
async def test_all_links_come_back_after_all_are_cut(state: Path) -> None:
    async with (
        serving(hello) as local,
        world(state, Limits(grace_seconds=5.0, reconnect_seconds_min=0.01)) as running,
        relaying(running.agents) as relay,
        running.agent(local.address, server=relay.address, links=3) as agent,
    ):
        await agent.log.next(LinkUp, 3)
        relay.cut(reset=True)
        await agent.log.next(LinkUp, 6)
        assert [lost.of for lost in agent.log.all(LinkLost)] == [3, 3, 3]
        assert (await fetched(running)).status == 200


@pytest.mark.shows("OPS-LINKS-004")
async def test_links_beyond_what_the_token_allows_are_tried_again_and_the_others_serve(state: Path) -> None:
    async with serving(hello) as local, world(state) as running:
        token = running.token(sessions_max=1)
        async with running.agent(local.address, token=token, links=2, is_ready=False) as agent:
            await agent.log.next(AgentReady)
            refused = await agent.log.next(LinkLost)
            assert (refused.up, refused.of) == (1, 2)
            assert "links" in refused.reason
            assert (await fetched(running)).status == 200
        assert await agent.end() == Success(None)


@pytest.mark.shows("OPS-LINKS-005")
async def test_an_agent_that_stops_lets_the_exchanges_of_all_its_links_finish(state: Path) -> None:
    go_on = asyncio.Event()
    async with (
        serving(lambda connection: halting(connection, go_on)) as local,
        world(state) as running,
        running.agent(local.address, links=2) as agent,
        visitor(running) as one,
        visitor(running) as two,
    ):
        for each in (one, two):
            await each.send(get(running, "/half"))
            assert (await each.head())[0] == 200
        agent.stop.set()
        await running.log.next(NameReleased, 2)
        assert (await fetched(running)).status == 503
        go_on.set()
        assert [await each.exactly(8) for each in (one, two)] == [b"halfhalf"] * 2
        assert await agent.end() == Success(None)
        await running.log.next(SessionEnded, 2)
