"""The gate of a running server: what a directory says holds at once, for live sessions, too, over real sockets.

The directory is written and pushed as the control process does it. Times are measured and printed, and bounded by
patience alone.
"""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic, time
from typing import Final

import pytest
from tests.support.shell_cluster import Cluster, cluster
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_raw import AWAY, DATA, RST, UPDATE, RawAgent, data, header, raw_agent
from tests.support.shell_visitor import Visitor, fetched, get, visitor
from tests.support.shell_world import PATIENCE, Log, World, world

from tunnel.agent.end import NameDenied, NotAuthorised
from tunnel.core.base.ids import Instant, Label, UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.directory.directory import AccountFacts, Directory, Quota
from tunnel.core.directory.month import month_of
from tunnel.core.token.token import AccountId, TokenId
from tunnel.drive.clock import SystemClock
from tunnel.drive.directory_file import BEFORE, DIRECTORY, publish_directory
from tunnel.drive.feed import FeedClient
from tunnel.observe.events import (
    ExchangeDone,
    LinkRefused,
    NameReleased,
    SessionEnded,
    SessionOpened,
    ShuttingDown,
    Warned,
)
from tunnel.server.gate import Gate

pytestmark = pytest.mark.anyio

MINE, OTHER = AccountId(b"a" * 16), AccountId(b"b" * 16)
TOKEN: Final = TokenId(b"1" * 16)
MADE: Final = UnixSeconds(1_790_000_000)
REVOKED: Final = Directory(1, MADE, revoked=frozenset({TOKEN}))
SUSPENDED: Final = Directory(1, MADE, accounts={MINE: AccountFacts(MINE, is_suspended=True)})


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory of its own: what is published in it stays there."""
    return tmp_path / "state"


def published(state: Path, directory: Directory) -> None:
    """Written as the control process writes it."""
    state.mkdir(mode=0o700, exist_ok=True)
    done = publish_directory(state, directory)
    assert isinstance(done, Success), done


async def pushed(state: Path, directory: Directory) -> dict[str, object]:
    """Written, and told over the feed."""
    published(state, directory)
    told = await FeedClient(state).ask("directory")
    assert isinstance(told, Success), told
    return value_of(told)


@pytest.mark.shows("GATE-CUT-002", "GATE-CUT-003")
@pytest.mark.parametrize(
    ("directory", "code"), [(REVOKED, "revoked"), (SUSPENDED, "suspended")], ids=["revoked", "suspended"]
)
async def test_a_push_ends_a_live_session_and_its_agent_does_not_come_back(
    state: Path, directory: Directory, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        serving(hello) as service,
        world(state) as running,
        running.agent(service.address, "other", token=running.token(account=OTHER)),
    ):
        token = running.token(token_id=TOKEN)
        async with running.agent(service.address, token=token) as agent:
            assert (await fetched(running)).status == 200
            begun = monotonic()
            await pushed(state, directory)
            assert (await fetched(running)).status == 503, "who was told serves it no more"
            ended = await agent.end()
            with capsys.disabled():
                sys.stdout.write(f"  {code}: ended {(monotonic() - begun) * 1000:.1f} ms after the push\n")
        assert isinstance(ended, Failure)
        end = error_of(ended)
        assert isinstance(end, NotAuthorised)
        assert end.code == code
        assert (await running.log.next(SessionEnded)).reason == end.detail
        assert (await fetched(running)).status == 503
        async with running.agent(service.address, token=token, is_ready=False) as again:
            refusal = await again.refused()
            assert isinstance(refusal, NotAuthorised)
            assert refusal.code == code
        # Said before the agent was told, so it need not be waited for.
        assert [event.code for event in running.log.all(LinkRefused)] == [code]
        assert (await fetched(running, name="other")).status == 200


@pytest.mark.shows("GATE-CUT-002", "GATE-WORK-001")
async def test_a_push_reaches_every_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(hello) as service, cluster(tmp_path, 2) as running:
        here = running.world
        async with asyncio.TaskGroup() as tasks:
            ready = asyncio.Event()

            async def one(number: int) -> None:
                token = here.token(token_id=TOKEN)
                async with here.agent(service.address, f"n{number}", token=token) as agent:
                    counted.append(number)
                    if len(counted) == AGENTS:
                        ready.set()
                    ends.append(await agent.end())

            counted: list[int] = []
            ends: list[object] = []
            for number in range(AGENTS):
                tasks.create_task(one(number))
            async with asyncio.timeout(PATIENCE):
                await ready.wait()
            told = await FeedClient(here.state).ask("sessions")
            assert isinstance(told, Success)
            sessions = value_of(told)
            assert sessions["workers"] == 2
            items = sessions["items"]
            assert isinstance(items, list)
            assert len(items) == AGENTS
            begun = monotonic()
            await pushed(here.state, REVOKED)
        with capsys.disabled():
            sys.stdout.write(f"  {AGENTS} agents of two workers ended after {(monotonic() - begun) * 1000:.1f} ms\n")
        assert len(ends) == AGENTS
        assert all(isinstance(end, Failure) for end in ends)
        async with here.agent(service.address, token=here.token(token_id=TOKEN), is_ready=False) as again:
            await again.refused()


AGENTS: Final = 6


@pytest.mark.shows("GATE-NAME-003")
async def test_a_name_that_is_reserved_while_another_account_has_it_is_taken_away(state: Path) -> None:
    async with serving(hello) as service, world(state) as running:
        async with running.agent(service.address, token=running.token(account=OTHER)) as agent:
            await pushed(state, Directory(1, MADE, names={Label("demo"): MINE}))
            ended = await agent.end()
            assert isinstance(ended, Failure)
            assert isinstance(error_of(ended), NameDenied)
            await running.log.next(NameReleased)
        async with running.agent(service.address, token=running.token(account=MINE)):
            assert (await fetched(running)).status == 200
        async with running.agent(service.address, token=running.token(account=OTHER), is_ready=False) as refused:
            await refused.refused()


@pytest.mark.shows("GATE-NAME-004")
async def test_a_name_that_is_reserved_after_its_agent_left_takes_its_last_visitors_along(state: Path) -> None:
    """The agent's link stays for what runs; that of a name that nobody reserved runs on."""
    async with (
        world(state) as running,
        raw_agent(running) as agent,
        raw_agent(running) as other,
        visitor(running) as one,
        visitor(running) as two,
    ):
        await agent.login(running.token(account=OTHER))
        await other.login(running.token(account=OTHER), name="other")
        await half_answered(running, agent, one, "demo")
        await half_answered(running, other, two, "other")
        for each in (agent, other):
            await each.send(header(AWAY, 0, 0, 0))
            await each.frame_of(AWAY)
        await pushed(state, Directory(1, MADE, names={Label("demo"): MINE}))
        await agent.frame_of(UPDATE, RST, stream=2)
        assert await one.to_the_end() == b"half"
        await other.send(data(2, b"rest"))
        assert await two.exactly(8) == b"halfrest"
        assert [done.name for done in running.log.all(ExchangeDone)] == ["demo"]


