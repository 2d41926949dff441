"""Applies the journals of the data plane to the store, each record once, and deletes what is applied (ADR 0070).

Any step may be the last before a kill, and any answer of the database may be lost: how far a journal is applied stands
in the store alone, written with what was applied, and is asked for again whenever it is not certain.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias, final

import anyio
from anyio import to_thread

from tunnel.api.plane import Plane
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.act import Act
from tunnel.core.journal.frames import Damage
from tunnel.core.journal.records import JournalId, Numbered, Record, RecordsMissing
from tunnel.drive.journals import CannotRead, JournalReader, Stretch, journals_in
from tunnel.drive.segments import JOURNALS, bytes_in
from tunnel.ports import Clock
from tunnel.store.errors import StoreError, StoreUnavailable, Told, Unstorable
from tunnel.store.errors import describe as describe_store
from tunnel.store.port import JournalStore

SERVICE: Final = "journal"
LOOK_SECONDS: Final = 0.25
"""Between two looks for something new; the data plane notes usage every second."""
RECORDS_MAX: Final = 256
"""In one transaction, so that it is short and others get their turn."""
_LAST_SECONDS_MAX: Final = 2.0
"""At the end of the control process; the server's last words come right before it."""
_RETRY_SECONDS_MAX: Final = 1.0
_BY_SERVER: Final = "server"

Trouble: TypeAlias = StoreError | CannotRead


async def run(plane: Plane) -> None:
    """Apply what there is, for ever; how it stands is on the board. Cancelled, it applies once more what is there."""
    applier = Applier(plane.store, plane.state / JOURNALS, plane.clock)
    try:
        await _follow(plane, applier)
    finally:
        with anyio.move_on_after(_LAST_SECONDS_MAX, shield=True):
            last = await applier.apply_all()
            plane.board.note(SERVICE, "it ended", is_ready=isinstance(last, Success))


def describe(trouble: Trouble) -> str:
    """What stands in the way."""
    if isinstance(trouble, CannotRead):
        return f"{trouble.path} cannot be read or removed: {trouble.reason}"
    return describe_store(trouble)


