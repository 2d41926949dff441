"""The database goes away under load, in every way it can: nobody outside notices, and no count is lost or doubled.

    python -m bench.database --seconds 60 [--json FILE]     (make database TIME=60)

A real server with its control process on a real Postgres. Visitors ask without pause and agents come and go, while the
database is stopped, killed, restarted, paused, refusing, read-only, without a free connection, and slow. After each
outage the visitors rest until the usage in the database is what they counted: each request, each byte up and down.
Ends with 1 when a request failed, an agent was not let in, a count differs, the API did not say 503 with Retry-After
or did not recover, or memory grew. Left out by name where Postgres is not installed.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, final

import uvloop
from bench.failure import BenchError
from bench.fleet import DOMAIN, Host, Member, host
from bench.outages import Database, Outage
from bench.pair import LOOPBACK, resident_bytes
from bench.processes import accepts
from tests.support.postgres import programs

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.control.act import Act
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.keys import NEW_KEY_BYTES, new_key
from tunnel.core.control.roles import Role, Scope
from tunnel.drive.address import Address
from tunnel.drive.segments import JOURNALS, bytes_in
from tunnel.store.open import open_store

_NAMES: Final = ("one", "two", "three")
_VISITORS: Final = 6
_PAUSE_SECONDS: Final = 0.004
_BODY_BYTES_MAX: Final = 20_000
_PATIENCE_SECONDS: Final = 60.0
_PROBE_SECONDS: Final = 0.1
_DOUBLED_SECONDS: Final = 1.5
"""Longer than usage takes to the database: what is added twice is there by then."""
_GROWTH_BYTES_MAX: Final = 24_000_000
"""Of either process over the whole run: an allocator's habits, and one segment of a journal."""


@final
@dataclass
class Row:
    """What one outage was like."""

    outage: str
    seconds: float = 0.0
    requests: int = 0
    failed: list[str] = field(default_factory=list)
    agents: int = 0
    agents_refused: int = 0
    api: Counter[str] = field(default_factory=Counter)
    recovered_seconds: float = 0.0
    is_recovered: bool = False
    counted: int = 0
    stored: int = 0
    is_equal: bool = False
    waiting_bytes: int = 0
    server_bytes: int = 0
    control_bytes: int = 0


