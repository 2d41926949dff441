"""Postgres behind the store: a pool of connections, and transactions that end by themselves whatever the server does.

A writer's transaction begins by taking one advisory lock, so that writers of all processes take turns as SQLite's do:
the audit chain has one end, and what a transaction looked at before it wrote stays true (ADR 0054).
"""

import functools
import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, TypeAlias, TypeVar, final

import anyio
import psycopg
from anyio import CancelScope, create_task_group
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.store.cells import UnfitCellError, refuse_unfit
from tunnel.store.driver import Transaction, Work, with_percent
from tunnel.store.errors import Conflict, StoreError, StoreUnavailable, Told, Unstorable
from tunnel.store.rows import Cell, Row, UnfitRowError

T = TypeVar("T")
Connection: TypeAlias = psycopg.AsyncConnection[TupleRow]

CONNECTIONS_MAX: Final = 8
"""Of one process. Writers take turns anyway; these are for readers, and few enough for a server with many clients."""
WAITING_MAX: Final = 256
"""Calls that wait for a connection; beyond it the answer is `StoreUnavailable` at once: memory is bounded."""
CONNECT_SECONDS: Final = 3
"""To make a connection, and for a call to wait until one of the pool is free."""
STATEMENT_SECONDS: Final = 4
"""The server's own limit for a statement, and for waiting at a lock."""
TRANSACTION_SECONDS: Final = 6.0
"""Ours for the whole transaction: a server that is paused keeps no limit of its own."""
MIGRATION_SECONDS: Final = 600
"""The limit of one migration: a large table takes minutes, and only API and dashboard wait for it."""
TURN_SECONDS: Final = 60
"""For a migration to get its turn: another process may be applying one."""
TRIES_MAX: Final = 5
"""How often a transaction is tried that others got in the way of; from the third on there is more than bad luck."""
PAUSE_SECONDS: Final = 0.01
"""Before the second try; twice as long before each further one."""
PROBE_SECONDS: Final = 0.5
"""After a failed attempt to connect, calls are told its reason for so long instead of waiting for the next."""
WRITERS_LOCK: Final = 0x74756E6E656C
"""The advisory lock of writers: `tunnel` in ASCII."""

_BEGIN_READ: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_BEGIN_WRITE: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITERS_LOCK})".encode()
BEGIN_MIGRATION: Final = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '{TURN_SECONDS}s'; "
    f"SET LOCAL statement_timeout = '{MIGRATION_SECONDS}s'; SELECT pg_advisory_xact_lock({WRITERS_LOCK})"
).encode()
_LOCK_NOT_AVAILABLE: Final = "55P03"

CONTENDED: Final = frozenset({"40001", "40P01"})
"""serialization_failure and deadlock_detected: nothing was done, and the next try may go well."""
TAKEN: Final = frozenset({"23505"})
"""unique_violation."""
HELD: Final = frozenset({"23503", "23001"})
"""foreign_key_violation and restrict_violation."""
UNFIT: Final = frozenset({"23502", "23514", "22001", "22003", "22021", "22P05"})
"""not_null, check, text too long, number out of range, characters that its encoding has not."""
WORDS: Final = {
    "25006": "it is read-only",
    "53100": "its disk is full",
    "53300": "it has too many connections",
    "55P03": "others hold a lock for too long",
    "57014": "a statement took too long",
    "57P01": "it is being stopped",
    "57P02": "it crashed and is recovering",
    "57P03": "it is starting or stopping",
    "3D000": "there is no such database",
    "28P01": "the password is wrong",
    "28000": "the user may not log in",
}
"""What the others are called that an operator meets; whatever is not named at all is `StoreUnavailable` as well."""
TURN_NOT_GIVEN: Final = (
    f"a migration waited {TURN_SECONDS} s for its turn and changed nothing: another process is applying migrations, or "
    "holds a lock on a table"
)


