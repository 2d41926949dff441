"""SQLite behind the store: a file of the state directory in WAL mode, one writer and a few readers, each in a thread.

A transaction's work is a coroutine, since on Postgres it waits for the network. Here it never waits: it is run from
begin to end in one step of a thread, so that it costs one hop and never holds a lock across the event loop (ADR 0053).
"""

import os
import secrets
import sqlite3
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar, final

import anyio
from anyio import CancelScope, move_on_after, to_thread

from tunnel.core.base.outcome import Failure, Success
from tunnel.store.cells import UnfitCellError, refuse_unfit
from tunnel.store.driver import Work, with_columns
from tunnel.store.errors import Conflict, StoreError, StoreUnavailable, Told, Unstorable
from tunnel.store.rows import Cell, Row, UnfitRowError

T = TypeVar("T")

READERS: Final = 2
"""Readers run beside the writer in WAL mode; more would only take turns on the interpreter's lock."""
WAITING_MAX: Final = 256
"""Calls that wait for their turn; beyond it the answer is `StoreUnavailable` at once, so that memory stays bounded."""
BUSY_SECONDS: Final = 5.0
"""How long we wait while another process (the command line, a backup) writes."""
VERSION_MIN: Final = (3, 37, 0)
"""STRICT tables came with it (2021)."""

_PRIVATE: Final = 0o600
_SETUP: Final = (
    "PRAGMA journal_mode = WAL",
    # FULL: what is committed is on the disk. The journal of the data plane is deleted once it is applied.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
)
_CONSTRAINT_DATATYPE: Final = 3091
"""SQLITE_CONSTRAINT_DATATYPE, a column of a STRICT table; Python 3.11 has no name for it."""
_UNFIT: Final = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT_CHECK,
        sqlite3.SQLITE_CONSTRAINT_NOTNULL,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_TOOBIG,
        _CONSTRAINT_DATATYPE,
    }
)


@final
class SqliteTransaction:
    """A transaction of one connection; nothing here waits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection: Final = connection

    async def rows(self, sql: str, *cells: Cell) -> list[Row]:
        """The rows that the statement gives."""
        refuse_unfit(cells)
        found: list[Row] = self._connection.execute(with_columns(sql), cells).fetchall()
        return found

    async def each(self, sql: str, many: Sequence[Row]) -> None:
        """The statement, once for each of `many`."""
        for cells in many:
            refuse_unfit(cells)
        self._connection.executemany(with_columns(sql), many)

    async def script(self, sql: str) -> None:
        """Statement by statement: `executescript` would commit first."""
        statement = ""
        for line in sql.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                self._connection.execute(statement)
                statement = ""


@final
class _Seat:
    """A connection and whose turn it is to use it."""

    def __init__(self) -> None:
        self.turn: Final = anyio.Lock()
        self.connection: sqlite3.Connection | None = None
        self.file = (0, 0)
        """Device and inode of what is open."""


@final
class SqliteDriver:
    """One database file. Finished by `close`."""

    def __init__(self, path: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        self._path: Final = path
        self._busy_seconds: Final = busy_seconds
        self._writer: Final = _Seat()
        self._readers: Final = tuple(_Seat() for _ in range(READERS))
        self._threads: Final = anyio.CapacityLimiter(1 + READERS)
        self._waiting = 0
        self._was_open = False
        self._is_closed = False

    @property
    def kind(self) -> str:
        """`sqlite`."""
        return "sqlite"

    async def read(self, work: Work[T]) -> Told[T]:
        """What the work gives, all of it from one state of the file."""
        seat = min(self._readers, key=lambda seat: seat.turn.statistics().tasks_waiting + seat.turn.locked())
        return await self._take_turn(seat, "BEGIN DEFERRED", work)

    async def write(self, work: Work[T]) -> Told[T]:
        """What the work gives; BEGIN IMMEDIATE keeps every other writer out, also of other processes."""
        return await self._take_turn(self._writer, "BEGIN IMMEDIATE", work)

    async def migrate(self, work: Work[T]) -> Told[T]:
        """As `write`: no statement has a limit here, and no connection is lost."""
        return await self.write(work)

    async def version(self) -> Told[str]:
        """The library's version."""
        return Success(sqlite3.sqlite_version)

    async def close(self) -> None:
        """Ends the connections once what runs is done."""
        self._is_closed = True
        for seat in (self._writer, *self._readers):
            async with seat.turn:
                await to_thread.run_sync(_let_go, seat, limiter=self._threads)

    async def _take_turn(self, seat: _Seat, begin: str, work: Work[T]) -> Told[T]:
        if self._waiting >= WAITING_MAX:
            return Failure(StoreUnavailable(f"{WAITING_MAX} calls are waiting for it already", 1))
        self._waiting += 1
        try:
            with move_on_after(self._busy_seconds) as waiting:
                await seat.turn.acquire()
            if waiting.cancelled_caught:
                return Failure(StoreUnavailable("others are in it for too long", 1))
            try:
                return await self._in_a_thread(seat, begin, work)
            finally:
                seat.turn.release()
        finally:
            self._waiting -= 1

    async def _in_a_thread(self, seat: _Seat, begin: str, work: Work[T]) -> Told[T]:
        if self._is_closed:
            return Failure(StoreUnavailable("it was closed", 1))
        # Shielded: a thread cannot be stopped, and what it commits is to be told.
        with CancelScope(shield=True):
            return await to_thread.run_sync(self._transact, seat, begin, work, limiter=self._threads)
        return Failure(StoreUnavailable("nobody waits for it any more", 1))

    def _transact(self, seat: _Seat, begin: str, work: Work[T]) -> Told[T]:
        """In a thread: the whole transaction. Whatever goes wrong, nothing of it stays."""
        try:
            connection = self._connection_of(seat)
            connection.execute(begin)
            done = run_through(work(SqliteTransaction(connection)))
            connection.execute("COMMIT" if isinstance(done, Success) else "ROLLBACK")
        except (sqlite3.Error, OSError) as cause:
            _let_go(seat)
            return Failure(store_error(cause))
        except UnfitCellError as cause:
            return Failure(cause.error)
        except UnfitRowError as cause:
            return Failure(StoreUnavailable(f"it was changed by hand or is damaged: {cause}", 60))
        finally:
            _undo(seat)
        return done

    def _connection_of(self, seat: _Seat) -> sqlite3.Connection:
        if seat.connection is not None:
            if _identity(self._path) == seat.file:
                return seat.connection
            # A backup was put in its place, or it is gone: writing on would write into a file that nobody finds.
            _let_go(seat)
        # It is made once: one that goes away later is missed, not made anew.
        if self._was_open:
            _identity(self._path)
        else:
            _make_file(self._path)
        place = f"{self._path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(
            place, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False, uri=True
        )
        seat.connection, seat.file, self._was_open = connection, _identity(self._path), True
        for statement in _SETUP:
            connection.execute(statement)
        return connection