async def _local(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Echoes bodies."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            body = await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    writer.close()


@final
class Run:
    """One run of all outages."""

    def __init__(self, server: Host, database: Database, local: int, api: Address, key: str) -> None:
        self._server: Final = server
        self._database: Final = database
        self._local: Final = Address(LOOPBACK, local)
        self._api: Final = api
        self._key: Final = key
        self._chance: Final = random.Random(1)
        self._row = Row("")
        self.counted: Final[Counter[tuple[str, str]]] = Counter()
        self._goes_on: Final = asyncio.Event()
        self._busy = 0
        self._rested: Final = asyncio.Event()
        self._churned = 0

    # Load.

    async def visit(self) -> None:
        """One visitor after another, each with some requests on a connection of its own."""
        while True:
            await self._goes_on.wait()
            self._busy += 1
            try:
                await self._exchanges()
            finally:
                self._busy -= 1
                self._rested.set()

    async def _exchanges(self) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                reader, writer = await asyncio.open_connection(LOOPBACK, self._server.public.port)
                for _ in range(self._chance.randrange(1, 20)):
                    await self._exchange(reader, writer, self._chance.choice(_NAMES))
                    await asyncio.sleep(self._chance.random() * _PAUSE_SECONDS)
        except (OSError, EOFError) as cause:
            self._row.failed.append(repr(cause))
        finally:
            if writer is not None:
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        body = self._chance.randbytes(self._chance.randrange(_BODY_BYTES_MAX))
        authority = f"{name}.{DOMAIN}:{self._server.public.port}"
        head = f"POST /echo HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode("ascii") + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200") or await reader.readexactly(len(body)) != body:
            self._row.failed.append(answer[:80].decode("latin-1"))
            return
        self._row.requests += 1
        self.counted.update({(name, "requests"): 1, (name, "up"): len(body), (name, "down"): len(body)})

    async def churn(self) -> None:
        """One agent after another, with tokens that no database has seen, each asked once."""
        while True:
            await self._goes_on.wait()
            self._busy += 1
            self._churned += 1
            name = f"churn-{self._churned}"
            member = Member(self._server, name, self._local)
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await member.roll.ready()
                    reader, writer = await asyncio.open_connection(LOOPBACK, self._server.public.port)
                    await self._exchange(reader, writer, name)
                    writer.close()
                self._row.agents += 1
            except (OSError, EOFError) as cause:
                self._row.agents_refused += 1
                self._row.failed.append(f"agent {name}: {cause!r}")
            finally:
                await member.stop()
                self._busy -= 1
                self._rested.set()

    async def probe(self) -> None:
        """Ask the API all the time, as a dashboard would."""
        while True:
            row = self._row
            for path in ("/readyz", "/api/v1/accounts"):
                row.api[await self.asked(path)] += 1
            await asyncio.sleep(_PROBE_SECONDS)

    async def is_ready(self) -> bool:
        """Whether the API says that it can do all its work."""
        return await self.asked("/readyz") == "200"

    async def asked(self, path: str) -> str:
        """The status of one question, and whether a 503 says when to come again."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                reader, writer = await asyncio.open_connection(LOOPBACK, self._api.port)
                lines = [f"GET {path} HTTP/1.1", f"Host: {self._api}", f"Authorization: Bearer {self._key}"]
                writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("ascii"))
                answer = await reader.read()
                writer.close()
        except (OSError, EOFError) as cause:
            return type(cause).__name__
        head = answer.partition(b"\r\n\r\n")[0].lower()
        status = head[9:12].decode("ascii")
        return status if status != "503" or b"\r\nretry-after: " in head else "503 without Retry-After"

    # One outage.

    async def suffer(self, outage: Outage, seconds: float) -> Row:
        """One outage under load, the time after it, and the comparison."""
        row = self._row = Row(outage.name)
        self._goes_on.set()
        sampling = asyncio.create_task(self._sample(row))
        try:
            await self._suffer(outage, seconds, row)
        finally:
            sampling.cancel()
        return row

    async def _suffer(self, outage: Outage, seconds: float, row: Row) -> None:
        begun = time.monotonic()
        await outage.begin()
        await asyncio.sleep(seconds)
        await outage.end()
        row.seconds = time.monotonic() - begun
        over = time.monotonic()
        row.is_recovered = await _within(self.is_ready)
        row.recovered_seconds = time.monotonic() - over
        await self._rest()
        await self._compare(row)

    async def _rest(self) -> None:
        """Return once no visitor is on the way and no agent is new."""
        self._goes_on.clear()
        while self._busy:
            self._rested.clear()
            await self._rested.wait()

    async def _compare(self, row: Row) -> None:
        """Wait until the database holds what was counted; see that it does not go on growing."""
        expected = +self.counted

        async def is_there() -> bool:
            return await asyncio.to_thread(self._stored) == expected

        if await _within(is_there):
            await asyncio.sleep(_DOUBLED_SECONDS)
        stored = await asyncio.to_thread(self._stored)
        row.is_equal = stored == expected
        row.counted = sum(count for (_, what), count in expected.items() if what == "requests")
        row.stored = sum(count for (_, what), count in stored.items() if what == "requests")

    def _stored(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        rows = self._database.query(
            b"SELECT name, sum(requests)::bigint, sum(bytes_up)::bigint, sum(bytes_down)::bigint "
            b"FROM usage_hours GROUP BY name"
        )
        for name, requests, up, down in rows:
            found.update({(str(name), "requests"): int(str(requests)), (str(name), "up"): int(str(up))})
            found.update({(str(name), "down"): int(str(down))})
        return +found

    async def _sample(self, row: Row) -> None:
        while True:
            row.waiting_bytes = max(row.waiting_bytes, bytes_in(self._server.state / JOURNALS))
            row.server_bytes = max(row.server_bytes, self._server.resident_bytes())
            row.control_bytes = max(row.control_bytes, self._control_bytes())
            await asyncio.sleep(_PROBE_SECONDS)

    def _control_bytes(self) -> int:
        pid = self._server.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        return max((resident_bytes(int(child)) for child in children), default=0)


def faults_of(rows: Sequence[Row], outages: Sequence[Outage], escapes: int) -> list[str]:
    """Why it was not as promised; empty when it was."""
    seen = {outage.name: outage.is_seen for outage in outages}
    found = [f"handler_escapes_total {escapes}"] if escapes else []
    for row in rows:
        found += [f"{row.outage}: {words}" for words in row.failed[:5]]
        if not row.is_equal:
            found.append(f"{row.outage}: {row.counted} requests were counted and {row.stored} stored, or bytes differ")
        odd = {status: count for status, count in row.api.items() if status not in {"200", "503"}}
        if odd:
            found.append(f"{row.outage}: the API said {odd}")
        if seen.get(row.outage) and not row.api["503"]:
            found.append(f"{row.outage}: the API never said 503, so it was no outage")
        if not row.is_recovered:
            found.append(f"{row.outage}: the API did not recover")
        if not row.agents:
            found.append(f"{row.outage}: no agent came")
    for name, sizes in _held(rows).items():
        if max(sizes) - sizes[0] > _GROWTH_BYTES_MAX:
            found.append(f"the {name} process grew from {sizes[0] / 1e6:.0f} to {max(sizes) / 1e6:.0f} MB")
    return found


def _held(rows: Sequence[Row]) -> dict[str, list[int]]:
    return {"server": [row.server_bytes for row in rows], "control": [row.control_bytes for row in rows]}


async def measure(folder: Path, seconds: float, only: Sequence[str]) -> tuple[list[Row], list[str]]:
    """All outages, or those named, in a run of about so many seconds."""
    database = Database()
    try:
        await database.start()
        outages = [outage for outage in database.outages() if not only or outage.name in only]
        api = Address(LOOPBACK, _free_port())
        key = await _operator_key(database.url, folder)
        flags = ("--api", str(api), "--database", database.url)
        local = await asyncio.start_server(_local, LOOPBACK, 0)
        port = int(local.sockets[0].getsockname()[1])
        async with host(folder, control=flags) as server:
            run = Run(server, database, port, api, key)
            rows = await _all(run, server, Address(LOOPBACK, port), outages, seconds)
        local.close()
        return rows, faults_of(rows, outages, server.escapes())
    finally:
        await database.destroy()


async def _within(holds: Callable[[], Awaitable[bool]]) -> bool:
    """Whether something holds before patience is over."""
    for _ in range(int(_PATIENCE_SECONDS / _PROBE_SECONDS)):
        if await holds():
            return True
        await asyncio.sleep(_PROBE_SECONDS)
    return False


async def _all(run: Run, server: Host, local: Address, outages: Sequence[Outage], seconds: float) -> list[Row]:
    members = [Member(server, name, local) for name in _NAMES]
    for member in members:
        await member.roll.ready()
    if not await _within(run.is_ready):
        message = f"the control process did not start: {server.said()}"
        raise BenchError(message)
    work = [asyncio.create_task(run.visit()) for _ in range(_VISITORS)]
    work += [asyncio.create_task(run.churn()), asyncio.create_task(run.probe())]
    each = seconds / max(len(outages), 1)
    try:
        rows = [await run.suffer(outage, max(each, outage.seconds_min)) for outage in outages]
    finally:
        for task in work:
            task.cancel()
        await asyncio.wait(work)
        for member in members:
            await member.stop()
    return rows


async def _operator_key(url: str, folder: Path) -> str:
    """An API key that may read everything, put into the database as the command line would."""
    moment = UnixSeconds(int(time.time()))
    opened = await open_store(url, folder, moment)
    made = new_key(random.SystemRandom().randbytes(NEW_KEY_BYTES))
    if not isinstance(opened, Success):
        message = f"the database cannot be used: {opened}"
        raise BenchError(message)
    store = value_of(opened)
    scopes, secret = frozenset({Scope.OPERATE}), made.secret_hash
    record = KeyRecord(made.key, None, "probe", Role.OWNER, scopes, secret, moment, None, None, None)
    minted = await store.mint_key(record, Act("bench", "", "cli", ""), moment)
    await store.close()
    if not isinstance(minted, Success):
        message = f"no key: {minted}"
        raise BenchError(message)
    return made.text


def _free_port() -> int:
    while True:
        port = random.SystemRandom().randrange(12_000, 30_000)
        if not accepts(port):
            return port


def table(rows: Sequence[Row]) -> str:
    """One line an outage, in 80 columns."""
    head = f"{'':<14}{'s':>4}{'requests':>9}{'failed':>7}{'agents':>7}{'503':>5}{'back s':>7}"
    lines = [f"{head}{'counted':>9}{'stored':>8}"]
    lines += [
        f"{row.outage:<14}{row.seconds:>4.0f}{row.requests:>9}{len(row.failed):>7}{row.agents:>7}{row.api['503']:>5}"
        f"{row.recovered_seconds:>7.1f}{row.counted:>9}{row.stored:>8}"
        for row in rows
    ]
    lines.append("agents: new ones let in; 503: what the API said, with Retry-After; back s: until /readyz")
    lines.append("said 200; counted, stored: requests since the beginning, by visitors and in the database")
    for name, sizes in _held(rows).items():
        lines.append(f"{name} process: {min(sizes) / 1e6:.0f} to {max(sizes) / 1e6:.0f} MB")
    lines.append(f"waiting in the journals: {max(row.waiting_bytes for row in rows) / 1e3:.0f} kB at most")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description="The database goes away under load, in every way it can.")
    parser.add_argument("--seconds", type=float, default=40.0, help="of outages, all together")
    parser.add_argument("--only", action="append", default=[], help="an outage by name; may be repeated")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    if programs() is None:
        print("left out: Postgres is not installed here")
        return 0
    with tempfile.TemporaryDirectory(prefix="database-") as made:
        rows, faults = uvloop.run(measure(Path(made), asked.seconds, asked.only))
    print(table(rows))
    if asked.json is not None:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    for fault in faults:
        print(f"NOT AS PROMISED: {fault}")
    if not faults:
        print("nobody noticed, and every count is right")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
