"""Everything that can be wrong with a database: a Postgres of one's own, and the way to it, broken on purpose.

Each outage is begun and ended by one call. The control process reaches its database through `Way`, a proxy that can
refuse connections and be slow.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

import psycopg
from bench.pair import LOOPBACK
from tests.support.postgres import QUICK, PostgresServer

DATABASE: Final = "control"
_READ_BYTES: Final = 65_536
_CONNECTIONS_MAX: Final = 20
_LATE_SECONDS: Final = 10.0
"""The store gives a transaction up after six."""
_HOG_SECONDS: Final = 0.02
_WRITABLE: Final = "-c default_transaction_read_only=off"


@final
class Way:
    """A TCP proxy to the database at a port that stays the same."""

    def __init__(self, to: int) -> None:
        self.port = 0
        self.delay_seconds = 0.0
        """Before each piece is passed on, each way."""
        self._to: Final = to
        self._server: asyncio.Server | None = None
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    async def open(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._take, LOOPBACK, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Refuse new connections and cut those that stand."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._tasks.add(task)
        there: asyncio.StreamWriter | None = None
        with suppress(OSError, asyncio.CancelledError):
            back, there = await asyncio.open_connection(LOOPBACK, self._to)
            await asyncio.wait(
                [asyncio.create_task(self._pass(reader, there)), asyncio.create_task(self._pass(back, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        for each in (writer, there):
            if each is not None:
                each.transport.abort()
        self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_READ_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if not writer.transport.is_closing():
                    writer.write(data)
                    await writer.drain()


@final
@dataclass(frozen=True, slots=True)
class Outage:
    """One way for a database to be of no use. `is_seen` says that the API cannot do its work during it."""

    name: str
    begin: Callable[[], Awaitable[None]]
    end: Callable[[], Awaitable[None]]
    is_seen: bool = True
    seconds_min: float = 2.0
    """Shorter, and nobody would have waited long enough to be told."""


@final
class Database:
    """The Postgres of a run."""

    def __init__(self) -> None:
        settings = {**QUICK, "max_connections": str(_CONNECTIONS_MAX), "superuser_reserved_connections": "0"}
        self.server: Final = PostgresServer(settings, is_tcp=True)
        self.way: Final = Way(self.server.port)
        self._hogs: Final[list[psycopg.Connection[tuple[object, ...]]]] = []
        self._hogging: asyncio.Task[None] | None = None
        self._is_hogged = False

    @property
    def url(self) -> str:
        """As the control process is told it: through the proxy."""
        return self.server.url(DATABASE).replace(f":{self.server.port}/", f":{self.way.port}/")

    async def start(self) -> None:
        """Return once it can be used."""
        await asyncio.to_thread(self.server.start)
        await asyncio.to_thread(self.server.make_database, DATABASE)
        await self.way.open()

    async def destroy(self) -> None:
        """Leave no process and no file."""
        await self.way.close()
        await asyncio.to_thread(self.server.destroy)

    def query(self, statement: bytes) -> list[tuple[object, ...]]:
        """What the database holds, asked directly."""
        with psycopg.connect(self.server.url(DATABASE), options=_WRITABLE, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def outages(self) -> tuple[Outage, ...]:
        """All that are tried."""
        server = self.server
        return (
            Outage("stopped", _in_thread(server.stop), _in_thread(server.start)),
            Outage("killed", _in_thread(server.kill), _in_thread(server.start)),
            Outage("restarted", _in_thread(self._restart), _in_thread(self._restart), is_seen=False),
            Outage("paused", _in_thread(server.pause), _in_thread(server.resume), seconds_min=_LATE_SECONDS),
            Outage("refusing", self.way.close, self.way.open),
            Outage("read-only", _in_thread(self._forbid_writing), _in_thread(self._allow_writing)),
            Outage("no connections", self._hog, self._release),
            Outage("slow", self._slow, self._quick, seconds_min=_LATE_SECONDS),
        )

    def _restart(self) -> None:
        self.server.stop()
        self.server.start()

    def _forbid_writing(self) -> None:
        self._set_read_only(b"on")

    def _allow_writing(self) -> None:
        self._set_read_only(b"off")

    def _set_read_only(self, value: bytes) -> None:
        with psycopg.connect(self.server.url(), options=_WRITABLE, autocommit=True) as connection:
            connection.execute(b"ALTER SYSTEM SET default_transaction_read_only = " + value)
            connection.execute("SELECT pg_reload_conf()")

    async def _hog(self) -> None:
        await asyncio.to_thread(self._take_all)
        self._is_hogged = True
        self._hogging = asyncio.create_task(self._go_on_hogging())

    async def _go_on_hogging(self) -> None:
        """Whatever becomes free is taken, until the outage is over."""
        while self._is_hogged:
            await asyncio.to_thread(self._take_all)
            await asyncio.sleep(_HOG_SECONDS)

    def _take_all(self) -> None:
        if self._hogs:
            self._hogs[0].execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tunnel control'"
            )
        with suppress(psycopg.OperationalError):
            while True:
                self._hogs.append(psycopg.connect(self.server.url(), autocommit=True))

    async def _release(self) -> None:
        self._is_hogged = False
        if self._hogging is not None:
            await asyncio.wait([self._hogging])
        for each in self._hogs:
            each.close()
        self._hogs.clear()

    async def _slow(self) -> None:
        self.way.delay_seconds = 2.0

    async def _quick(self) -> None:
        self.way.delay_seconds = 0.0


def _in_thread(work: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await asyncio.to_thread(work)

    return run
