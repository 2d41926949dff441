"""The feed of a running server: what it answers, what it does when told, news, and guests that misbehave.

One process and two workers answer alike. Commands of the operator are run as programs.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.support.shell_cluster import cluster
from tests.support.shell_local import hello, serving
from tests.support.shell_visitor import fetched
from tests.support.shell_world import PATIENCE, Log, World, nothing_left, until, world

from tunnel.agent.end import NotAuthorised
from tunnel.cli.main import run
from tunnel.core.base.ids import Instant, Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.directory.directory import Directory
from tunnel.core.link.messages import Share
from tunnel.core.token.token import AccountId
from tunnel.drive.clock import SystemClock
from tunnel.drive.directory_file import publish_directory
from tunnel.drive.feed import (
    FEED,
    GUESTS_MAX,
    NEWS_MAX,
    QUESTION_BYTES_MAX,
    Answer,
    Facts,
    FeedClient,
    Subscription,
    feeding,
)
from tunnel.server.gate import Gate
from tunnel.server.merged_feed import MergedFeed

pytestmark = pytest.mark.anyio

MINE: Final = AccountId(b"a" * 16)
CROWD: Final = 4


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory of its own."""
    return tmp_path / "state"


@asynccontextmanager
async def served(directory: Path, workers: int) -> AsyncIterator[World]:
    """A server of one process (0) or of so many workers."""
    if workers:
        async with cluster(directory, workers) as running:
            yield running.world
    else:
        async with world(directory / "state") as running:
            yield running


async def asked(running: World, question: str, **facts: object) -> Answer:
    """An answer that must be there."""
    told = await FeedClient(running.state).ask(question, **facts)
    assert isinstance(told, Success), told
    return value_of(told)


def items_of(answer: Answer) -> list[dict[str, object]]:
    items = answer["items"]
    assert isinstance(items, list)
    return items


