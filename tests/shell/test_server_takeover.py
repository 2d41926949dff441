"""Who holds a name when an agent comes back, or another comes with its token: known bug B3, case by case.

The half-open link is made by a relay that keeps both sockets and forwards nothing. For each case: the old session is
retired exactly once, its streams fail, nobody is routed to it again, and what is said of beginnings and ends is paired.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_raw import DATA, RST, UPDATE, data, raw_agent
from tests.support.shell_relay import relaying
from tests.support.shell_visitor import fetched, get, post, visitor
from tests.support.shell_world import PATIENCE, World, minted, world

from tunnel.agent.end import NameDenied
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, error_of
from tunnel.observe.events import ExchangeDone, LinkLost, LinkRefused, NameGranted, SessionEnded, SessionOpened

pytestmark = [pytest.mark.anyio, pytest.mark.bug("B3")]

ONE_TOKEN: Final = b"t" * 16
HALF: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"
QUICK: Final = Limits(heartbeat_seconds=0.1, heartbeat_deadline_seconds=0.4, grace_seconds=5.0)
"""Heartbeats that find a silent link within a test; nothing depends on how long that takes."""
SLOW: Final = Limits(heartbeat_seconds=300.0, heartbeat_deadline_seconds=900.0, grace_seconds=5.0)
"""Heartbeats that find nothing within a test: whoever notices a dead link here noticed it by something else."""


async def half(connection: Connection) -> None:
    """Answers half, for as long as it is let."""
    first, fields = await connection.request()
    if first.startswith(b"GET /half"):
        await connection.send(HALF)
        await connection.until_ended()
    elif first:
        await connection.body(fields)
        await connection.answer(first)


def paired(running: World) -> None:
    """Every session that began has ended, once; what never was one has not."""
    began = [event.session for event in running.log.all(SessionOpened)]
    ended = [event.session for event in running.log.all(SessionEnded)]
    assert sorted(began) == sorted(ended)
    assert len(set(ended)) == len(ended)


@pytest.mark.shows("OPS-BEAT-001", "OPS-BEAT-006")
async def test_the_server_finds_a_half_open_link_by_its_heartbeat(state: Path) -> None:
    """HeartbeatTimeoutInterruptsRead: the agent's side is kept open too, so nothing but silence tells."""
    async with (
        serving(half) as local,
        world(state, QUICK) as running,
        relaying(running.agents) as relay,
        running.agent(local.address, server=relay.address, limits=replace(SLOW, grace_seconds=0.1)),
        visitor(running) as one,
    ):
        await one.send(get(running, "/half"))
        assert (await one.head())[0] == 200
        relay.hold()
        assert await one.to_the_end() == b"half"
        ended = await running.log.next(SessionEnded)
        assert "nothing was heard" in ended.reason
        answer = await fetched(running)
        assert answer.status == 503
        assert answer.fields["retry-after"] == "5"
        assert (await running.log.next(ExchangeDone)).outcome == "link-lost"
    paired(running)


@pytest.mark.shows("OPS-BEAT-001", "OPS-BEAT-003", "OPS-BEAT-006")
async def test_an_agent_takes_its_name_back_from_its_own_half_open_link(state: Path) -> None:
    """The agent notices first; the server still believes in the old link when the new hello comes."""
    async with (
        serving(half) as local,
        world(state, SLOW) as running,
        relaying(running.agents) as relay,
        running.agent(local.address, server=relay.address, limits=QUICK) as agent,
        visitor(running) as one,
    ):
        await one.send(get(running, "/half"))
        assert (await one.head())[0] == 200
        relay.hold()
        await running.redialled(agent)
        assert "nothing was heard" in agent.log.all(LinkLost)[0].reason
        # Its visitor was cut at the moment of the takeover, not when the dead socket is given up.
        assert await one.to_the_end() == b"half"
        assert (await running.log.next(SessionEnded)).reason == "superseded by a newer link of the same agent"
        assert (await fetched(running)).status == 200
        assert [grant.epoch for grant in running.log.all(NameGranted)] == [1, 2]
    paired(running)


@pytest.mark.shows("OPS-BEAT-004", "OPS-BEAT-006")
async def test_another_agent_with_the_token_takes_the_name_over_and_the_first_ends(state: Path) -> None:
    """RoutingRejectsLostGeneration: from the grant on not one byte of the first agent reaches a visitor."""
    going_on = asyncio.Event()

    async def first(connection: Connection) -> None:
        await connection.request()
        await connection.send(HALF)
        await going_on.wait()
        await connection.send(b"of the first")

    token = minted(state, token_id=ONE_TOKEN)
    async with (
        serving(first) as old,
        serving(hello) as new,
        world(state, SLOW) as running,
        running.agent(old.address, token=token) as loser,
        visitor(running) as one,
    ):
        await one.send(get(running, "/half"))
        assert (await one.head())[0] == 200
        async with running.agent(new.address, token=token) as winner:
            going_on.set()
            assert await one.to_the_end() == b"half"
            end = await loser.end()
            assert isinstance(end, Failure)
            assert isinstance(error_of(end), NameDenied)
            assert (await fetched(running, "/new")).body == b"GET /new HTTP/1.1"
            assert not winner.task.done()
            assert (await running.log.next(ExchangeDone)).outcome == "link-lost"
    paired(running)


