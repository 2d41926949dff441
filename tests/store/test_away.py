"""A database that goes away and comes back: every call says so within its bound, and the first after it is answered.

The Postgres here belongs to this file alone, which stops, kills and pauses it. Nothing is reopened by hand.
"""

import os
import shutil
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import psycopg
import pytest
from tests.support.postgres import QUICK, WAIT_SECONDS, PostgresServer, programs
from tests.support.store_world import ACT, NOW, Place, account, account_id, given, name, opened_store, plan, refused

from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.page import Page
from tunnel.store import postgres
from tunnel.store.errors import StoreUnavailable, Told, describe
from tunnel.store.open import BadDatabase, open_store, without_password
from tunnel.store.open import describe as describe_opening
from tunnel.store.port import Store, StoreHealth

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that only this file has; few connections, so that they can be taken."""
    if programs() is None:
        pytest.skip("Postgres is not installed here")
    server = PostgresServer({**QUICK, "max_connections": "12"})
    try:
        server.start()
        yield server
    finally:
        server.destroy()


@pytest.fixture
async def store(own_server: PostgresServer, tmp_path: Path) -> AsyncIterator[Store]:
    """A store in use, with an account."""
    own_server.execute("DROP DATABASE IF EXISTS mine WITH (FORCE)")
    opened = await opened_store(Place("postgres", own_server.make_database("mine"), tmp_path))
    given(await opened.create_account(account(1), ACT, NOW))
    yield opened
    await opened.close()


def away(told: Told[object]) -> StoreUnavailable:
    """Why the database could not be used."""
    error = refused(told)
    assert isinstance(error, StoreUnavailable), error
    assert error.retry_seconds >= 1
    return error


def modes_in(folder: Path) -> dict[str, int]:
    """Who may do what with each file there."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def remove_files(folder: Path) -> None:
    """Removes the database and the files that SQLite keeps beside it."""
    for left in folder.glob("control.db*"):
        left.unlink()


async def until_answered(store: Store) -> None:
    """Until a write is done; each call before that says that the store is away, and nothing else."""
    with anyio.fail_after(WAIT_SECONDS):
        while not isinstance(told := await store.set_plan(plan("back"), ACT, NOW), Success):
            away(told)
            await anyio.sleep(0.05)


@pytest.mark.shows("STORE-AWAY-001", "STORE-AWAY-004")
@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_a_server_that_ends_is_said_to_be_away_and_used_again_when_it_is_back(
    own_server: PostgresServer, store: Store, how: str
) -> None:
    async with anyio.create_task_group() as tasks:  # several connections, all of which will be dead
        for _ in range(6):
            tasks.start_soon(store.account, account_id(1))
    own_server.stop() if how == "stopped" else own_server.kill()
    try:
        assert "connection" in away(await store.account(account_id(1))).detail
        assert "connection" in away(await store.reserve_name(name("www"), ACT, NOW)).detail
        away(await store.health())
    finally:
        own_server.start()
    await until_answered(store)
    assert given(await store.account(account_id(1))) == account(1)


@pytest.mark.shows("STORE-AWAY-004")
async def test_connections_that_died_while_idle_cost_no_call(own_server: PostgresServer, store: Store) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(store.account, account_id(1))
    own_server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'mine'")
    for _ in range(8):
        given(await store.account(account_id(1)))
    given(await store.reserve_name(name("www"), ACT, NOW))


@pytest.mark.shows("STORE-AWAY-001", "STORE-AWAY-003")
async def test_a_server_that_is_paused_holds_no_call_for_ever(
    own_server: PostgresServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "TRANSACTION_SECONDS", 0.3)

    async def resume_late() -> None:
        """A call that would wait for ever is answered then, which is not what is asked for here."""
        await anyio.sleep(WAIT_SECONDS / 2)
        own_server.resume()

    own_server.pause()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(resume_late)
            away(await store.reserve_name(name("www"), ACT, NOW))
            away(await store.account(account_id(1)))
            tasks.cancel_scope.cancel()
    finally:
        own_server.resume()
    monkeypatch.undo()
    await until_answered(store)
    assert given(await store.names(None, Page())).items == ()


@pytest.mark.shows("STORE-AWAY-001", "STORE-AWAY-004")
async def test_a_server_that_is_read_only_is_read_and_not_written(own_server: PostgresServer, store: Store) -> None:
    own_server.execute("ALTER DATABASE mine SET default_transaction_read_only = on")
    own_server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'mine'")
    assert "read-only" in away(await store.reserve_name(name("www"), ACT, NOW)).detail
    assert "read-only" in away(await store.health()).detail
    assert given(await store.account(account_id(1))) == account(1)
    own_server.execute("ALTER DATABASE mine SET default_transaction_read_only = off")
    own_server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'mine'")
    await until_answered(store)