class Operator:
    """Runs commands as a program would, in a thread, and hears what they say."""

    def __init__(self, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._state = str(state)
        self._capsys = capsys

    async def says(self, *arguments: str, code: int = 0) -> str:
        """What a command told, on both of its outputs."""
        self._capsys.readouterr()
        ended = await asyncio.to_thread(run, [*arguments, "--state", self._state], {})
        told = self._capsys.readouterr()
        assert ended == code, told
        return told.out + told.err


@pytest.mark.shows("GATE-FEED-001", "GATE-FEED-002", "GATE-FEED-003", "GATE-HOLD-001")
@pytest.mark.parametrize("workers", [0, 2])
async def test_what_a_server_knows_is_told(tmp_path: Path, workers: int) -> None:
    async with serving(hello) as service, served(tmp_path, workers) as running:
        async with running.agent(service.address), running.agent(service.address, "other"):
            for _ in range(3):
                assert (await fetched(running, "/a/path?token=secret")).status == 200
            sessions = items_of(await asked(running, "sessions"))
            assert sorted(str(each["names"]) for each in sessions) == ["['demo']", "['other']"]
            assert {each["account"] for each in sessions} == {MINE.hex()}
            endpoints = items_of(await asked(running, "endpoints"))
            assert sorted(str(each["name"]) for each in endpoints) == ["demo", "other"]
            holder = await asked(running, "holder", name="demo")
            (held,) = items_of(holder)
            assert (held["name"], held["kind"], held["account"], holder["reserved"]) == ("demo", "http", MINE.hex(), "")
            recent = items_of(await asked(running, "recent", name="demo"))
            assert [each["status"] for each in recent] == [200, 200, 200]
            assert "secret" not in json.dumps(recent)
            assert {each["path"] for each in recent} == {"/a/path"}
            assert set(recent[0]) >= {"at", "hops", "milliseconds", "request_id", "outcome", "peer"}
            health = await asked(running, "health")
            assert len(items_of(health)) == max(workers, 1)
        gone = await asked(running, "holder", name="demo")
        async with asyncio.timeout(PATIENCE):
            while items_of(gone):
                gone = await asked(running, "holder", name="demo")
        offline = gone["offline"]
        assert isinstance(offline, dict)
        assert offline["account"] == MINE.hex()
        assert offline["lapses"] > offline["since"]


@pytest.mark.shows("GATE-ORDER-001", "GATE-ORDER-002", "GATE-HOLD-001")
@pytest.mark.parametrize("workers", [0, 2])
async def test_an_operator_ends_a_session_and_moves_another(
    tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(hello) as service, served(tmp_path, workers) as running:
        operator = Operator(running.state, capsys)
        async with running.agent(service.address) as agent, running.agent(service.address, "other") as mover:
            published = publish_directory(running.state, Directory(1, UnixSeconds(1), names={Label("demo"): MINE}))
            assert isinstance(published, Success)
            await asked(running, "directory")
            told = await operator.says("who-holds", "demo")
            assert "held by 1 link" in told
            assert f"reserved by account {MINE.hex()}" in told
            listed = await operator.says("sessions")
            assert "demo" in listed
            assert "directory 1, " in listed
            assert "0 revoked tokens, 1 reserved name, 0 accounts" in listed
            numbers = {each["name"]: each["session"] for each in items_of(await asked(running, "endpoints"))}
            await operator.says("sessions", "--kick", str(numbers["demo"]), "--reason", "spring cleaning")
            ended = await agent.end()
            assert isinstance(ended, Failure)
            end = error_of(ended)
            assert isinstance(end, NotAuthorised)
            assert (end.code, "spring cleaning" in end.detail) == ("ended-by-operator", True)
            await operator.says("sessions", "--drain", str(numbers["other"]))
            await running.redialled(mover)
            assert (await fetched(running, name="other")).status == 200
            async with AsyncExitStack() as crowd:
                entered = [
                    await crowd.enter_async_context(running.agent(service.address, "crowd", share=Share.POOL))
                    for _ in range(CROWD)
                ]
                assert (await asked(running, "drain", name="crowd"))["count"] == CROWD
                for each in entered:
                    await running.redialled(each)
                assert (await asked(running, "kick", name="crowd", reason="enough"))["count"] == CROWD
                for each in entered:
                    assert isinstance(await each.end(), Failure)
            assert "there is no session 99999" in await operator.says("sessions", "--kick", "99999", code=1)
            assert "nobody answers for `demo`" in await operator.says("who-holds", "demo")


@pytest.mark.shows("GATE-HOLD-002")
async def test_without_a_server_commands_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    operator = Operator(tmp_path, capsys)
    told = await operator.says("who-holds", "demo")
    assert "no server runs" in told
    assert "nobody answers for `demo` now; it is reserved by nobody" in told
    await until(lambda: not list(tmp_path.iterdir()))
    assert "no server runs" in await operator.says("sessions", code=5)
    nowhere = ("--database", "postgresql://nobody@127.0.0.1:1/nothing")
    assert "the database cannot be used now" in await operator.says("who-holds", "demo", *nowhere, code=5)
    await operator.says("who-holds", "No such name!", code=2)
    unseen = Operator(tmp_path / ("x" * 300), capsys)  # the system does not even look, as where it is forbidden to
    assert "the database cannot be used now" in await unseen.says("who-holds", "demo", code=5)
    await operator.says("sessions", "--kick", "x", code=2)


@pytest.mark.shows("GATE-FEED-004")
@pytest.mark.parametrize("workers", [0, 2])
async def test_news_come_as_they_happen(tmp_path: Path, workers: int) -> None:
    async with serving(hello) as service, served(tmp_path, workers) as running, running.agent(service.address):
        heard: list[Answer] = []
        hear = heard.append

        async def listen() -> None:
            async for piece in FeedClient(running.state).events():
                hear(piece)

        listening = asyncio.create_task(listen())
        try:
            async with asyncio.timeout(PATIENCE):
                while not any(piece["event"] == "exchange" for piece in heard):
                    assert (await fetched(running, "/seen?code=hidden")).status == 200
            first = next(piece for piece in heard if piece["event"] == "exchange")
            assert (first["name"], first["path"], first["status"]) == ("demo", "/seen", 200)
            async with running.agent(service.address, "late"):
                await until(lambda: any(piece["event"] == "NameGranted" for piece in heard))
        finally:
            listening.cancel()
            await asyncio.wait([listening])


@pytest.mark.shows("GATE-FEED-005", "GATE-FEED-006")
async def test_guests_that_misbehave_cost_themselves_alone(state: Path) -> None:
    async with serving(hello) as service, world(state) as running, running.agent(service.address):
        assert (state / FEED).stat().st_mode & 0o777 == 0o600
        unknown = await FeedClient(state).ask("everything")
        assert isinstance(unknown, Failure)
        assert "unknown question 'everything'" in error_of(unknown)
        for words in (
            b"not json\n",
            b"[" * (QUESTION_BYTES_MAX - 1) + b"\n",
            b"[1]\n",
            b"x" * (QUESTION_BYTES_MAX * 2) + b"\n",
            b'{"ask": "ping"',
        ):
            reader, writer = await asyncio.open_unix_connection(state / FEED)
            writer.write(words)
            if not words.endswith(b"\n"):
                writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                assert await reader.read() == b""
            writer.transport.abort()
        crowd = [await asyncio.open_unix_connection(state / FEED) for _ in range(GUESTS_MAX)]
        refused = await FeedClient(state).ask("ping")
        assert isinstance(refused, Failure)
        for _, writer in crowd:
            writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while not isinstance(await FeedClient(state).ask("ping"), Success):
                pass
        assert (await fetched(running)).status == 200


@pytest.mark.shows("GATE-FEED-002", "GATE-FEED-005")
async def test_facts_of_any_name_are_passed_on_to_every_worker(tmp_path: Path) -> None:
    """Of those that the words for asking have, too: what makes no sense to a worker is not there for it."""

    class Worker:
        def __init__(self) -> None:
            self.heard: list[tuple[str, Facts]] = []

        async def answer(self, question: str, facts: Facts) -> Answer:
            self.heard.append((question, facts))
            return {"ok": True, "count": 1}

        def subscribe(self) -> Subscription:
            return Subscription()

        def unsubscribe(self, subscription: Subscription) -> None:
            """Nobody listens."""

    one, two = Worker(), Worker()
    log = Log()
    paths = [tmp_path / "one", tmp_path / "two"]
    async with feeding(tmp_path, "one", one), feeding(tmp_path, "two", two):
        merged = MergedFeed(Gate(tmp_path, Nobody(), SystemClock(), log), lambda: paths)
        async with feeding(tmp_path, FEED, merged):
            reader, writer = await asyncio.open_unix_connection(tmp_path / FEED)
            writer.write(b'{"ask": "kick", "question": 1, "self": 2, "ask ": 3}\n')
            async with asyncio.timeout(PATIENCE):
                told = json.loads(await reader.readline())
            writer.transport.abort()
    assert told == {"ok": True, "count": 2, "workers": 2, "silent": 0}
    assert one.heard == two.heard == [("kick", {"question": 1, "self": 2, "ask ": 3})]


class Nobody:
    """Learns nothing."""

    def learn(self, directory: Directory, now: Instant) -> None:
        """Forget it at once."""


@pytest.mark.shows("GATE-FEED-006")
async def test_one_who_does_not_read_is_told_how_much_it_missed() -> None:
    subscription = Subscription()
    for number in range(NEWS_MAX + 7):
        subscription.put(json.dumps(number))
    taken = [json.loads(await subscription.next()) for _ in range(NEWS_MAX + 1)]
    assert taken == [*range(NEWS_MAX), {"left_out": 7}]
    subscription.put("1")
    assert await subscription.next() == "1"


@pytest.mark.shows("GATE-FEED-005")
async def test_one_who_asks_for_news_and_hangs_up_at_once_is_forgotten(tmp_path: Path) -> None:
    class Newsroom:
        def __init__(self) -> None:
            self.begun = 0
            self.listening: set[Subscription] = set()

        async def answer(self, question: str, facts: Facts) -> Answer:
            return {"ok": True}

        def subscribe(self) -> Subscription:
            subscription = Subscription()
            self.begun += 1
            self.listening.add(subscription)
            return subscription

        def unsubscribe(self, subscription: Subscription) -> None:
            self.listening.discard(subscription)

    room = Newsroom()
    async with feeding(tmp_path, FEED, room) as fed:
        assert isinstance(fed, Success)
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as hasty:
                hasty.connect(str(tmp_path / FEED))
                hasty.sendall(b'{"ask": "events"}\n')
        await until(lambda: room.begun == 3)
    assert room.listening == set()


@pytest.mark.shows("GATE-FEED-001")
async def test_a_second_server_does_not_take_the_feed_of_the_first(state: Path) -> None:
    class Nobody:
        async def answer(self, question: str, facts: Facts) -> Answer:
            return {"ok": True, "pid": -1}

        def subscribe(self) -> Subscription:
            return Subscription()

        def unsubscribe(self, subscription: Subscription) -> None:
            """Nothing."""

    async with world(state) as running:
        async with nothing_left(), feeding(state, FEED, Nobody()) as second:
            assert isinstance(second, Failure)
            assert "another server answers there" in error_of(second)
        assert (await asked(running, "ping"))["pid"] == os.getpid()
    (state / FEED).write_bytes(b"left behind")
    async with feeding(state, FEED, Nobody()) as third:
        assert isinstance(third, Success)
    assert not (state / FEED).exists()