@final
class PostgresTransaction:
    """A transaction of one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection

    async def rows(self, sql: str, *cells: Cell) -> list[Row]:
        """The rows that the statement gives."""
        refuse_unfit(cells)
        cursor = await self._connection.execute(_statement(sql), cells)
        if cursor.description is None:
            return []
        found: list[Row] = list(await cursor.fetchall())
        return found

    async def each(self, sql: str, many: Sequence[Row]) -> None:
        """The statement, once for each of `many`, sent without waiting for the one before."""
        for cells in many:
            refuse_unfit(cells)
        if many:
            async with self._connection.cursor() as cursor:
                await cursor.executemany(_statement(sql), many)

    async def script(self, sql: str) -> None:
        """All statements of it, in this transaction."""
        await self._connection.execute(sql.encode(), prepare=False)


@final
class _Contended:
    """The transaction met another and was undone; `detail` is what the server said."""

    def __init__(self, detail: str) -> None:
        self.detail: Final = detail


@final
class _Stale:
    """The connection had died while it was idle; nothing was begun."""

    def __init__(self, detail: str) -> None:
        self.detail: Final = detail


_Tried: TypeAlias = Outcome[T, StoreError | _Contended | _Stale]


@final
class PostgresDriver:
    """One database on a server. Finished by `close`."""

    def __init__(self, url: str) -> None:
        self._url: Final = url
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._opening: Final = anyio.Lock()
        self._probing: Final = anyio.Lock()
        self._is_suspect = True
        self._reason: tuple[float, StoreUnavailable] | None = None
        self._is_closed = False

    @property
    def kind(self) -> str:
        """`postgres`."""
        return "postgres"

    async def read(self, work: Work[T]) -> Told[T]:
        """What the work gives, all of it from one snapshot."""
        return await self._tried(_BEGIN_READ, work)

    async def write(self, work: Work[T]) -> Told[T]:
        """What the work gives; the advisory lock keeps every other writer out, also of other processes."""
        return await self._tried(_BEGIN_WRITE, work)

    async def migrate(self, work: Work[T]) -> Told[T]:
        """As `write`, with limits of its own: minutes for a statement, a minute to get its turn."""
        done = await self._tried(BEGIN_MIGRATION, work, MIGRATION_SECONDS)
        error = None if isinstance(done, Success) else error_of(done)
        if isinstance(error, StoreUnavailable) and WORDS[_LOCK_NOT_AVAILABLE] in error.detail:
            return Failure(StoreUnavailable(TURN_NOT_GIVEN, 5))
        return done

    async def version(self) -> Told[str]:
        """The server's version."""

        async def work(tx: Transaction) -> Told[str]:
            (row,) = await tx.rows("SHOW server_version")
            return Success(str(row[0]))

        return await self._tried(_BEGIN_READ, work)

    async def close(self) -> None:
        """Ends the connections."""
        self._is_closed = True
        async with self._opening:
            pool, self._pool = self._pool, None
            if pool is not None:
                with CancelScope(shield=True):
                    await pool.close(CONNECT_SECONDS)

    async def _tried(self, begin: bytes, work: Work[T], seconds: float = 0) -> Told[T]:
        """As often as contention and dead connections want it, within their bounds."""
        contended, stale = 0, 0
        while True:
            done = await self._once(begin, work, seconds or TRANSACTION_SECONDS)
            if isinstance(done, Success):
                self._is_suspect = False
                return done
            error = error_of(done)
            if isinstance(error, _Contended):
                contended += 1
                if contended == TRIES_MAX:
                    return Failure(Conflict("database", error.detail, "others-kept-changing-it"))
                await anyio.sleep(PAUSE_SECONDS * (1 << contended))
            elif isinstance(error, _Stale):
                self._is_suspect = True
                stale += 1
                if stale > CONNECTIONS_MAX:
                    return Failure(StoreUnavailable(error.detail, 1))
            else:
                self._is_suspect = self._is_suspect or isinstance(error, StoreUnavailable)
                return Failure(error)

    async def _once(self, begin: bytes, work: Work[T], seconds: float) -> _Tried[T]:
        # Shielded: whoever gives up waiting leaves no connection in the middle of something. It ends by itself, soon.
        with CancelScope(shield=True):
            return await self._on_a_connection(begin, work, seconds)
        return Failure(StoreUnavailable("nobody waits for it any more", 1))

    async def _on_a_connection(self, begin: bytes, work: Work[T], seconds: float) -> _Tried[T]:
        away = await self._away() if self._is_suspect else None
        if away is not None:
            return Failure(away)
        pool = await self._opened()
        if pool is None:
            return Failure(StoreUnavailable("it was closed", 1))
        try:
            connection = await pool.getconn(CONNECT_SECONDS)
        except (PoolTimeout, PoolClosed, TooManyRequests, psycopg.Error) as cause:
            return Failure(StoreUnavailable(_words(cause), 1))
        try:
            return await _watched(connection, begin, work, seconds)
        finally:
            with suppress(psycopg.Error):
                await pool.putconn(connection)

    async def _opened(self) -> AsyncConnectionPool[Connection] | None:
        async with self._opening:
            if self._pool is None and not self._is_closed:
                self._pool = _new_pool(self._url)
                await self._pool.open()
            return self._pool

    async def _away(self) -> StoreUnavailable | None:
        """Why there is no connecting at this moment, in the server's words: the pool would only say that it waited."""
        async with self._probing:
            now = anyio.current_time()
            if self._reason is not None and now < self._reason[0] + PROBE_SECONDS:
                return self._reason[1]
            self._reason = None
            try:
                connection = await psycopg.AsyncConnection.connect(self._url, connect_timeout=CONNECT_SECONDS)
            except (psycopg.Error, OSError) as cause:
                away = StoreUnavailable(_words(cause), 1)
                self._reason = (anyio.current_time(), away)
                return away
            with suppress(psycopg.Error):
                await connection.close()
            self._is_suspect = False
            return None


