"""Migrations: each applied once, whole or not at all, whoever comes first, with the same tables in both databases."""

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import psycopg
import pytest
from tests.support.postgres import PostgresServer
from tests.support.store_world import ACT, NOW, Place, account, account_id, given, opened_store, refused

from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.store.driver import Database, Driver, Transaction
from tunnel.store.errors import StoreError, StoreUnavailable, Told
from tunnel.store.migrating import (
    Applied,
    ChangedMigration,
    Migration,
    NewerDatabase,
    applied_to,
    describe,
    migrate,
    migrations_of,
    pending,
)
from tunnel.store.open import driver_of, open_store
from tunnel.store.sql import Prepared
from tunnel.store.sqlite import SqliteDriver

pytestmark = pytest.mark.anyio

FIRST = Migration(1, "first", "CREATE TABLE one (number INTEGER NOT NULL);", "sum-1")
SECOND = Migration(2, "second", "CREATE TABLE two (number INTEGER NOT NULL);\nINSERT INTO two VALUES (2);", "sum-2")
BROKEN = Migration(2, "broken", "CREATE TABLE two (number INTEGER NOT NULL);\nINSERT INTO nowhere VALUES (1);", "sum-b")


def driver(place: Place) -> Database:
    """A driver on the database, which has had no migration."""
    found = driver_of(place.url, place.state)
    assert isinstance(found, Success)
    return value_of(found)


async def tables(on: Driver) -> list[str]:
    """Which of the tables of these tests there are."""

    async def work(tx: Transaction) -> Told[list[str]]:
        if on.kind == "sqlite":
            rows = await tx.rows("SELECT name FROM sqlite_schema WHERE name IN ('one', 'two') ORDER BY name")
        else:
            rows = await tx.rows("SELECT tablename FROM pg_tables WHERE tablename IN ('one', 'two') ORDER BY tablename")
        return Success([str(row[0]) for row in rows])

    return given(await on.read(work))


@pytest.mark.shows("STORE-MIGRATE-001")
async def test_migrations_are_applied_in_order_and_once(place: Place) -> None:
    on = driver(place)
    assert given(await applied_to(on)) == ()
    assert given(await migrate(on, (FIRST,), NOW)) == Success((FIRST,))
    assert given(await migrate(on, (FIRST,), NOW)) == Success(())
    assert given(await migrate(on, (FIRST, SECOND), NOW)) == Success((SECOND,))
    assert given(await applied_to(on)) == (Applied(1, "first", "sum-1"), Applied(2, "second", "sum-2"))
    assert await tables(on) == ["one", "two"]
    await on.close()


@pytest.mark.shows("STORE-MIGRATE-002")
async def test_a_migration_that_fails_leaves_nothing_and_can_be_tried_again(place: Place) -> None:
    on = driver(place)
    error = refused(await migrate(on, (FIRST, BROKEN), NOW))
    assert isinstance(error, StoreUnavailable)
    assert "nowhere" in error.detail
    assert await tables(on) == ["one"]
    assert given(await applied_to(on)) == (Applied(1, "first", "sum-1"),)
    assert given(await migrate(on, (FIRST, SECOND), NOW)) == Success((SECOND,))
    await on.close()


@pytest.mark.shows("STORE-MIGRATE-003")
async def test_of_several_that_start_at_once_each_finds_every_migration_applied_once(place: Place) -> None:
    drivers = [driver(place) for _ in range(4)]
    made: list[Migration] = []

    async def start(on: Database) -> None:
        outcome = given(await migrate(on, (FIRST, SECOND), NOW))
        assert isinstance(outcome, Success)
        made.extend(value_of(outcome))

    async with anyio.create_task_group() as tasks:
        for on in drivers:
            tasks.start_soon(start, on)
    assert sorted(migration.number for migration in made) == [1, 2]
    assert given(await applied_to(drivers[0])) == (Applied(1, "first", "sum-1"), Applied(2, "second", "sum-2"))
    for on in drivers:
        await on.close()


@pytest.mark.shows("STORE-MIGRATE-004")
async def test_a_history_that_is_not_ours_is_left_alone(place: Place) -> None:
    on = driver(place)
    given(await migrate(on, (FIRST, SECOND), NOW))
    newer = given(await migrate(on, (FIRST,), NOW))
    assert not isinstance(newer, Success)
    assert error_of(newer) == NewerDatabase(2, "second", 1)
    changed = given(await migrate(on, (replace(FIRST, checksum="other"), SECOND), NOW))
    assert not isinstance(changed, Success)
    assert error_of(changed) == ChangedMigration(1, "first", "sum-1", "other")
    opened = await open_store(place.url, place.state, NOW)
    assert not isinstance(opened, Success)
    assert isinstance(error_of(opened), ChangedMigration)
    await on.close()


