"""The publisher between a real store and a data plane: what changes is told at once, and what is away is waited for.

Most of it is asked turn by turn (`Publisher.look`), with a clock that a test moves; one test lets a real server, a real
publisher and a real agent meet.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Final

import pytest
from tests.support.api_world import OURS, SHELL, THEIRS, World, api_world
from tests.support.shell_local import hello, serving
from tests.support.shell_visitor import fetched
from tests.support.shell_world import world

from tunnel.api import publishing
from tunnel.api.publishing import FRESH_SECONDS, LEASES_SECONDS, Publisher, leases_of
from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Success, value_of
from tunnel.core.control.account import AccountChange, Plan
from tunnel.core.control.facts import Revocation
from tunnel.core.control.name import NameRecord
from tunnel.core.directory.directory import Directory, Quota
from tunnel.core.directory.month import month_of
from tunnel.core.token.token import TokenId
from tunnel.drive.clock import SystemClock, SystemEntropy
from tunnel.drive.directory_file import DIRECTORY, read_directory
from tunnel.drive.feed import FeedClient
from tunnel.drive.server_id import server_id

pytestmark = pytest.mark.anyio

TOKEN: Final = TokenId(b"1" * 16)
LATER: Final = UnixSeconds(4_000_000_000)
TAKEN: Final[dict[str, object]] = {"ok": True}


@asynccontextmanager
async def beside(state: Path) -> AsyncIterator[tuple[World, Publisher]]:
    """A control plane of two accounts whose data plane takes every directory, and a publisher that has begun."""
    async with api_world(state) as control:
        control.feed.answers["directory"] = TAKEN
        publisher = Publisher(control.plane)
        await publisher.look()
        yield control, publisher


def published(state: Path) -> Directory:
    read = read_directory(state)
    assert isinstance(read, Success), read
    directory = value_of(read)
    assert directory is not None
    return directory


def told(control: World) -> int:
    """How often the data plane was told to look."""
    return sum(question == "directory" for question, _ in control.feed.asked)


@pytest.mark.shows("GATE-PUB-001")
async def test_what_the_store_says_is_what_the_data_plane_is_told(tmp_path: Path) -> None:
    async with beside(tmp_path) as (control, publisher):
        store, now = control.plane.store, control.clock.unix()
        await store.set_plan(Plan("small", 3, 2, 1000, 1_000_000, 5), SHELL, now)
        await store.change_account(OURS, AccountChange(plan="small", ttl_default=60, ttl_max=3600), SHELL, now)
        await store.change_account(THEIRS, AccountChange(is_suspended=True), SHELL, now)
        await store.reserve_name(NameRecord(Label("demo"), OURS, now, ""), SHELL, now)
        await store.revoke_step(Revocation(TOKEN, OURS, now, LATER), SHELL, now)
        before = told(control)
        await publisher.look()
        directory = published(tmp_path)
        assert told(control) == before + 1
        assert (directory.made_at, directory.month) == (now, month_of(now))
        assert (directory.revoked, directory.names) == (frozenset({TOKEN}), {Label("demo"): OURS})
        ours, theirs = directory.accounts[OURS], directory.accounts[THEIRS]
        assert ours.quota == Quota(2, 1000, 1_000_000, 5)
        assert (ours.ttl_default, ours.ttl_max, ours.is_suspended, theirs.is_suspended) == (60, 3600, False, True)
        number = await store.change_number()
        assert Success(directory.number) == number
        await publisher.look()
        assert told(control) == before + 1


@pytest.mark.shows("GATE-PUB-001")
async def test_a_directory_is_made_anew_now_and_then_and_forgets_what_has_expired(tmp_path: Path) -> None:
    async with beside(tmp_path) as (control, publisher):
        now = control.clock.unix()
        await control.plane.store.revoke_step(Revocation(TOKEN, OURS, now, UnixSeconds(now + 5)), SHELL, now)
        await publisher.look()
        assert published(tmp_path).revoked == {TOKEN}
        control.clock.seconds += FRESH_SECONDS
        await publisher.look()
        fresh = published(tmp_path)
        assert (fresh.revoked, fresh.made_at) == (frozenset(), now + FRESH_SECONDS)


@pytest.mark.shows("GATE-PUB-002")
async def test_a_store_that_is_away_changes_nothing_but_the_age(tmp_path: Path) -> None:
    async with beside(tmp_path) as (control, publisher):
        now = control.clock.unix()
        await control.plane.store.revoke_step(Revocation(TOKEN, OURS, now, LATER), SHELL, now)
        await publisher.look()
        await control.plane.store.close()
        control.clock.seconds += 300
        for _ in range(3):
            await publisher.look()
        assert published(tmp_path).revoked == {TOKEN}
        (standing,) = [each for each in control.plane.board.standings() if each.service == publishing.SERVICE]
        assert not standing.is_ready
        assert "300 s old" in standing.detail


@pytest.mark.shows("GATE-PUB-003")
async def test_a_data_plane_that_is_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    async with beside(tmp_path) as (control, publisher):
        now = control.clock.unix()
        control.feed.answers.clear()
        await control.plane.store.revoke_step(Revocation(TOKEN, OURS, now, LATER), SHELL, now)
        for _ in range(3):
            await publisher.look()
        assert published(tmp_path).revoked == {TOKEN}
        control.feed.answers["directory"] = TAKEN
        before = told(control)
        await publisher.look()
        await publisher.look()
        assert told(control) == before + 1


@pytest.mark.shows("GATE-PUB-002")
async def test_a_disk_that_takes_nothing_is_said_and_tried_again(tmp_path: Path) -> None:
    async with beside(tmp_path) as (control, publisher):
        now = control.clock.unix()
        (tmp_path / DIRECTORY).unlink()
        (tmp_path / DIRECTORY).mkdir()
        await control.plane.store.revoke_step(Revocation(TOKEN, OURS, now, LATER), SHELL, now)
        await publisher.look()
        (standing,) = [each for each in control.plane.board.standings() if each.service == publishing.SERVICE]
        assert not standing.is_ready
        (tmp_path / DIRECTORY).rmdir()
        await publisher.look()
        assert published(tmp_path).revoked == {TOKEN}


@pytest.mark.shows("GATE-PUB-004")
async def test_the_store_hears_who_holds_what(tmp_path: Path) -> None:
    held: dict[str, object] = {
        "name": "demo",
        "account": OURS.hex(),
        "peer": "192.0.2.1:4",
        "host": "here",
        "session": 3,
    }
    times: dict[str, object] = {"session": 3, "epoch": 7, "since": 1, "heartbeat": 2, "lapses": 3}
    async with beside(tmp_path) as (control, publisher):
        control.feed.answers["endpoints"] = {"items": [{**held, **times}]}
        control.clock.seconds += LEASES_SECONDS
        await publisher.look()
        known = await control.plane.store.leases_of(Label("demo"))
        assert isinstance(known, Success)
        (lease,) = value_of(known)
        assert (lease.account, lease.session, lease.epoch, lease.host) == (OURS, "3", 7, "here")
        assert Success(lease.server) == server_id(tmp_path, SystemEntropy())
        control.feed.answers["endpoints"] = {"items": []}
        control.clock.seconds += LEASES_SECONDS
        await publisher.look()
        assert await control.plane.store.leases_of(Label("demo")) == Success(())


@pytest.mark.parametrize(
    "items",
    [None, 3, [None], [{}], [{"name": "a", "account": "zz", "peer": "", "host": "", "session": 1}], [["demo"]]],
)
def test_what_is_no_endpoint_is_left_out(items: object) -> None:
    times: dict[str, object] = {"epoch": 7, "since": 1, "heartbeat": 2, "lapses": 3}
    held = items if isinstance(items, list) else [items]
    assert leases_of({"items": [{**item, **times} if isinstance(item, dict) else item for item in held]}, "s") == []
    assert leases_of({"items": items}, "s") == []


@pytest.mark.shows("GATE-CUT-002")
async def test_a_revocation_in_the_store_ends_the_live_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    async with (
        serving(hello) as service,
        world(state) as running,
        api_world(state) as control,
        running.agent(service.address, token=running.token(token_id=TOKEN)) as agent,
    ):
        plane = replace(control.plane, clock=SystemClock(), feed=FeedClient(state))
        publisher = asyncio.create_task(publishing.run(plane))
        try:
            assert (await fetched(running)).status == 200
            now = SystemClock().unix()
            begun = monotonic()
            done = await plane.store.revoke_step(Revocation(TOKEN, OURS, now, LATER), SHELL, now)
            assert isinstance(done, Success), done
            assert isinstance(await agent.end(), Failure)
            with capsys.disabled():
                sys.stdout.write(f"  revoked in the store: ended after {(monotonic() - begun) * 1000:.0f} ms\n")
        finally:
            publisher.cancel()
            await asyncio.wait([publisher])