def run_through(work: Coroutine[object, None, Told[T]]) -> Told[T]:
    """What the coroutine returns, run to its end here and now."""
    try:
        work.send(None)
    except StopIteration as done:
        told: Told[T] = done.value
        return told
    work.close()
    return Failure(StoreUnavailable("a transaction waited for something other than its database", 1))


def store_error(cause: sqlite3.Error | OSError) -> StoreError:
    """The few errors that say something about what was asked, and `StoreUnavailable` for all others."""
    if isinstance(cause, OSError):
        return StoreUnavailable(f"its file cannot be opened: {cause.strerror or 'no reason given'}", 5)
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    words = str(cause)
    if code in _UNFIT:
        return Unstorable("it breaks a rule of its table", words[:80])
    if code in {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}:
        return Conflict("row", words[:80], "it-is-there-already")
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return Conflict("row", words[:80], "others-belong-to-it")
    if code == sqlite3.SQLITE_BUSY:
        return StoreUnavailable(f"others are writing to it for too long ({words[:80]})", 1)
    return StoreUnavailable(words[:160], 5)


def _make_file(path: Path) -> None:
    """Make the file unless it is there, so that nobody else can read it from its first moment on.

    SQLite gives the files beside it the same mode. It is never opened here under its own name: closing it would drop
    every lock that this process holds on it (POSIX), and the next program to close the database would then delete
    the write-ahead log under us, with whatever we write to it from there on.
    """
    if path.exists():
        return
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    os.close(os.open(beside, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, _PRIVATE))
    try:
        os.link(beside, path)
    except FileExistsError:
        return  # another process, or another of our threads, was first
    finally:
        beside.unlink()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return (status.st_dev, status.st_ino)


def _undo(seat: _Seat) -> None:
    """Ends a transaction that is still open; does nothing when none is."""
    if seat.connection is not None:
        with suppress(sqlite3.Error):
            seat.connection.rollback()


def _let_go(seat: _Seat) -> None:
    """Closes the connection, which undoes what is open; the next call makes another."""
    connection, seat.connection = seat.connection, None
    if connection is not None:
        with suppress(sqlite3.Error):
            connection.close()