@pytest.mark.shows("OPS-BEAT-004", "OPS-BEAT-006")
async def test_an_agent_that_ignores_its_fence_reaches_nobody(state: Path) -> None:
    """It was told and its stream was reset; it keeps its link and goes on sending all the same."""
    token = minted(state, token_id=ONE_TOKEN)
    async with (
        serving(hello) as new,
        world(state, SLOW) as running,
        raw_agent(running) as old,
        visitor(running) as one,
        visitor(running) as other,
    ):
        await old.login(token)
        await one.send(get(running))
        await old.frame_of(DATA, stream=2)
        await old.send(data(2, b"\x01\x00" + HALF))
        assert (await one.head())[0] == 200
        async with running.agent(new.address, token=token):
            await old.frame_of(UPDATE, RST, stream=2)
            await old.send(data(2, b"of the first"))
            assert await one.to_the_end() == b"half"
            await other.send(get(running))
            assert (await other.answer()).body == b"GET / HTTP/1.1"
            assert len(running.log.all(SessionEnded)) == 0
    paired(running)


@pytest.mark.shows("OPS-BEAT-004")
async def test_a_request_without_an_answer_moves_to_the_agent_that_took_over(state: Path) -> None:
    """It may be repeated and nobody has answered yet: the visitor sees one answer, of the new agent."""
    arrived = asyncio.Event()

    async def first(connection: Connection) -> None:
        line, _ = await connection.request()
        await connection.answer(line)
        await connection.request()
        arrived.set()
        await connection.until_ended()

    token = minted(state, token_id=ONE_TOKEN)
    async with (
        serving(first) as old,
        serving(hello) as new,
        world(state, SLOW) as running,
        running.agent(old.address, token=token),
        visitor(running) as one,
    ):
        await one.send(get(running, "/1"))
        assert (await one.answer()).status == 200
        await one.send(get(running, "/2"))
        async with asyncio.timeout(PATIENCE):
            await arrived.wait()
        async with running.agent(new.address, token=token):
            assert (await one.answer()).body == b"GET /2 HTTP/1.1"
            assert [head.split(b"\r\n")[0] for head in new.heads] == [b"GET /2 HTTP/1.1"]


@pytest.mark.shows("OPS-BEAT-004")
async def test_a_kept_alive_visitor_is_led_to_the_new_agent(state: Path) -> None:
    """WorkConnRoutingRequiresCurrentRunningControl: an idle stream of the old link is not used again."""
    token = minted(state, token_id=ONE_TOKEN)
    async with (
        serving(hello) as old,
        serving(hello) as new,
        world(state, SLOW) as running,
        running.agent(old.address, token=token) as loser,
        visitor(running) as one,
    ):
        await one.send(get(running, "/1"))
        assert (await one.answer()).status == 200
        async with running.agent(new.address, token=token):
            await one.send(post(running, b"body", "/2"))
            assert (await one.answer()).body == b"POST /2 HTTP/1.1"
            await loser.end()
            assert len(old.heads) == 1
            assert len(new.heads) == 1


@pytest.mark.shows("OPS-BEAT-004")
@pytest.mark.bug("B12")
async def test_another_token_never_takes_a_name(state: Path) -> None:
    async with (
        serving(hello) as local,
        world(state, SLOW) as running,
        running.agent(local.address),
        running.agent(local.address, "DEMO", is_ready=False) as thief,
    ):
        end = await thief.end()
        assert isinstance(end, Failure)
        assert isinstance(error_of(end), NameDenied)
        assert (await fetched(running)).status == 200
    paired(running)


@pytest.mark.shows("OPS-BEAT-003")
async def test_a_login_that_fails_leaves_nothing_and_disturbs_nobody(state: Path) -> None:
    """FailedLoginWriteReleasesRun: a hello with an expired token of the same identity supersedes nothing."""
    async with (
        serving(hello) as local,
        world(state, SLOW) as running,
        running.agent(local.address, token=minted(state, token_id=ONE_TOKEN)) as honest,
        running.agent(local.address, token=minted(state, token_id=ONE_TOKEN, seconds=-10), is_ready=False) as late,
    ):
        assert isinstance(await late.end(), Failure)
        assert (await running.log.next(LinkRefused)).code == "expired"
        assert (await fetched(running)).status == 200
        assert not honest.task.done()
        assert len(running.log.all(SessionOpened)) == 1
    paired(running)


@pytest.mark.shows("OPS-BEAT-003", "OPS-BEAT-006")
async def test_many_takeovers_in_a_row_end_in_one_session(state: Path) -> None:
    """HandoffSkipsStalePendingGeneration, StartReplacementRacePairsMetrics: 12 agents of one token, all at once."""
    token = minted(state, token_id=ONE_TOKEN)
    async with serving(hello) as local, world(state, SLOW) as running, asyncio.TaskGroup() as crowd:
        stop = asyncio.Event()

        async def contend() -> None:
            async with running.agent(local.address, token=token, is_ready=False) as agent:
                waiting = asyncio.create_task(stop.wait())
                await asyncio.wait([agent.task, waiting], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()

        for _ in range(12):
            crowd.create_task(contend())
        await running.log.next(NameGranted, 12)
        await running.log.next(SessionEnded, 11)
        assert (await fetched(running)).status == 200
        stop.set()
    paired(running)
    epochs = [grant.epoch for grant in running.log.all(NameGranted)]
    assert epochs == sorted(set(epochs))


@pytest.mark.shows("OPS-BEAT-006")
async def test_a_link_that_is_lost_while_its_successor_logs_in_is_retired_once(state: Path) -> None:
    """CloseAndReplacedAreIdempotent: the socket of the old link breaks in the moment in which it is superseded."""
    async with (
        serving(hello) as local,
        world(state, SLOW) as running,
        relaying(running.agents) as relay,
        running.agent(local.address, server=relay.address, limits=SLOW) as agent,
    ):
        for number in range(2, 8):
            relay.cut(reset=number % 2 == 0)
            await running.redialled(agent, number)
            assert (await fetched(running)).status == 200
    paired(running)
