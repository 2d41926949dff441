"""Usage and events of several workers, through their own journals, in real processes: one is killed, none is lost.

A visitor that lands at a worker without the agent crosses to the other; it is counted once, where it landed.
"""

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import pytest
from tests.support.shell_cluster import cluster
from tests.support.shell_local import hello, serving
from tests.support.shell_visitor import fetched
from tests.support.shell_world import PATIENCE

from tunnel.observe.events import ControlReady, NameGranted, WorkerStarted

pytestmark = pytest.mark.anyio

T = TypeVar("T")
REQUESTS: Final = 20


def ask(state: Path, statement: str) -> list[tuple[object, ...]]:
    """What the database says; nothing while it is not there."""
    if not (state / "control.db").exists():
        return []
    connection = sqlite3.connect(state / "control.db", timeout=PATIENCE)
    try:
        return connection.execute(statement).fetchall()
    except sqlite3.OperationalError:  # its tables are being made
        return []
    finally:
        connection.close()


async def until(state: Path, statement: str, holds: Callable[[list[tuple[object, ...]]], bool]) -> None:
    """Return once the database says something of which this holds."""
    found: list[tuple[object, ...]] = []
    try:
        async with asyncio.timeout(3 * PATIENCE):
            while True:
                found = await asyncio.to_thread(ask, state, statement)
                if holds(found):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{statement}: {found}")


@pytest.mark.shows("JRNL-USAGE-001", "JRNL-EVENT-001", "JRNL-EVENT-003", "JRNL-APPLY-001", "JRNL-WRITE-001")
async def test_what_all_workers_did_is_in_the_database_once_and_the_killed_ones_too(tmp_path: Path) -> None:
    state = tmp_path / "state"
    usage, ends = "SELECT sum(requests) FROM usage_hours", "SELECT after_json FROM audit WHERE action = 'session.end'"
    async with cluster(tmp_path, api="127.0.0.1:0") as found, serving(hello) as service:
        await found.world.log.next(ControlReady)
        async with found.world.agent(service.address) as agent:
            for _ in range(REQUESTS):
                assert (await fetched(found.world)).status == 200
            await until(state, usage, lambda rows: rows == [(REQUESTS,)])
            ((worker, _),) = found.told_by(NameGranted)
            os.kill(found.pids()[worker], signal.SIGKILL)
            await found.world.log.next(WorkerStarted, 3)
            await found.world.redialled(agent)
            for _ in range(REQUESTS):
                assert (await fetched(found.world)).status == 200
            await until(state, usage, lambda rows: rows == [(2 * REQUESTS,)])
            await until(state, ends, lambda rows: len(rows) == 1 and "its worker is gone" in str(rows[0]))
        await until(state, ends, lambda rows: len(rows) == 2)
        code, words = await found.reloaded()
        assert code == 0, words
        await until(state, "SELECT 1 FROM audit WHERE action = 'server.reload'", lambda rows: len(rows) == 1)
    starts = ask(state, "SELECT action FROM audit WHERE action IN ('server.start', 'server.stop') ORDER BY number")
    assert starts == [("server.start",), ("server.stop",)]
    assert ask(state, usage) == [(2 * REQUESTS,)]
