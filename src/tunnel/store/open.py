"""Which database a URL names, and the store on it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.store import migrating
from tunnel.store.driver import Database
from tunnel.store.migrating import MigrationError, migrations_of
from tunnel.store.port import Store
from tunnel.store.postgres import PostgresDriver, url_problem
from tunnel.store.sql import Prepared, SqlStore
from tunnel.store.sqlite import SqliteDriver

DATABASE_FILE: Final = "control.db"
"""In the state directory, when no database is named."""

_SQLITE: Final = re.compile(r"sqlite:(?://)?(.*)", re.DOTALL)
_POSTGRES: Final = re.compile(r"postgres(?:ql)?://.*", re.DOTALL)
_PASSWORD: Final = re.compile(r"(?<=:)[^:/@]+(?=@)|(?<=password=)[^&]+")


@final
@dataclass(frozen=True, slots=True)
class BadDatabase:
    """The URL names no database of ours; `seen` has no password in it."""

    seen: str


OpenError: TypeAlias = BadDatabase | MigrationError


async def open_store(url: str, state: Path, now: UnixSeconds) -> Outcome[Store, OpenError]:
    """The store that `url` names ("" is a file of the state directory), with all migrations applied.

    A database that is away is no error: the store answers `StoreUnavailable` until it is there. One that belongs to a
    newer program is.
    """
    found = driver_of(url, state)
    if not isinstance(found, Success):
        return found
    driver = value_of(found)
    prepared = Prepared(driver, migrations_of(driver.kind), now)
    first = await prepared.prepare()
    if isinstance(first, Success):
        made = value_of(first)
        if not isinstance(made, Success):
            await driver.close()
            return made
    return Success(SqlStore(prepared))


def driver_of(url: str, state: Path) -> Outcome[Database, BadDatabase]:
    """The driver for a URL; nothing is opened yet."""
    file = _SQLITE.fullmatch(url)
    if not url or file is not None:
        named = file.group(1) if file is not None else ""
        return Success(SqliteDriver(state / (named or DATABASE_FILE)))
    if _POSTGRES.fullmatch(url) is None or url_problem(url):
        return Failure(BadDatabase(without_password(url)))
    return Success(PostgresDriver(url))


def is_missing(url: str, state: Path) -> bool:
    """Whether the database would be a file of the state directory that is not there; one that may not be seen is."""
    try:
        return not url and not (state / DATABASE_FILE).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def whole_url(url: str, state: Path) -> str:
    """The same database by a URL that does not depend on the state directory; what names no file is left as it is."""
    file = _SQLITE.fullmatch(url)
    return url if file is None or not file.group(1) else f"sqlite:{state / file.group(1)}"


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    return _PASSWORD.sub("***", url)


def describe(error: OpenError) -> str:
    """What was seen, what was expected and what to do."""
    if isinstance(error, BadDatabase):
        return (
            f"`{error.seen}` names no database: give sqlite:FILE, or postgresql://USER@HOST/DATABASE with the password "
            "in ~/.pgpass or PGPASSWORD."
        )
    return migrating.describe(error)
