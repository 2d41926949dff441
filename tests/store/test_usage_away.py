"""A server with its control process while SQLite goes away: visitors and agents notice nothing, no count is lost.

`make database` does the same with Postgres, under load and in eight ways.
"""

import asyncio
import os
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import httpx
import pytest
from tests.support.shell_local import hello, serving
from tests.support.shell_visitor import fetched
from tests.support.shell_world import LOOPBACK, PATIENCE, Log, World, world

from tunnel.api.applying import run
from tunnel.api.process import Service, run_control
from tunnel.api.settings import ControlSettings
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success
from tunnel.drive.address import Address
from tunnel.observe.events import ControlReady, SessionEnded
from tunnel.store.sqlite import SqliteDriver

pytestmark = pytest.mark.anyio

LIMITS: Final = Limits(grace_seconds=5.0)
APPLIER: Final = (Service("journal", run),)


@final
@dataclass
class Control:
    """A control process in the loop of the test."""

    url: str
    database: Path

    async def readiness(self) -> httpx.Response:
        """What `/readyz` says."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            return await client.get(f"{self.url}readyz")

    async def until_ready(self) -> None:
        """Return once it says so."""
        async with asyncio.timeout(3 * PATIENCE):
            while True:
                if (await self.readiness()).status_code == 200:
                    return
                await asyncio.sleep(0.05)

    async def until_waiting(self) -> httpx.Response:
        """The first answer that says how many bytes wait in the journals."""
        async with asyncio.timeout(3 * PATIENCE):
            while True:
                answer = await self.readiness()
                standing = answer.json()["parts"].get("journal", {"ready": True, "detail": ""})
                if not standing["ready"] and re.match(r"[1-9][0-9]* bytes wait in the journals: ", standing["detail"]):
                    return answer
                await asyncio.sleep(0.05)

    def requests(self) -> int:
        """How many requests the database knows of."""
        connection = sqlite3.connect(self.database)
        try:
            found = connection.execute("SELECT coalesce(sum(requests), 0) FROM usage_hours").fetchone()
            return int(found[0])
        finally:
            connection.close()

    async def until_counted(self, requests: int) -> None:
        """Return once the database knows of exactly so many."""
        async with asyncio.timeout(3 * PATIENCE):
            while (known := await asyncio.to_thread(self.requests)) != requests:
                assert known < requests
                await asyncio.sleep(0.05)


@asynccontextmanager
async def controlled(state: Path, database: Path) -> AsyncIterator[Control]:
    """A control process on a database file."""
    log, stop = Log(), asyncio.Event()
    settings = ControlSettings(state, Address(LOOPBACK, 0), f"sqlite:{database}")
    task = asyncio.create_task(run_control(settings, log, stop, APPLIER))
    try:
        yield Control((await log.next(ControlReady)).url, database)
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE):
            assert await task == Success(None)


async def serves(running: World, local: Address, number: int) -> None:
    """Three requests at the agent that is there, and one at a new one, which comes and goes."""
    for _ in range(3):
        assert (await fetched(running, name="steady")).status == 200
    async with running.agent(local, f"new-{number}"):
        assert (await fetched(running, name=f"new-{number}")).status == 200


def lock(database: Path) -> Callable[[], None]:
    """Somebody else writes, and does not come to an end."""
    holder = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    return holder.close


def lose(database: Path) -> Callable[[], None]:
    """The folder of the database is not there: a disk that is not mounted."""
    aside = database.parent.with_name("aside")
    database.parent.rename(aside)

    def back() -> None:
        aside.rename(database.parent)

    return back


def forbid(database: Path) -> Callable[[], None]:
    """Nobody may write to the file or beside it."""
    database.chmod(0o400)
    database.parent.chmod(0o500)

    def allow() -> None:
        database.parent.chmod(0o700)
        database.chmod(0o600)

    return allow


def spoil(database: Path) -> Callable[[], None]:
    """Something else is where the database was, until it is put back."""
    kept = database.parent.with_name("kept")
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    shutil.copytree(database.parent, kept)
    fresh = database.with_name("fresh")
    fresh.write_bytes(b"not a database at all " * 400)
    fresh.replace(database)

    def restore() -> None:
        (kept / database.name).replace(database)

    return restore


OUTAGES: Final = [
    lock,
    lose,
    spoil,
    pytest.param(forbid, marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every file")),
]


@pytest.mark.shows("JRNL-AWAY-001", "JRNL-AWAY-002", "JRNL-AWAY-003")
@pytest.mark.parametrize("outage", OUTAGES)
async def test_a_database_that_is_away_is_nobody_s_business_but_the_api_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outage: Callable[[Path], Callable[[], None]]
) -> None:
    monkeypatch.setattr(SqliteDriver.__init__, "__defaults__", (0.3,))  # a lock is waited for so long
    state, database = tmp_path / "state", tmp_path / "data" / "control.db"
    database.parent.mkdir()
    async with (
        world(state, LIMITS, journal=True) as running,
        serving(hello) as service,
        running.agent(service.address, "steady"),
        controlled(state, database) as control,
    ):
        await control.until_ready()
        await serves(running, service.address, 1)
        await control.until_counted(4)
        end = await asyncio.to_thread(outage, database)
        try:
            await serves(running, service.address, 2)
            told = await control.until_waiting()
            await serves(running, service.address, 3)
        finally:
            await asyncio.to_thread(end)
        assert told.status_code == 503
        assert int(told.headers["Retry-After"]) >= 1
        await control.until_counted(12)
        await control.until_ready()
        assert [ended.reason for ended in running.log.all(SessionEnded) if ended.session == 1] == []


@pytest.mark.shows("JRNL-AWAY-002", "JRNL-AWAY-003")
async def test_what_waits_in_the_journals_is_told_and_applied_when_a_control_process_comes(tmp_path: Path) -> None:
    """Nobody reads the journals of a server for its whole life; the next control process applies them all."""
    state, database = tmp_path / "state", tmp_path / "data" / "control.db"
    database.parent.mkdir()
    for number in range(2):
        async with (
            world(state, LIMITS, journal=True) as running,
            serving(hello) as service,
            running.agent(service.address, "steady"),
        ):
            await serves(running, service.address, number)
    async with controlled(state, database) as control:
        await control.until_counted(8)
        back = await asyncio.to_thread(lose, database)
        async with world(state, LIMITS, journal=True):
            await control.until_waiting()
        back()
        await control.until_ready()
    assert list((state / "journal").iterdir()) == [], "what is applied is deleted"
    with sqlite3.connect(database) as connection:
        starts = connection.execute("SELECT count(*) FROM audit WHERE action = 'server.start'").fetchone()
    connection.close()
    assert starts == (3,)