async def half_answered(running: World, agent: RawAgent, visiting: Visitor, name: str) -> None:
    """The visitor has the head of an answer, and half of its body is on the way."""
    await visiting.send(get(running, name=name))
    await agent.frame_of(DATA, stream=2)
    await agent.send(data(2, b"\x01\x00HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
    assert (await visiting.head())[0] == 200


@pytest.mark.shows("GATE-FILE-003")
async def test_what_was_told_before_holds_from_the_first_moment(state: Path) -> None:
    published(state, REVOKED)
    async with serving(hello) as service, world(state) as running:
        async with running.agent(service.address, token=running.token(token_id=TOKEN), is_ready=False) as agent:
            await agent.refused()
        health = await FeedClient(state).ask("health")
        assert isinstance(health, Success)
        told = value_of(health)["directory"]
        assert isinstance(told, dict)
        assert (told["number"], told["made_at"], told["revoked"], told["trouble"]) == (1, MADE, 1, "")


@pytest.mark.shows("GATE-FILE-004")
async def test_a_damaged_file_changes_nothing_for_who_knows_better(state: Path) -> None:
    async with serving(hello) as service, world(state) as running:
        await pushed(state, REVOKED)
        (state / DIRECTORY).write_bytes(b"tnldir1\n and nothing more")
        told = await FeedClient(state).ask("directory")
        assert isinstance(told, Success)
        assert value_of(told)["taken"] is False
        assert "cannot be right" in str(value_of(told)["trouble"])
        assert "what was known stays" in (await running.log.next(Warned)).message
        async with running.agent(service.address, token=running.token(token_id=TOKEN), is_ready=False) as agent:
            await agent.refused()
        await pushed(state, Directory(2, MADE))
        async with running.agent(service.address, token=running.token(token_id=TOKEN)):
            assert (await fetched(running)).status == 200


@pytest.mark.shows("GATE-FILE-004")
async def test_who_begins_with_a_damaged_file_takes_the_one_before(state: Path) -> None:
    published(state, REVOKED)
    published(state, Directory(2, MADE, revoked=frozenset({TOKEN, TokenId(b"2" * 16)})))
    (state / DIRECTORY).write_bytes(b"")
    async with serving(hello) as service, world(state) as running:
        async with running.agent(service.address, token=running.token(token_id=TOKEN), is_ready=False) as agent:
            await agent.refused()
        assert any(BEFORE in event.message for event in running.log.all(Warned))


@pytest.mark.shows("GATE-FILE-004")
async def test_with_both_files_damaged_tokens_alone_decide_and_that_is_said(state: Path) -> None:
    published(state, REVOKED)
    for name in (DIRECTORY, BEFORE):
        (state / name).write_bytes(b"?")
    async with serving(hello) as service, world(state) as running:
        assert any("tokens alone decide" in event.message for event in running.log.all(Warned))
        async with running.agent(service.address, token=running.token(token_id=TOKEN)) as agent:
            await pushed(state, REVOKED)
            assert isinstance(await agent.end(), Failure)


@pytest.mark.shows("GATE-TELL-002")
async def test_a_flood_of_pushes_comes_to_the_last(state: Path) -> None:
    async with serving(hello) as service, world(state) as running, running.agent(service.address) as agent:
        for number in range(1, 40):
            published(state, Directory(number, MADE, revoked=frozenset({TokenId(bytes([number]) * 16)})))
            if number % 4 == 0:
                asked = [FeedClient(state).ask("directory") for _ in range(8)]
                assert all(isinstance(told, Success) for told in await asyncio.gather(*asked))
        last = await FeedClient(state).ask("directory")
        assert isinstance(last, Success)
        assert value_of(last)["number"] == 39
        assert (await fetched(running)).status == 200
        assert not agent.task.done()


@pytest.mark.shows("GATE-TELL-003")
async def test_a_push_that_nobody_heard_is_made_good_by_a_look(state: Path) -> None:
    async with (
        serving(hello) as service,
        world(state) as running,
        running.agent(service.address, token=running.token(token_id=TOKEN)) as agent,
    ):
        published(state, REVOKED)
        assert isinstance(await agent.end(), Failure)


@pytest.mark.shows("GATE-QUOTA-001", "GATE-QUOTA-002")
async def test_a_plan_bounds_endpoints_and_requests(state: Path) -> None:
    now = UnixSeconds(int(time()))
    facts = AccountFacts(MINE, quota=Quota(endpoints_max=1, requests_month=10), requests_used=8)
    published(state, Directory(1, now, month_of(now), accounts={MINE: facts}))
    async with serving(hello) as service, world(state) as running, running.agent(service.address):
        async with running.agent(service.address, "second", is_ready=False) as second:
            await second.refused()
        answers = [await fetched(running) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 402, 402]
        assert b"requests-used-up" in answers[-1].body


class Pupil:
    """Counts how often it had to learn."""

    def __init__(self) -> None:
        self.learnt: list[int] = []

    def learn(self, directory: Directory, now: Instant) -> None:
        """Remember which."""
        self.learnt.append(directory.number)


@pytest.mark.shows("GATE-FILE-005", "GATE-FILE-006")
async def test_a_look_takes_what_can_be_used_now_and_teaches_only_what_is_new(state: Path) -> None:
    pupil, log = Pupil(), Log()
    gate = Gate(state, pupil, SystemClock(), log)
    gate.begin()
    assert gate.age_seconds() == -1
    published(state, REVOKED)
    (state / DIRECTORY).chmod(0o666)
    assert [gate.look_again() for _ in range(3)] == [False, False, False]
    assert "others than its owner" in gate.trouble
    assert len(log.all(Warned)) == 1
    (state / DIRECTORY).chmod(0o600)
    assert [gate.look_again() for _ in range(3)] == [True, False, False]
    assert (gate.trouble, gate.directory.revoked) == ("", REVOKED.revoked)
    published(state, replace(REVOKED, made_at=UnixSeconds(MADE + 10)))
    assert gate.look_again()
    assert gate.directory.made_at == MADE + 10
    assert pupil.learnt == [1]
    published(state, replace(REVOKED, number=3, revoked=frozenset()))
    assert gate.look_again()
    assert pupil.learnt == [1, 3]


async def half(connection: Connection) -> None:
    """Begins an answer and does not end it."""
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await connection.until_ended()


@pytest.mark.shows("GATE-CUT-004")
@pytest.mark.parametrize("workers", [0, 2])
async def test_a_push_ends_sessions_of_a_server_that_is_about_to_end(tmp_path: Path, workers: int) -> None:
    """A download would run on for the whole grace period; that of who is revoked does not."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(serving(half))
        running: Cluster | None = None
        if workers:
            running = await stack.enter_async_context(cluster(tmp_path, workers))
            here = running.world
        else:
            here = await stack.enter_async_context(world(tmp_path / "state", Limits(grace_seconds=60.0)))
        token = here.token(token_id=TOKEN)
        await stack.enter_async_context(here.agent(service.address, token=token))
        one = await stack.enter_async_context(visitor(here))
        await one.send(get(here))
        assert (await one.head())[0] == 200
        first = await here.log.next(SessionOpened)
        if running is not None:
            running.process.send_signal(signal.SIGTERM)
        else:
            here.stop.set()
        await here.log.next(ShuttingDown)
        await pushed(here.state, REVOKED)
        # Another worker may have let the agent in before it heard of the end: that link ends first, with nothing on it.
        number = 1
        while (ended := await here.log.next(SessionEnded, number)).session != first.session:
            number += 1
        assert "revoked" in ended.reason
        assert await one.to_the_end() == b"half"
        if running is not None:
            # Left before it has ended by itself, it would hear a second signal, which cuts everything off.
            async with asyncio.timeout(PATIENCE):
                await running.process.wait()