@pytest.mark.shows("STORE-AWAY-001", "STORE-AWAY-004")
async def test_a_server_without_a_free_connection_is_away(own_server: PostgresServer, store: Store) -> None:
    own_server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'mine'")
    taken: list[psycopg.Connection[tuple[object, ...]]] = []
    try:
        while True:
            taken.append(psycopg.connect(own_server.url()))
    except psycopg.OperationalError:
        assert "too many" in away(await store.account(account_id(1))).detail
    finally:
        for connection in taken:
            connection.close()
    await until_answered(store)


@pytest.mark.shows("STORE-AWAY-004", "STORE-MIGRATE-001")
async def test_a_database_that_is_not_there_yet_is_set_up_when_it_is(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    own_server.execute("DROP DATABASE IF EXISTS later WITH (FORCE)")
    opened = await open_store(own_server.url("later"), tmp_path, NOW)
    assert isinstance(opened, Success)
    store = value_of(opened)
    assert "later" in away(await store.account(account_id(1))).detail
    own_server.make_database("later")
    await until_answered(store)
    health = given(await store.health())
    assert health == StoreHealth("postgres", health.version, health.migration)
    assert health.migration >= 1
    await store.close()
    assert away(await store.account(account_id(1))).detail == "it was closed"
    await store.close()


@pytest.mark.shows("STORE-SECRET-002")
async def test_a_password_is_in_no_error(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        for url in (
            f"postgresql://me:hunter2@127.0.0.1:{port}/x",
            f"postgresql://127.0.0.1:{port}/x?user=me&password=hunter2",
        ):
            opened = await open_store(url, tmp_path, NOW)
            assert isinstance(opened, Success)
            error = away(await value_of(opened).account(account_id(1)))
            assert "hunter2" not in repr(error) + describe(error)
            assert "hunter2" not in without_password(url)
            assert "hunter2" not in repr(value_of(opened))
            await value_of(opened).close()
    for bad in ("mysql://me:hunter2@host/x", "postgresql://me:hunter2@host:port:1/x?nonsense=1"):
        refusal = await open_store(bad, tmp_path, NOW)
        assert not isinstance(refusal, Success)
        told = error_of(refusal)
        assert isinstance(told, BadDatabase)
        assert "hunter2" not in describe_opening(told)


@pytest.mark.shows("STORE-FILE-001")
async def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = await opened_store(Place("sqlite", "", tmp_path))
    finally:
        os.umask(before)
    given(await store.create_account(account(1), ACT, NOW))
    modes = modes_in(tmp_path)
    assert modes == dict.fromkeys(("control.db", "control.db-wal", "control.db-shm"), 0o600)
    await store.close()


@pytest.mark.shows("STORE-FILE-002", "STORE-AWAY-001")
async def test_a_file_that_goes_away_is_missed_and_a_backup_in_its_place_is_used(tmp_path: Path) -> None:
    place = Place("sqlite", "", tmp_path)
    store = await opened_store(place)
    given(await store.create_account(account(1), ACT, NOW))
    file, backup = tmp_path / "control.db", tmp_path / "backup.db"
    with sqlite3.connect(file) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    given(await store.create_account(account(2), ACT, NOW))
    remove_files(tmp_path)
    assert "No such file" in away(await store.create_account(account(3), ACT, NOW)).detail
    assert "No such file" in away(await store.account(account_id(1))).detail
    assert not file.exists()
    shutil.copy(backup, file)
    assert given(await store.account(account_id(1))) == account(1)
    given(await store.create_account(account(2), ACT, NOW))
    await store.close()


@pytest.mark.shows("STORE-AWAY-001")
async def test_a_file_that_is_full_or_no_database_is_away(tmp_path: Path) -> None:
    store = await opened_store(Place("sqlite", "", tmp_path))
    given(await store.create_account(account(1), ACT, NOW))
    await store.close()
    (tmp_path / "other.db").write_bytes(b"this is no database, " * 100)
    opened = await open_store("sqlite:other.db", tmp_path, NOW)
    assert isinstance(opened, Success)
    assert "not a database" in away(await value_of(opened).account(account_id(1))).detail
    await value_of(opened).close()
    opened = await open_store("sqlite:no/such/folder.db", tmp_path, NOW)
    assert isinstance(opened, Success)
    assert "No such file" in away(await value_of(opened).account(account_id(1))).detail
    await value_of(opened).close()


@pytest.mark.shows("STORE-PORT-003")
async def test_rows_that_somebody_changed_by_hand_are_said_to_be_unfit(tmp_path: Path) -> None:
    store = await opened_store(Place("sqlite", "", tmp_path))
    given(await store.create_account(account(1), ACT, NOW))
    with sqlite3.connect(tmp_path / "control.db", isolation_level=None) as other:
        other.execute("PRAGMA ignore_check_constraints = ON")
        other.execute("INSERT INTO members VALUES (?, 'eve', 'king', 1)", (account_id(1),))
    other.close()
    error = away(await store.members(account_id(1), Page()))
    assert error.detail == "it was changed by hand or is damaged: a row holds 'king' where a role belongs"
    assert given(await store.account(account_id(1))) == account(1)
    await store.close()
