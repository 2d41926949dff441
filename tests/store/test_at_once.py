"""Several processes at one database at once: one writer at a time, and whoever meets somebody else tries again.

Real races of real connections: each store here is one that another process would have opened. What Postgres says of
serialization failures and deadlocks is said by Postgres.
"""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psycopg
import pytest
from tests.support.postgres import WAIT_SECONDS, PostgresServer
from tests.support.store_world import (
    ACT,
    NOW,
    Place,
    account,
    account_id,
    given,
    name,
    opened_store,
    plan,
    refused,
    token,
)

from tunnel.core.audit.entry import GENESIS, next_entry
from tunnel.core.base.ids import Label
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.account import AccountChange
from tunnel.core.control.name import NameRecord
from tunnel.core.control.page import Page
from tunnel.core.journal.records import JournalId, Record, UsageNoted
from tunnel.store import postgres
from tunnel.store.driver import Transaction
from tunnel.store.errors import AlreadyExists, Conflict, QuotaExceeded, StoreUnavailable, Told
from tunnel.store.port import Store
from tunnel.store.postgres import TRIES_MAX, WRITERS_LOCK
from tunnel.store.sqlite import WAITING_MAX, SqliteDriver

pytestmark = pytest.mark.anyio

LOCKED = "others are writing to it for too long (database is locked)"

PROCESSES = 3
JOURNAL = JournalId(b"j" * 16)


@asynccontextmanager
async def processes(place: Place) -> AsyncIterator[list[Store]]:
    """So many stores on one database, in which account 1 is."""
    stores = [await opened_store(place) for _ in range(PROCESSES)]
    try:
        given(await stores[0].create_account(account(1), ACT, NOW))
        yield stores
    finally:
        for store in stores:
            await store.close()


async def at_once(*calls: Callable[[], Awaitable[Told[NameRecord]]]) -> list[Told[NameRecord]]:
    """What each of the calls was told, begun together."""
    told: list[Told[NameRecord]] = []

    async def one(call: Callable[[], Awaitable[Told[NameRecord]]]) -> None:
        told.append(await call())

    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(one, call)
    return told


def reserving(store: Store, text: str) -> Callable[[], Awaitable[Told[NameRecord]]]:
    """Reserves the name when called."""
    return lambda: store.reserve_name(name(text), ACT, NOW)


async def assert_whole(store: Store, count: int) -> None:
    """The chain has so many entries, and each follows the one before."""
    head = GENESIS
    for entry in given(await store.audit_range(1, 500, 500)):
        assert entry == next_entry(head, entry.facts)
        head = entry.head
    assert head.number == count


@pytest.mark.shows("STORE-WRITE-001", "STORE-NAME-001")
async def test_of_many_that_reserve_a_name_one_gets_it(place: Place) -> None:
    async with processes(place) as stores:
        told = await at_once(*(reserving(store, "www") for store in stores for _ in range(5)))
        won = [one for one in told if isinstance(one, Success)]
        lost = [error_of(one) for one in told if not isinstance(one, Success)]
        assert [value_of(one) for one in won] == [name("www")]
        assert lost == [AlreadyExists("name", "www")] * 14
        await assert_whole(stores[0], 2)


@pytest.mark.shows("STORE-WRITE-001", "STORE-NAME-002")
async def test_a_quota_holds_however_many_ask_at_once(place: Place) -> None:
    async with processes(place) as stores:
        given(await stores[0].set_plan(plan("small", names_max=4), ACT, NOW))
        given(await stores[0].change_account(account_id(1), AccountChange(plan="small"), ACT, NOW))
        told = await at_once(*(reserving(stores[n % PROCESSES], f"name-{n}") for n in range(12)))
        assert sum(isinstance(one, Success) for one in told) == 4
        lost = [error_of(one) for one in told if not isinstance(one, Success)]
        assert lost == [QuotaExceeded("names", 4)] * 8
        await assert_whole(stores[0], 3 + 4)


