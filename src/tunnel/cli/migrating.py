"""`tunnel migrate`: bring a database to what this version wants, or only say what it lacks."""

import time
from collections.abc import Mapping
from pathlib import Path

import anyio

from tunnel.cli.commands import MigrateCommand
from tunnel.cli.databases import database_asked
from tunnel.cli.exits import ExitCode
from tunnel.cli.problems import CannotRead
from tunnel.cli.report import refuse, say
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.drive import files
from tunnel.store import migrating
from tunnel.store import open as opening
from tunnel.store.driver import Database
from tunnel.store.errors import StoreError
from tunnel.store.errors import describe as describe_store
from tunnel.store.migrating import Migration, applied_to, migrations_of, pending


def run_migrate(command: MigrateCommand, environment: Mapping[str, str]) -> ExitCode:
    """Carry the command out."""
    database = database_asked(command.database, environment, None)
    if not isinstance(database, Success):
        return refuse((error_of(database),))
    state = Path(command.state)
    ready = files.make_directory(state)
    if not isinstance(ready, Success):
        return refuse((CannotRead("--state", files.describe(error_of(ready))),))
    found = opening.driver_of(value_of(database), state)
    if not isinstance(found, Success):
        return refuse((CannotRead("--database", opening.describe(error_of(found))),))
    return anyio.run(_migrated, command, value_of(found))


def lines_of(known: tuple[Migration, ...], missing: tuple[Migration, ...], verb: str) -> list[str]:
    """A line for each migration: its number, its name, and whether it was there before."""
    lacked = {migration.number for migration in missing}
    return [
        f"{migration.number:04}  {migration.name:<24}  {verb if migration.number in lacked else 'applied before'}"
        for migration in known
    ]


async def _migrated(command: MigrateCommand, driver: Database) -> ExitCode:
    known = migrations_of(driver.kind)
    try:
        return await (_checked(driver, known) if command.is_check else _applied(driver, known))
    finally:
        await driver.close()


async def _checked(driver: Database, known: tuple[Migration, ...]) -> ExitCode:
    applied = await applied_to(driver)
    if not isinstance(applied, Success):
        return _away(error_of(applied))
    missing = pending(known, value_of(applied))
    if not isinstance(missing, Success):
        return refuse((CannotRead("--database", migrating.describe(error_of(missing))),))
    print("\n".join(lines_of(known, value_of(missing), "pending")))
    return ExitCode.UNCHANGED if value_of(missing) else ExitCode.OK


async def _applied(driver: Database, known: tuple[Migration, ...]) -> ExitCode:
    done = await migrating.migrate(driver, known, UnixSeconds(int(time.time())))
    if not isinstance(done, Success):
        return _away(error_of(done))
    made = value_of(done)
    if not isinstance(made, Success):
        return refuse((CannotRead("--database", migrating.describe(error_of(made))),))
    print("\n".join(lines_of(known, value_of(made), "applied now")))
    return ExitCode.OK


def _away(error: StoreError) -> ExitCode:
    say(f"tunnel: {describe_store(error)}")
    return ExitCode.NETWORK
