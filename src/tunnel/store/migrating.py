"""Numbered migrations: forward only, each in a transaction of its own, checksummed, one process at a time.

The files are data of this package, one folder for each kind of database with the same numbers and names in both.
A database that a newer program has been at, or whose history is not ours, is left alone.
"""

import hashlib
import importlib.resources
import re
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.store.driver import Database, Driver, Transaction
from tunnel.store.errors import Conflict, StoreError, Told
from tunnel.store.rows import Cells, Row

_FILE: Final = re.compile(r"([0-9]{4})_([a-z_]+)\.sql")
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, "
    "checksum TEXT NOT NULL, applied BIGINT NOT NULL)"
)


@final
@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `checksum` is the SHA-256 of its text, in hexadecimal."""

    number: int
    name: str
    sql: str
    checksum: str


@final
@dataclass(frozen=True, slots=True)
class Applied:
    """A migration that the database says it has had."""

    number: int
    name: str
    checksum: str


@final
@dataclass(frozen=True, slots=True)
class NewerDatabase:
    """The database has had a migration that this program does not know."""

    number: int
    name: str
    newest: int


@final
@dataclass(frozen=True, slots=True)
class ChangedMigration:
    """The database has had another text under this number than the one that came with this program."""

    number: int
    name: str
    seen: str
    expected: str


MigrationError: TypeAlias = NewerDatabase | ChangedMigration


def migrations_of(kind: str) -> tuple[Migration, ...]:
    """All migrations for this kind of database, in the order of their numbers."""
    folder = importlib.resources.files("tunnel.store") / "migrations" / kind
    found: list[Migration] = []
    for file in folder.iterdir():
        name = _FILE.fullmatch(file.name)
        if name is not None:
            sql = file.read_text(encoding="utf-8")
            checksum = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(int(name.group(1)), name.group(2), sql, checksum))
    return tuple(sorted(found, key=lambda migration: migration.number))


def pending(
    known: tuple[Migration, ...], applied: tuple[Applied, ...]
) -> Outcome[tuple[Migration, ...], MigrationError]:
    """What is still to be done, when what was done is what we would have done."""
    known_by_number = {migration.number: migration for migration in known}
    newest = max(known_by_number, default=0)
    for done in applied:
        ours = known_by_number.get(done.number)
        if ours is None:
            return Failure(NewerDatabase(done.number, done.name, newest))
        if ours.checksum != done.checksum:
            return Failure(ChangedMigration(done.number, ours.name, done.checksum, ours.checksum))
    have = {done.number for done in applied}
    return Success(tuple(migration for migration in known if migration.number not in have))


async def applied_to(driver: Driver) -> Told[tuple[Applied, ...]]:
    """What the database has had, oldest first; nothing when it is empty. Changes nothing."""

    async def work(tx: Transaction) -> Told[tuple[Applied, ...]]:
        if not await tx.rows(_EXISTS[driver.kind]):
            return Success(())
        return Success(await _applied(tx))

    return await driver.read(work)


async def migrate(
    driver: Database, known: tuple[Migration, ...], now: UnixSeconds
) -> Told[Outcome[tuple[Migration, ...], MigrationError]]:
    """The migrations that this call applied; none when the database was up to date.

    Each is looked for again inside its own transaction: of two processes that start together, one applies it and the
    other finds it there.
    """
    made: list[Migration] = []
    while True:
        step = await driver.migrate(lambda tx: _step(tx, known, now))
        if not isinstance(step, Success):
            return step
        outcome = value_of(step)
        if not isinstance(outcome, Success):
            return Success(outcome)
        migration = value_of(outcome)
        if migration is None:
            return Success(Success(tuple(made)))
        made.append(migration)


def describe(error: MigrationError) -> str:
    """What was seen and what to do."""
    match error:
        case NewerDatabase(number=number, name=name, newest=newest):
            return (
                f"The database has had migration {number:04} ({name}), and this program ends at {newest:04}: it "
                "belongs to a newer version. Use that version, or restore the backup from before the upgrade."
            )
        case ChangedMigration(number=number, name=name, seen=seen, expected=expected):
            return (
                f"The database has had another migration {number:04} ({name}): checksum {seen[:12]}, expected "
                f"{expected[:12]}. It was made by a program that was changed; use that one, or restore a backup."
            )


def conflict_of(error: MigrationError) -> StoreError:
    """The same as an answer of the store."""
    return Conflict("database", describe(error), "its-migrations-are-not-ours")


async def _step(
    tx: Transaction, known: tuple[Migration, ...], now: UnixSeconds
) -> Told[Outcome[Migration | None, MigrationError]]:
    await tx.rows(_TABLE)
    todo = pending(known, await _applied(tx))
    if not isinstance(todo, Success):
        return Success(todo)
    if not value_of(todo):
        return Success(Success(None))
    migration = value_of(todo)[0]
    await tx.script(migration.sql)
    await tx.rows(
        "INSERT INTO migrations (number, name, checksum, applied) VALUES (?, ?, ?, ?)",
        migration.number,
        migration.name,
        migration.checksum,
        now,
    )
    return Success(Success(migration))


async def _applied(tx: Transaction) -> tuple[Applied, ...]:
    rows = await tx.rows("SELECT number, name, checksum FROM migrations ORDER BY number")
    return tuple(_applied_of(row) for row in rows)


def _applied_of(row: Row) -> Applied:
    cells = Cells(row)
    return Applied(number=cells.number(), name=cells.text(), checksum=cells.text())


_EXISTS: Final = {
    "sqlite": "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'",
    "postgres": "SELECT 1 FROM pg_catalog.pg_class WHERE relkind = 'r' AND oid = to_regclass('migrations')",
}
