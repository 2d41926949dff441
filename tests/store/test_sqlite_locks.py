"""Another program looks into the database and closes it: the log stays, and nothing written before or after is lost.

Only another process can show it: within one, SQLite knows of its own connections without asking for locks.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from anyio import to_thread
from tests.support.store_world import ACT, NOW, Place, account, given, opened_store

from tunnel.core.control.page import Page

pytestmark = pytest.mark.anyio

LOOK: Final = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM accounts").fetchone()[0])
connection.close()
"""


def seen_by_another(database: Path) -> int:
    """How many accounts a process of its own finds."""
    found = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", LOOK, str(database)], capture_output=True, check=True, text=True
    )
    return int(found.stdout)


@pytest.mark.shows("STORE-FILE-003")
async def test_a_program_that_looks_into_the_database_takes_nothing_away(tmp_path: Path) -> None:
    """A writer and both readers are open, each in its turn, while another process comes and goes."""
    store = await opened_store(Place("sqlite", "", tmp_path))
    database = tmp_path / "control.db"
    given(await store.create_account(account(1), ACT, NOW))
    for number in range(2, 6):
        for _ in range(3):
            given(await store.accounts(Page()))
        assert await to_thread.run_sync(seen_by_another, database) == number - 1
        assert database.with_name("control.db-wal").exists()
        given(await store.create_account(account(number), ACT, NOW))
    assert await to_thread.run_sync(seen_by_another, database) == 5
    await store.close()
    assert await to_thread.run_sync(seen_by_another, database) == 5


@pytest.mark.shows("STORE-FILE-001")
async def test_a_new_file_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    store = await opened_store(Place("sqlite", "", tmp_path))
    found = await to_thread.run_sync(lambda: {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()})
    assert found == {"control.db": 0o600, "control.db-shm": 0o600, "control.db-wal": 0o600}
    await store.close()