def url_problem(url: str) -> bool:
    """Whether libpq does not understand the URL."""
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        return True
    return False


def store_error(cause: psycopg.Error | OSError) -> StoreError:
    """The few errors that say something about what was asked, and `StoreUnavailable` for all others."""
    code = cause.sqlstate if isinstance(cause, psycopg.Error) else None
    words = _words(cause)
    if code in UNFIT:
        return Unstorable("it breaks a rule of its table", words[:80])
    if code in TAKEN:
        return Conflict("row", words[:80], "it-is-there-already")
    if code in HELD:
        return Conflict("row", words[:80], "others-belong-to-it")
    return StoreUnavailable(words, 1)


async def _watched(connection: Connection, begin: bytes, work: Work[T], seconds: float) -> _Tried[T]:
    """The transaction beside a watch that cuts the connection when it takes too long."""
    async with create_task_group() as tasks:
        tasks.start_soon(_cut_late, connection, seconds)
        done = await _transact(connection, begin, work)
        tasks.cancel_scope.cancel()
    return done


async def _transact(connection: Connection, begin: bytes, work: Work[T]) -> _Tried[T]:
    """The whole transaction. Whatever goes wrong, nothing of it stays."""
    has_begun = False
    try:
        await connection.execute(begin, prepare=False)
        has_begun = True
        done = await work(PostgresTransaction(connection))
        await connection.execute(b"COMMIT" if isinstance(done, Success) else b"ROLLBACK", prepare=False)
    except (psycopg.Error, OSError) as cause:
        await _undo(connection)
        if not has_begun and connection.broken:
            return Failure(_Stale(_words(cause)))
        if isinstance(cause, psycopg.Error) and cause.sqlstate in CONTENDED:
            return Failure(_Contended(_words(cause)))
        return Failure(store_error(cause))
    except UnfitCellError as cause:
        await _undo(connection)
        return Failure(cause.error)
    except UnfitRowError as cause:
        await _undo(connection)
        return Failure(StoreUnavailable(f"it was changed by hand or is damaged: {cause}", 60))
    return Success(value_of(done)) if isinstance(done, Success) else Failure(error_of(done))


async def _undo(connection: Connection) -> None:
    with suppress(psycopg.Error, OSError):
        await connection.rollback()


async def _cut_late(connection: Connection, seconds: float) -> None:
    """Ends the connection under a transaction that is late: what waits for it then fails, without being cancelled."""
    await anyio.sleep(seconds)
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)


def _new_pool(url: str) -> AsyncConnectionPool[Connection]:
    # What the pool would log, its callers are told as values.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    milliseconds = STATEMENT_SECONDS * 1000
    return AsyncConnectionPool(
        url,
        kwargs={
            "autocommit": True,
            "prepare_threshold": 1,
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "tunnel control",
            "keepalives_idle": 10,
            "tcp_user_timeout": milliseconds,
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} "
            f"-c idle_in_transaction_session_timeout={2 * milliseconds}",
        },
        min_size=0,
        max_size=CONNECTIONS_MAX,
        max_waiting=WAITING_MAX,
        timeout=CONNECT_SECONDS,
        # Given up soon, so that the first call after an outage begins a new attempt instead of waiting for an old one.
        reconnect_timeout=CONNECT_SECONDS,
        open=False,
        name="control",
    )


@functools.lru_cache(maxsize=512)
def _statement(sql: str) -> bytes:
    return with_percent(sql).encode()


def _words(cause: Exception) -> str:
    """Why, in a few words without a line break; libpq puts no password into any of them."""
    if isinstance(cause, TooManyRequests):
        return f"{WAITING_MAX} calls are waiting for it already"
    if isinstance(cause, PoolTimeout):
        return f"no connection was free for {CONNECT_SECONDS} s"
    code = cause.sqlstate if isinstance(cause, psycopg.Error) else None
    known = WORDS.get(code or "")
    said = str(cause).strip().partition("\n")[0][:160] or type(cause).__name__
    return f"{known} ({said})" if known is not None else said
