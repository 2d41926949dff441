"""How many writes a second each database takes: reserved names one at a time, and records of a journal in batches.

Run by `make store`. Both keep what they were told through a power cut (synchronous = FULL, fsync = on). Rates depend on
the disk; the CPU time of this process beside them does not.
"""

import asyncio
import itertools
import json
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, final

from tests.support.postgres import PostgresServer, programs
from tests.support.store_world import ACT, NOW, Place, account, account_id, given, name, opened_store, token_id

from tunnel.core.base.ids import SessionId, UnixSeconds
from tunnel.core.journal.records import JournalId, Record, SessionBegan, UsageNoted
from tunnel.store.port import Store

BATCH: Final = 500
"""Records of one transaction, about what the applier reads at a time."""
EVENTS: Final = 10
"""Of each batch so many are audit entries; all others are usage."""
JOURNAL: Final = JournalId(b"j" * 16)


@final
@dataclass(frozen=True, slots=True)
class Rate:
    """How fast one kind of work went."""

    database: str
    work: str
    each_second: float
    cpu_us: float


def batch(number: int) -> tuple[Record, ...]:
    """What a busy second of the data plane may note: usage of fifty names, and some sessions."""
    usage = [
        UsageNoted(account_id(1 + n % 5), f"name-{n % 50}", UnixSeconds(NOW + 3600 * (number % 24)), 1, 100, 1000, 1)
        for n in range(BATCH - EVENTS)
    ]
    sessions = [SessionBegan(SessionId(n), account_id(1), token_id(n), "192.0.2.1:5000", NOW) for n in range(EVENTS)]
    return (*usage, *sessions)


async def measured(store: Store, database: str, seconds: float) -> list[Rate]:
    """The rates of one database, so many seconds each."""
    given(await store.create_account(account(1), ACT, NOW))
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    for number in itertools.count():
        given(await store.reserve_name(name(f"n{number}"), ACT, NOW))
        done += 1
        if time.perf_counter() - wall > seconds:
            break
    rates = [_rate(database, "audited writes", done, wall, cpu)]
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    for number in itertools.count():
        given(await store.apply_journal(JOURNAL, 1 + number * BATCH, batch(number), ACT, NOW))
        done += BATCH
        if time.perf_counter() - wall > seconds:
            break
    rates.append(_rate(database, "journal records", done, wall, cpu))
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        given(await store.change_number())
        done += 1
    return [*rates, _rate(database, "looks at the change number", done, wall, cpu)]


def _rate(database: str, work: str, done: int, wall: float, cpu: float) -> Rate:
    each = done / (time.perf_counter() - wall)
    return Rate(database, work, round(each), round((time.process_time() - cpu) / done * 1e6, 1))


@contextmanager
def places() -> Iterator[list[Place]]:
    """A database of each kind that there is here."""
    with tempfile.TemporaryDirectory() as folder:
        found = [Place("sqlite", "", Path(folder))]
        server = None if programs() is None else PostgresServer({})
        try:
            if server is None:
                print("left out: Postgres is not installed here")
            else:
                server.start()
                found.append(Place("postgres", server.make_database("bench"), Path(folder)))
            yield found
        finally:
            if server is not None:
                server.destroy()


async def _measure(place: Place, seconds: float) -> list[Rate]:
    store = await opened_store(place)
    try:
        return await measured(store, place.kind, seconds)
    finally:
        await store.close()


def main(words: list[str]) -> int:
    """Prints the table."""
    parser = ArgumentParser(prog="bench.store", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(words)
    with places() as found:
        rates = [rate for place in found for rate in asyncio.run(_measure(place, chosen.seconds))]
    print(f"{'database':<10} {'work':<28} {'each second':>12} {'CPU each':>12}")
    for rate in rates:
        print(f"{rate.database:<10} {rate.work:<28} {rate.each_second:>12,.0f} {rate.cpu_us:>9,.0f} us")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps([asdict(rate) for rate in rates], indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