@pytest.mark.shows("STORE-WRITE-001", "STORE-JOURNAL-001")
async def test_a_journal_that_several_apply_at_once_is_applied_once(place: Place) -> None:
    records: tuple[Record, ...] = tuple(UsageNoted(account_id(1), "demo", NOW, 1, 1, 1, 1) for _ in range(10))
    async with processes(place) as stores:

        async def apply(store: Store, last: int) -> None:
            given(await store.apply_journal(JOURNAL, 1, records[:last], ACT, NOW))

        async with anyio.create_task_group() as tasks:
            for store in stores:
                for last in (3, 10, 6):
                    tasks.start_soon(apply, store, last)
        assert given(await stores[0].journal_position(JOURNAL)) == 10
        assert given(await stores[0].usage_month(account_id(1), NOW)).requests == 10


@pytest.mark.shows("STORE-WRITE-003")
async def test_readers_go_on_while_somebody_writes(place: Place) -> None:
    async with processes(place) as stores:
        inside, done = anyio.Event(), anyio.Event()
        if place.kind == "sqlite":
            other = sqlite3.connect(place.state / "control.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE changes SET number = 1000")
            assert given(await stores[1].change_number()) < 1000
            other.close()
            return

        async def hold() -> None:
            async with await psycopg.AsyncConnection.connect(place.url) as connection:
                await connection.execute(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})".encode())
                await connection.execute("UPDATE changes SET number = 1000")
                inside.set()
                await done.wait()
                await connection.rollback()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await inside.wait()
            assert given(await stores[1].change_number()) < 1000
            done.set()


@pytest.mark.shows("STORE-WRITE-002")
@pytest.mark.parametrize("failures", [1, TRIES_MAX - 1, TRIES_MAX])
async def test_serialization_failures_are_tried_again_so_often_and_no_more(
    postgres_server: PostgresServer, tmp_path: Path, failures: int
) -> None:
    place = Place("postgres", postgres_server.make_database(f"serialization_{failures}_{tmp_path.name[-8:]}"), tmp_path)
    store = await opened_store(place)
    given(await store.create_account(account(1), ACT, NOW))
    async with await psycopg.AsyncConnection.connect(place.url, autocommit=True) as other:
        # A sequence is not rolled back with the transaction that drew from it: it counts the tries.
        await other.execute("CREATE SEQUENCE tries")
        await other.execute(
            f"""CREATE FUNCTION fail_at_first() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') <= {failures} THEN RAISE EXCEPTION 'no' USING ERRCODE = 'serialization_failure';
            END IF; RETURN NEW; END $$""".encode()
        )
        await other.execute("CREATE TRIGGER fail BEFORE INSERT ON names FOR EACH ROW EXECUTE FUNCTION fail_at_first()")
    told = await store.reserve_name(name("www"), ACT, NOW)
    if failures < TRIES_MAX:
        assert given(told) == name("www")
    else:
        assert refused(told) == Conflict("database", "no", "others-kept-changing-it")
        assert given(await store.names(None, Page())).items == ()
    await assert_whole(store, 1 + (failures < TRIES_MAX))
    await store.close()


@pytest.mark.shows("STORE-WRITE-002")
async def test_the_loser_of_a_deadlock_tries_again(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the wait for the lock alone may take the few seconds that a statement has.
    monkeypatch.setattr(postgres, "STATEMENT_SECONDS", 60)
    monkeypatch.setattr(postgres, "TRANSACTION_SECONDS", 120.0)
    place = Place("postgres", postgres_server.make_database(f"deadlock_{tmp_path.name[-8:]}"), tmp_path)
    store = await opened_store(place)
    given(await store.create_account(account(1), ACT, NOW))
    change = AccountChange(is_suspended=True)
    async with await psycopg.AsyncConnection.connect(place.url) as other, anyio.create_task_group() as tasks:
        # The other is patient, so that it is ours that Postgres ends.
        await other.execute("SET LOCAL deadlock_timeout = '60s'")
        await other.execute("SELECT * FROM accounts FOR UPDATE")

        async def ours() -> None:
            assert given(await store.change_account(account_id(1), change, ACT, NOW)).is_suspended

        tasks.start_soon(ours)
        await _until_somebody_waits(place.url)
        await other.execute(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})".encode())
        await other.execute("UPDATE accounts SET ttl_max = 60")
        await other.commit()
    after = given(await store.account(account_id(1)))
    assert (after.is_suspended, after.ttl_max) == (True, 60)
    await assert_whole(store, 2)
    await store.close()