@final
class Applier:
    """All journals of one state directory. Holds one segment of one of them at a time."""

    def __init__(self, store: JournalStore, place: Path, clock: Clock) -> None:
        self._store: Final = store
        self._place: Final = place
        self._clock: Final = clock
        self._readers: Final[dict[Path, JournalReader]] = {}
        self._positions: Final[dict[JournalId, int]] = {}
        """How far each is applied, where that is certain."""
        self.applied = 0
        """Records applied by this process."""

    async def apply_all(self) -> Outcome[None, Trouble]:
        """Everything that is in the journals now is in the store; else why not, with what could be done done."""
        found = await to_thread.run_sync(journals_in, self._place)
        if not isinstance(found, Success):
            return found
        folders = value_of(found)
        for gone in [path for path in self._readers if path not in folders]:
            del self._readers[gone]
        trouble: Trouble | None = None
        for folder in folders:
            reader = self._readers.setdefault(folder, JournalReader(folder))
            done = await self._apply_journal(reader)
            if not isinstance(done, Success):
                reader.rewind()
                self._positions.pop(reader.journal, None)
                trouble = error_of(done)
                if isinstance(trouble, StoreUnavailable):
                    break  # the next would only wait for the same
        return Success(None) if trouble is None else Failure(trouble)

    async def _apply_journal(self, reader: JournalReader) -> Outcome[None, Trouble]:
        """One journal, segment by segment, up to its end or to where it is still written."""
        while True:
            position = await self._position(reader.journal)
            if not isinstance(position, Success):
                return position
            read = await to_thread.run_sync(reader.read, value_of(position))
            if not isinstance(read, Success):
                return read
            stretch = value_of(read)
            if stretch.segment is None:
                return await self._remove(reader) if stretch.is_final else Success(None)
            done = await self._apply_stretch(reader.journal, stretch)
            if not isinstance(done, Success):
                return done
            reader.passed(stretch)
            if not stretch.is_final:
                return Success(None)
            deleted = await to_thread.run_sync(reader.delete, stretch.segment)
            if not isinstance(deleted, Success):
                return deleted

    async def _position(self, journal: JournalId) -> Told[int]:
        known = self._positions.get(journal)
        if known is not None:
            return Success(known)
        asked = await self._store.journal_position(journal)
        if isinstance(asked, Success):
            self._positions[journal] = value_of(asked)
        return asked

    async def _apply_stretch(self, journal: JournalId, stretch: Stretch) -> Told[None]:
        name = "" if stretch.segment is None else stretch.segment.name
        numbered = [self._numbered(item, name) for item in stretch.items]
        for batch in batches_of(numbered):
            done = await self._apply(journal, batch)
            if not isinstance(done, Success) and isinstance(error_of(done), Unstorable):
                done = await self._apply_singly(journal, batch)
            if not isinstance(done, Success):
                return done
        return Success(None)

    def _numbered(self, item: Numbered | Damage, segment: str) -> tuple[int, Record]:
        if isinstance(item, Numbered):
            return item.sequence, item.record
        detail = f"{item.detail} from byte {item.at} to {item.to} of what was read of {segment}"
        missing = RecordsMissing(item.first, item.count, detail, self._clock.unix())
        return item.first + item.count - 1, missing

    async def _apply(self, journal: JournalId, batch: Sequence[tuple[int, Record]]) -> Told[None]:
        first, records = batch[0][0], [record for _, record in batch]
        act = Act(_BY_SERVER, "", "", f"journal {journal.hex()}")
        done = await self._store.apply_journal(journal, first, records, act, self._clock.unix())
        if not isinstance(done, Success):
            return done
        before = self._positions.get(journal, 0)
        self._positions[journal] = value_of(done)
        self.applied += min(max(value_of(done) - before, 0), len(records))
        return Success(None)

    async def _apply_singly(self, journal: JournalId, batch: Sequence[tuple[int, Record]]) -> Told[None]:
        """One by one: a record that the store will never take is told in its place, and holds up no other."""
        for sequence, record in batch:
            done = await self._apply(journal, [(sequence, record)])
            if not isinstance(done, Success) and isinstance(error_of(done), Unstorable):
                refused = RecordsMissing(sequence, 1, describe_store(error_of(done)), self._clock.unix())
                done = await self._apply(journal, [(sequence, refused)])
            if not isinstance(done, Success):
                return done
        return Success(None)

    async def _remove(self, reader: JournalReader) -> Outcome[None, Trouble]:
        """Nothing is left of a dead journal but its folder, which goes last: until then a kill changes nothing."""
        forgotten = await self._store.forget_journal(reader.journal, self._clock.unix())
        if not isinstance(forgotten, Success):
            return forgotten
        self._positions.pop(reader.journal, None)
        return await to_thread.run_sync(reader.remove)


async def _follow(plane: Plane, applier: Applier) -> None:
    while True:
        done = await applier.apply_all()
        pause = LOOK_SECONDS
        if isinstance(done, Success):
            plane.board.note(SERVICE, f"up to date; {applier.applied} records applied", is_ready=True)
        else:
            waiting = await to_thread.run_sync(bytes_in, plane.state / JOURNALS)
            trouble = error_of(done)
            plane.board.note(SERVICE, f"{waiting} bytes wait in the journals: {describe(trouble)}", is_ready=False)
            pause = _pause_of(trouble)
        await anyio.sleep(pause)


def batches_of(numbered: Sequence[tuple[int, Record]]) -> list[list[tuple[int, Record]]]:
    """The records in the transactions that they are applied in: neighbours by number, and not too many."""
    batches: list[list[tuple[int, Record]]] = []
    for one in numbered:
        if batches and len(batches[-1]) < RECORDS_MAX and batches[-1][-1][0] + 1 == one[0]:
            batches[-1].append(one)
        else:
            batches.append([one])
    return batches


def _pause_of(trouble: Trouble) -> float:
    asked = trouble.retry_seconds if isinstance(trouble, StoreUnavailable) else 1.0
    return min(max(asked, LOOK_SECONDS), _RETRY_SECONDS_MAX)
