"""Exposures that end by themselves: as asked, as the account allows, and with the token; said at both ends.

Real sockets and real time, as short as whole seconds allow; nothing here asserts how long anything took.
"""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import monotonic, time
from typing import Final

import pytest
from tests.support.shell_cluster import Cluster, cluster
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_raw import AWAY, DATA, RST, UPDATE, data, header, raw_agent
from tests.support.shell_relay import relaying
from tests.support.shell_visitor import CutShort, fetched, get, visitor
from tests.support.shell_world import PATIENCE, World, minted, until, world

from tunnel.agent.end import AgentEnd, ExposureOver, NotAuthorised
from tunnel.cli.exits import ExitCode, exit_of, sentence_of
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of
from tunnel.core.directory.directory import AccountFacts, Directory
from tunnel.core.token.token import AccountId, EndpointKind
from tunnel.drive.directory_file import publish_directory
from tunnel.observe.events import AgentReady, EndpointLapsed, ExchangeDone, NameReleased, SessionEnded
from tunnel.server.exposure import LAPSED

pytestmark = pytest.mark.anyio

ACCOUNT: Final = AccountId(b"a" * 16)
LIMITS: Final = Limits(grace_seconds=5.0, reconnect_seconds_min=0.02, reconnect_seconds_max=0.1)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory of its own: what is published in it stays there."""
    return tmp_path / "state"


def publish(state: Path, directory: Directory) -> None:
    """What the server knows of accounts when it starts."""
    state.mkdir(mode=0o700)
    published = publish_directory(state, directory)
    assert isinstance(published, Success)


def end_of(ended: Outcome[None, AgentEnd]) -> AgentEnd:
    assert isinstance(ended, Failure)
    return error_of(ended)


async def told_that_it_is_over(running: World) -> None:
    answer = await fetched(running)
    assert answer.status == 404
    assert b"exposure-over" in answer.body


@pytest.mark.shows("TOKEN-EXPOSE-001", "TOKEN-EXPOSE-002")
async def test_an_exposure_ends_when_its_agent_wished_and_everybody_is_told(state: Path) -> None:
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        running.agent(local.address, ttl_seconds=1) as agent,
    ):
        assert (await agent.log.next(AgentReady)).seconds_left == 1
        assert (await agent.end()) == Failure(ExposureOver("demo", LAPSED))
        over = await running.log.next(EndpointLapsed)
        assert (over.name, over.epoch) == ("demo", 1)
        assert (await running.log.next(NameReleased)).members == 0
        await told_that_it_is_over(running)
    end = ExposureOver("demo", LAPSED)
    assert exit_of(end) is ExitCode.LAPSED
    assert sentence_of(end) == f"'demo' is exposed no more: {LAPSED}"


@pytest.mark.shows("TOKEN-EXPOSE-001")
@pytest.mark.parametrize(("default", "longest", "asked"), [(1, 0, 0), (0, 1, 0), (0, 1, 3600), (3600, 1, 0)])
async def test_no_exposure_is_longer_than_its_account_allows(
    state: Path, default: int, longest: int, asked: int
) -> None:
    facts = AccountFacts(ACCOUNT, ttl_default=default, ttl_max=longest)
    publish(state, Directory(1, UnixSeconds(int(time())), accounts={ACCOUNT: facts}))
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        running.agent(local.address, ttl_seconds=asked) as agent,
    ):
        assert (await agent.log.next(AgentReady)).seconds_left == 1
        assert isinstance(end_of(await agent.end()), ExposureOver)
        await told_that_it_is_over(running)


async def never(connection: Connection) -> None:
    """Takes a request and says nothing."""
    await connection.request()
    await connection.until_ended()


async def drip(connection: Connection) -> None:
    """Begins an answer and does not end it."""
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await connection.until_ended()


@pytest.mark.shows("TOKEN-EXPOSE-003")
async def test_what_waits_for_an_answer_is_told_and_what_has_begun_is_cut(state: Path) -> None:
    async with (
        serving(never) as silent,
        serving(drip) as slow,
        world(state, LIMITS) as running,
        running.agent(silent.address, "silent", ttl_seconds=1),
        running.agent(slow.address, "slow", ttl_seconds=1),
        visitor(running) as one,
        visitor(running) as two,
    ):
        await one.send(get(running, name="silent"))
        await two.send(get(running, name="slow"))
        answer = await one.answer()
        assert answer.status == 404
        assert b"exposure-over" in answer.body
        with pytest.raises(CutShort):
            await two.answer()


@pytest.mark.shows("TOKEN-EXPOSE-002", "TOKEN-EXPOSE-003", "WORK-NAME-005", "WORK-CROSS-005")
async def test_visitors_of_all_workers_are_told_the_same(tmp_path: Path) -> None:
    """Those that wait for an answer, wherever their agent is linked, and those that come when the time is over."""
    async with (
        cluster(tmp_path) as running,
        serving(never) as silent,
        serving(drip) as slow,
        running.world.agent(silent.address, "silent", ttl_seconds=2) as one,
        running.world.agent(slow.address, "slow", ttl_seconds=2) as two,
    ):
        here = running.world
        async with AsyncExitStack() as stack:
            waiting = [await stack.enter_async_context(visitor(here)) for _ in range(WAITING)]
            begun = [await stack.enter_async_context(visitor(here)) for _ in range(WAITING)]
            for each in waiting:
                await each.send(get(here, name="silent"))
            for each in begun:
                await each.send(get(here, name="slow"))
            for each in waiting:
                answer = await each.answer()
                assert (answer.status, b"exposure-over" in answer.body) == (404, True)
            for each in begun:
                # Who comes too late for the beginning of the answer is told, too.
                with suppress(CutShort):
                    assert (await each.answer()).status == 404
        assert isinstance(end_of(await one.end()), ExposureOver)
        assert isinstance(end_of(await two.end()), ExposureOver)
        await told_by_both(running)


WAITING: Final = 6


async def told_by_both(running: Cluster) -> None:
    """Every visitor is told that the time is over, until two workers have said so."""
    before = len(running.told_by(ExchangeDone))
    told: set[int] = set()
    async with asyncio.timeout(PATIENCE):
        while len(told) < 2:
            seen = len(running.told_by(ExchangeDone))
            answer = await fetched(running.world, name="silent")
            assert (answer.status, b"exposure-over" in answer.body) == (404, True)
            await running.world.log.next(ExchangeDone, seen + 1)
            told = {worker for worker, _ in running.told_by(ExchangeDone)[before:]}


@pytest.mark.shows("TOKEN-EXPOSE-003")
async def test_an_agent_that_ignores_the_end_of_its_time_reaches_nobody(state: Path) -> None:
    """It keeps its link and goes on sending all the same."""
    publish(state, Directory(1, UnixSeconds(int(time())), accounts={ACCOUNT: AccountFacts(ACCOUNT, ttl_default=1)}))
    async with world(state, LIMITS) as running, raw_agent(running) as agent, visitor(running) as one:
        await agent.login(minted(state))
        await one.send(get(running))
        await agent.frame_of(DATA, stream=2)
        await agent.send(data(2, b"\x01\x00HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
        assert (await one.head())[0] == 200
        await agent.frame_of(UPDATE, RST, stream=2)
        await agent.send(data(2, b"of the rest"))
        assert await one.to_the_end() == b"half"
        await told_that_it_is_over(running)
        assert running.log.all(SessionEnded) == []


@pytest.mark.shows("TOKEN-EXPOSE-003")
async def test_an_agent_that_left_before_the_end_of_its_time_serves_nobody_beyond_it(state: Path) -> None:
    """The time of another, which began later and is longer, says when that end has passed."""
    publish(state, Directory(1, UnixSeconds(int(time())), accounts={ACCOUNT: AccountFacts(ACCOUNT, ttl_default=1)}))
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        raw_agent(running) as agent,
        visitor(running) as one,
    ):
        await agent.login(minted(state))
        await one.send(get(running))
        await agent.frame_of(DATA, stream=2)
        await agent.send(data(2, b"\x01\x00HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
        assert (await one.head())[0] == 200
        await agent.send(header(AWAY, 0, 0, 0))
        await agent.frame_of(AWAY)
        async with running.agent(local.address, "later", ttl_seconds=2) as later:
            assert isinstance(end_of(await later.end()), ExposureOver)
        assert [done.name for done in running.log.all(ExchangeDone)] == ["demo"]
        assert await one.to_the_end() == b"half"


@pytest.mark.bug("B2")
@pytest.mark.shows("TOKEN-EXPOSE-003")
async def test_with_its_token_everything_ends(state: Path) -> None:
    token = minted(state, seconds=2)
    async with (
        serving(never) as silent,
        world(state, LIMITS) as running,
        running.agent(silent.address, token=token, ttl_seconds=3600) as agent,
        visitor(running) as one,
    ):
        await one.send(get(running))
        answer = await one.answer()
        assert answer.status == 404
        assert b"exposure-over" in answer.body
        assert isinstance(end_of(await agent.end()), NotAuthorised)
        assert (await running.log.next(EndpointLapsed)).name == "demo"
        assert (await running.log.next(SessionEnded)).reason == "the token expired"
        await told_that_it_is_over(running)


@pytest.mark.shows("TOKEN-EXPOSE-003")
async def test_a_raw_connection_is_cut_when_its_time_is_over(state: Path) -> None:
    async with (
        serving(drip) as local,
        world(state, LIMITS) as running,
        running.agent(local.address, kind=EndpointKind.TLS, ttl_seconds=1) as agent,
    ):
        assert isinstance(end_of(await agent.end()), ExposureOver)
        assert (await running.log.next(EndpointLapsed)).name == "demo"


@pytest.mark.shows("TOKEN-EXPOSE-004")
async def test_dialling_again_begins_no_new_time(state: Path) -> None:
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        relaying(running.agents) as relay,
        running.agent(local.address, server=relay.address, ttl_seconds=3600) as agent,
    ):
        first = (await agent.log.next(AgentReady)).seconds_left
        begun = monotonic()
        await until(lambda: monotonic() - begun > 1.1)
        relay.cut()
        await running.redialled(agent)
        again = agent.log.all(AgentReady)[-1].seconds_left
        assert 0 < again < first == 3600


@pytest.mark.shows("TOKEN-EXPOSE-004", "TOKEN-EXPOSE-002")
async def test_an_agent_whose_time_went_by_without_a_link_does_not_dial_again(state: Path) -> None:
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        running.agent(local.address, ttl_seconds=1) as agent,
    ):
        running.stop.set()
        assert isinstance(end_of(await agent.end()), ExposureOver)