@pytest.mark.shows("STORE-AWAY-001")
async def test_a_file_that_another_process_holds_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    store = await opened_store(Place("sqlite", "", tmp_path))
    given(await store.create_account(account(1), ACT, NOW))
    await store.close()
    driver = SqliteDriver(tmp_path / "control.db", busy_seconds=0.2)
    other = sqlite3.connect(tmp_path / "control.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def work(tx: Transaction) -> Told[int]:
        return Success(len(await tx.rows("UPDATE changes SET number = number RETURNING number")))

    error = error_of_failure(await driver.write(work))
    assert error == StoreUnavailable(LOCKED, 1)
    other.execute("COMMIT")
    other.close()
    assert given(await driver.write(work)) == 1
    await driver.close()
    assert error_of_failure(await driver.write(work)) == StoreUnavailable("it was closed", 1)


@pytest.mark.shows("STORE-AWAY-002")
async def test_no_more_calls_wait_than_there_is_room_for(tmp_path: Path) -> None:
    driver = SqliteDriver(tmp_path / "control.db", busy_seconds=0.2)
    other = sqlite3.connect(tmp_path / "control.db", isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("BEGIN IMMEDIATE")
    details: list[str] = []

    async def ask() -> None:
        told = await driver.write(_nothing)
        details.append(error_of_failure(told).detail)

    async with anyio.create_task_group() as tasks:
        for _ in range(WAITING_MAX + 20):
            tasks.start_soon(ask)
    other.close()
    assert details.count(f"{WAITING_MAX} calls are waiting for it already") == 20
    assert set(details[20:]) <= {LOCKED, "others are in it for too long"}
    assert given(await driver.write(_nothing)) is None
    await driver.close()


@pytest.mark.shows("STORE-AWAY-003")
async def test_whoever_stops_waiting_leaves_nothing_half_done(place: Place) -> None:
    store = await opened_store(place)
    given(await store.create_account(account(1), ACT, NOW))
    for number in range(20):
        with anyio.move_on_after(0.0005 * number):
            await store.record_token(token(number), ACT, NOW)
    recorded = given(await store.tokens(None, Page())).items
    await assert_whole(store, 1 + len(recorded))
    given(await store.reserve_name(name("www"), ACT, NOW))
    assert given(await store.name_holder(Label("www"))) == name("www")
    await store.close()


class _Turn:
    """A turn of the event loop, whichever it is."""

    def __await__(self) -> Generator[None]:
        yield


async def _nothing(tx: Transaction) -> Told[None]:
    await tx.rows("SELECT 1")
    return Success(None)


def error_of_failure(told: Told[object] | Told[int] | Told[None]) -> StoreUnavailable:
    """Why the database could not be used."""
    assert not isinstance(told, Success)
    error = error_of(told)
    assert isinstance(error, StoreUnavailable)
    return error


async def _until_somebody_waits(url: str) -> None:
    """Until a statement of another connection waits for a lock."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as watch:
        with anyio.fail_after(WAIT_SECONDS):
            while True:
                cursor = await watch.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
                )
                if await cursor.fetchone() is not None:
                    return
                await anyio.sleep(0.01)


@pytest.mark.shows("STORE-AWAY-003")
async def test_work_that_waits_for_something_else_is_undone(tmp_path: Path) -> None:
    store = await opened_store(Place("sqlite", "", tmp_path))
    number = given(await store.change_number())
    driver = SqliteDriver(tmp_path / "control.db")

    async def work(tx: Transaction) -> Told[None]:
        await tx.rows("UPDATE changes SET number = number + 1")
        await _Turn()
        return Success(None)

    assert "other than its database" in error_of_failure(await driver.write(work)).detail
    assert given(await store.change_number()) == number
    assert given(await driver.write(_nothing)) is None
    await driver.close()
    await store.close()
