"""A migration of a large table takes longer than any other statement may, and one that gets no turn says so.

Limits of a server are read where they hold, inside the transaction, so that nothing here waits for minutes.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from tests.support.postgres import PostgresServer
from tests.support.store_world import NOW, refused

from tunnel.core.base.outcome import Failure, Success
from tunnel.store import postgres
from tunnel.store.driver import Transaction
from tunnel.store.errors import StoreUnavailable, Told
from tunnel.store.migrating import Migration, migrate
from tunnel.store.postgres import MIGRATION_SECONDS, STATEMENT_SECONDS, TURN_NOT_GIVEN, TURN_SECONDS, PostgresDriver

pytestmark = pytest.mark.anyio

SLOW = Migration(1, "slow", "SELECT pg_sleep(0.5);", "sum")


@pytest.fixture
def url(postgres_server: PostgresServer, tmp_path: Path) -> str:
    """A database without tables."""
    return postgres_server.make_database(f"long_{tmp_path.name[-20:]}".lower())


@pytest.fixture
async def driver(url: str) -> AsyncIterator[PostgresDriver]:
    """A driver on it."""
    made = PostgresDriver(url)
    yield made
    await made.close()


async def limits(tx: Transaction) -> Told[list[str]]:
    rows = await tx.rows(
        "SELECT setting FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout') ORDER BY name DESC"
    )
    return Success([str(row[0]) for row in rows])


@pytest.mark.shows("STORE-MIGRATE-007")
async def test_a_migration_has_limits_of_its_own_and_no_other_statement_has_them(driver: PostgresDriver) -> None:
    usual = [str(STATEMENT_SECONDS * 1000)] * 2
    assert await driver.write(limits) == Success(usual)
    assert await driver.migrate(limits) == Success([str(MIGRATION_SECONDS * 1000), str(TURN_SECONDS * 1000)])
    assert await driver.write(limits) == Success(usual)


@pytest.mark.shows("STORE-MIGRATE-007")
async def test_a_migration_is_not_cut_where_another_transaction_would_be(
    driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "TRANSACTION_SECONDS", 0.1)

    async def slow(tx: Transaction) -> Told[None]:
        await tx.script(SLOW.sql)
        return Success(None)

    assert isinstance(refused(await driver.write(slow)), StoreUnavailable)
    monkeypatch.setattr(postgres, "TRANSACTION_SECONDS", 60.0)
    assert isinstance(await driver.write(limits), Success)
    monkeypatch.setattr(postgres, "TRANSACTION_SECONDS", 0.1)
    assert await migrate(driver, (), NOW) == Success(Success(()))
    assert await driver.migrate(slow) == Success(None)


@pytest.mark.shows("STORE-MIGRATE-007")
async def test_a_migration_that_gets_no_turn_says_so_and_changes_nothing(
    driver: PostgresDriver, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = postgres.BEGIN_MIGRATION.replace(f"lock_timeout = '{TURN_SECONDS}s'".encode(), b"lock_timeout = '50ms'")
    monkeypatch.setattr(postgres, "BEGIN_MIGRATION", short)
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (postgres.WRITERS_LOCK,))
        assert await migrate(driver, (SLOW,), NOW) == Failure(StoreUnavailable(TURN_NOT_GIVEN, 5))
    assert await migrate(driver, (SLOW,), NOW) == Success(Success((SLOW,)))