@pytest.mark.shows("STORE-MIGRATE-004")
def test_what_is_pending_is_what_was_not_applied() -> None:
    done = (Applied(1, "first", "sum-1"),)
    assert pending((FIRST, SECOND), done) == Success((SECOND,))
    assert pending((FIRST, SECOND), ()) == Success((FIRST, SECOND))
    assert "0007 (later)" in describe(NewerDatabase(7, "later", 2))
    assert "expected bbbbbbbbbbbb." in describe(ChangedMigration(1, "first", "a" * 64, "b" * 64))


@pytest.mark.shows("STORE-MIGRATE-005")
def test_both_databases_have_the_same_migrations() -> None:
    sqlite, postgres = migrations_of("sqlite"), migrations_of("postgres")
    assert [(one.number, one.name) for one in sqlite] == [(one.number, one.name) for one in postgres]
    assert [one.number for one in sqlite] == list(range(1, len(sqlite) + 1))


@pytest.mark.shows("STORE-MIGRATE-005")
async def test_both_databases_end_with_the_same_tables(postgres_server: PostgresServer, tmp_path: Path) -> None:
    here = Place("sqlite", "", tmp_path)
    there = Place("postgres", postgres_server.make_database(f"same_tables_{tmp_path.name[-8:]}"), tmp_path)
    for place in (here, there):
        store = await opened_store(place)
        await store.close()
    assert _sqlite_columns(tmp_path / "control.db") == _postgres_columns(there.url)


@pytest.mark.shows("STORE-AUDIT-005")
async def test_the_database_itself_refuses_to_change_the_trail(place: Place) -> None:
    store = await opened_store(place)
    given(await store.create_account(account(1), ACT, NOW))
    statements = ["UPDATE audit SET identity = 'nobody'", "DELETE FROM audit"]
    if place.kind == "sqlite":
        with sqlite3.connect(place.state / "control.db") as file:
            for statement in statements:
                with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
                    file.execute(statement)
        file.close()
    else:
        for statement in [*statements, "TRUNCATE audit"]:
            async with await psycopg.AsyncConnection.connect(place.url) as connection:
                with pytest.raises(psycopg.Error, match="only ever added to"):
                    await connection.execute(statement.encode())
    assert len(given(await store.audit_range(1, 10, 10))) == 1
    assert given(await store.account(account_id(1))) == account(1)
    await store.close()


def _sqlite_columns(file: Path) -> set[tuple[str, str, str, bool]]:
    kinds = {"INTEGER": "bigint", "BIGINT": "bigint", "TEXT": "text", "BLOB": "bytea"}
    found: set[tuple[str, str, str, bool]] = set()
    with sqlite3.connect(file) as connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (table,) in names:
            assert re.fullmatch(r"[a-z_]+", table)
            for _, column, kind, is_not_null, *_ in connection.execute(f"PRAGMA table_info({table})"):
                found.add((table, column, kinds[kind], bool(is_not_null)))
    connection.close()
    return {one for one in found if one[0] != "migrations"}


def _postgres_columns(url: str) -> set[tuple[str, str, str, bool]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable = 'NO' FROM information_schema.columns "
            "WHERE table_schema = 'public' AND table_name <> 'migrations'"
        ).fetchall()
    return {(str(row[0]), str(row[1]), str(row[2]), bool(row[3])) for row in rows}


@pytest.mark.shows("STORE-AWAY-001")
async def test_calls_that_meet_a_locked_database_at_the_start_wait_together_and_not_in_turn(tmp_path: Path) -> None:
    file, told = tmp_path / "control.db", list[StoreError]()
    prepared = Prepared(SqliteDriver(file, busy_seconds=0.3), (FIRST,), NOW)

    async def call() -> None:
        told.append(refused(await prepared.read(one)))

    async def one(tx: Transaction) -> Told[int]:
        return Success(len(await tx.rows("SELECT 1")))

    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(3):
            async with anyio.create_task_group() as tasks:
                for _ in range(40):
                    tasks.start_soon(call)
    assert len(told) == 40
    assert all(isinstance(error, StoreUnavailable) for error in told)
    assert given(await prepared.read(one)) == 1
    await prepared.close()
