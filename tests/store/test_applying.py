"""Applying journals: exactly once, whatever is killed at whatever step, whichever answers of the database are lost.

Kills at a step are made by a store and file operations that end everything before or after a chosen one of them; at the
end a new applier, as a new process would have it, finishes. What is then in the store has to be what was written.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar, final

import pytest
from anyio import to_thread
from tests.support.journals import ACCOUNT, AT, JOURNAL, OTHER_JOURNAL, RECORDS, write_segment
from tests.support.store_world import Place, opened_store

from tunnel.api.applying import Applier, batches_of, describe
from tunnel.core.base.ids import Instant, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.act import Act
from tunnel.core.control.page import Page
from tunnel.core.journal.frames import HEAD_BYTES, frame_bytes
from tunnel.core.journal.records import (
    JournalId,
    Noted,
    Record,
    RecordsMissing,
    ServerNote,
    ServerNoted,
    UsageNoted,
)
from tunnel.drive.journals import CannotRead, JournalReader
from tunnel.drive.segments import SegmentWriter
from tunnel.store.errors import Conflict, StoreUnavailable, Told
from tunnel.store.open import open_store
from tunnel.store.port import JournalStore, Store

pytestmark = pytest.mark.anyio

T = TypeVar("T")
NAMES: Final = ("web", "api", "raw")


@final
class StillClock:
    """A clock that stands."""

    def now(self) -> Instant:
        """Always the same."""
        return Instant(0.0)

    def unix(self) -> UnixSeconds:
        """Always the same."""
        return UnixSeconds(AT + 100)


def usage(number: int) -> Noted:
    return UsageNoted(ACCOUNT, NAMES[number % 3], AT, number, 2 * number, 3 * number, number % 2)


def reload(number: int) -> Noted:
    return ServerNoted(ServerNote.RELOAD, f"record {number}", AT)


def mixed(first: int, count: int) -> list[Noted]:
    return [usage(number) if number % 4 else reload(number) for number in range(first, first + count)]


async def counted_in(store: Store) -> Counter[str]:
    """What is in the store, as sums."""
    found = Counter[str]()
    hours = await store.usage(ACCOUNT, UnixSeconds(0), UnixSeconds(AT + 1_000_000), Page(limit=500))
    assert isinstance(hours, Success), hours
    for hour in value_of(hours).items:
        found.update({f"{hour.name} requests": hour.requests, f"{hour.name} connections": hour.connections})
        found.update({f"{hour.name} up": hour.bytes_up, f"{hour.name} down": hour.bytes_down})
    entries = await store.audit_range(1, 1 << 40, 500)
    assert isinstance(entries, Success), entries
    for entry in value_of(entries):
        found.update({f"{entry.facts.action} {entry.facts.after}": 1})
    return +found


def counted_of(records: Sequence[Noted]) -> Counter[str]:
    """What should be there after these."""
    found = Counter[str]()
    for record in records:
        if isinstance(record, UsageNoted):
            name = record.name
            found.update({f"{name} requests": record.requests, f"{name} connections": record.connections})
            found.update({f"{name} up": record.bytes_up, f"{name} down": record.bytes_down})
        elif isinstance(record, ServerNoted):
            found.update({f'server.reload {{"detail":"{record.detail}"}}': 1})
    return +found


async def applied(store: JournalStore, place: Path) -> Outcome[None, object]:
    return await Applier(store, place, StillClock()).apply_all()


@pytest.mark.shows("JRNL-APPLY-001")
async def test_every_kind_of_record_is_applied_and_the_files_are_deleted(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "journals" / JOURNAL.hex()
    write_segment(folder, JOURNAL, 1, 1, RECORDS[:4])
    write_segment(folder, JOURNAL, 2, 5, RECORDS[4:])
    assert await applied(store, folder.parent) == Success(None)
    assert not folder.exists()
    entries = await store.audit_range(1, 100, 100)
    assert isinstance(entries, Success)
    assert [entry.facts.action for entry in value_of(entries)] == [
        "session.begin", "name.take", "agent.refuse", "server.reload", "name.lose", "session.end", "journal.drop",
    ]  # fmt: skip
    found = await counted_in(store)
    assert (found["web requests"], found["web up"], found["web down"], found["web connections"]) == (
        17,
        4000,
        1 << 40,
        2,
    )
    assert await store.journal_position(JOURNAL) == Success(len(RECORDS)), "whoever has it in hand doubles nothing"
    assert await store.forget_journal(JOURNAL, UnixSeconds(AT + 100_000)) == Success(None)
    assert await store.journal_position(JOURNAL) == Success(0), "a journal that is gone is forgotten"


@pytest.mark.shows("JRNL-APPLY-001")
async def test_a_journal_that_is_still_written_is_followed(store: Store, tmp_path: Path) -> None:
    writer, place = SegmentWriter(tmp_path / "journals", JOURNAL, 1 << 20), tmp_path / "journals"
    applier = Applier(store, place, StillClock())
    records = mixed(1, 60)
    for number, record in enumerate(records):
        assert isinstance(writer.write(frame_bytes(JOURNAL, number + 1, record), number + 1), Success)
        assert await applier.apply_all() == Success(None)
        assert await store.journal_position(JOURNAL) == Success(number + 1)
    assert applier.applied == 60
    assert (place / JOURNAL.hex() / "00000001.seg").exists(), "it is still written to"
    writer.close()
    assert await applier.apply_all() == Success(None)
    assert list(place.iterdir()) == []
    assert await counted_in(store) == counted_of(records)


@pytest.mark.shows("JRNL-APPLY-001")
async def test_a_data_plane_that_dies_at_every_offset_leaves_exactly_its_whole_records(tmp_path: Path) -> None:
    """One database for all offsets: each cut is a journal of its own, and the sums have to be right at each."""
    opened = await open_store("", tmp_path, AT)
    assert isinstance(opened, Success)
    store, records, expected = value_of(opened), mixed(1, 9), Counter[str]()
    frames = [frame_bytes(OTHER_JOURNAL, number + 1, record) for number, record in enumerate(records)]
    ends = [sum(len(frame) for frame in frames[: number + 1]) for number in range(len(frames))]
    for cut in range(ends[-1] + 1):
        journal = JournalId(cut.to_bytes(16, "big"))
        path = write_segment(tmp_path / "journals" / journal.hex(), journal, 1, 1, records)
        path.write_bytes(path.read_bytes()[: HEAD_BYTES + cut])
        expected.update(counted_of([record for record, end in zip(records, ends, strict=True) if end <= cut]))
        assert await applied(store, tmp_path / "journals") == Success(None)
        if cut % 20 == 0 or cut in ends:
            assert await usage_in(store) == {key: n for key, n in expected.items() if "server" not in key}
    assert list((tmp_path / "journals").iterdir()) == []
    await store.close()


async def usage_in(store: Store) -> dict[str, int]:
    found = Counter[str]()
    hours = await store.usage(ACCOUNT, UnixSeconds(0), UnixSeconds(AT + 1_000_000), Page(limit=500))
    assert isinstance(hours, Success), hours
    for hour in value_of(hours).items:
        found.update({f"{hour.name} requests": hour.requests, f"{hour.name} connections": hour.connections})
        found.update({f"{hour.name} up": hour.bytes_up, f"{hour.name} down": hour.bytes_down})
    return dict(+found)


class Killed(BaseException):
    """The process is gone."""


@final
class Fate:
    """Counts steps, and ends everything at one of them."""

    def __init__(self, last: int) -> None:
        self.steps = 0
        self._last = last

    def step(self) -> None:
        """One more; it may be the last."""
        self.steps += 1
        if self.steps == self._last:
            raise Killed


@final
class Mortal:
    """A store whose user may be killed right before or right after each call."""

    def __init__(self, store: Store, fate: Fate) -> None:
        self._store = store
        self._fate = fate

    async def apply_journal(
        self, journal: JournalId, first: int, records: Sequence[Record], act: Act, now: UnixSeconds
    ) -> Told[int]:
        """As the store, if we live."""
        self._fate.step()
        done = await self._store.apply_journal(journal, first, records, act, now)
        self._fate.step()
        return done

    async def journal_position(self, journal: JournalId) -> Told[int]:
        """Likewise."""
        self._fate.step()
        return await self._store.journal_position(journal)

    async def forget_journal(self, journal: JournalId, now: UnixSeconds) -> Told[None]:
        """Likewise."""
        self._fate.step()
        done = await self._store.forget_journal(journal, now)
        self._fate.step()
        return done


def mortal(real: Callable[..., T], fate: Fate) -> Callable[..., T]:
    """A file operation before or after which its user may be killed."""

    def operation(*arguments: object) -> T:
        fate.step()
        done = real(*arguments)
        fate.step()
        return done

    return operation


def three_journals(place: Path) -> list[Noted]:
    """A journal of three segments with records doubled between two and a torn tail; another; one with nothing."""
    everything = mixed(1, 30)
    first, second = place / JOURNAL.hex(), place / OTHER_JOURNAL.hex()
    write_segment(first, JOURNAL, 1, 1, everything[:10])
    write_segment(first, JOURNAL, 2, 8, everything[7:16])
    torn = write_segment(first, JOURNAL, 4, 17, everything[16:21])
    with torn.open("ab") as file:
        file.write(frame_bytes(JOURNAL, 22, usage(1))[:-1])
    write_segment(second, OTHER_JOURNAL, 1, 1, everything[21:])
    (place / ("0" * 32)).mkdir()
    (place / f"{'f' * 32}.new").mkdir()
    (place / "not a journal").write_text("left alone", encoding="utf-8")
    return everything


@pytest.mark.shows("JRNL-APPLY-002")
async def test_an_applier_that_is_killed_at_every_step_applies_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunnel.api.applying.RECORDS_MAX", 4)
    delete, remove = JournalReader.delete, JournalReader.remove
    last, kills = 0, 0
    while True:
        last += 1
        state = tmp_path / str(last)
        place = state / "journals"
        place.mkdir(parents=True)
        everything = three_journals(place)
        store = await opened_store(Place("sqlite", "", state))
        fate = Fate(last)
        monkeypatch.setattr(JournalReader, "delete", mortal(delete, fate))
        monkeypatch.setattr(JournalReader, "remove", mortal(remove, fate))
        try:
            assert await applied(Mortal(store, fate), place) == Success(None)
        except Killed:
            kills += 1
        monkeypatch.setattr(JournalReader, "delete", delete)
        monkeypatch.setattr(JournalReader, "remove", remove)
        assert await applied(store, place) == Success(None)
        assert await counted_in(store) == counted_of(everything), f"killed at step {last}"
        assert [path.name for path in place.iterdir()] == ["not a journal"]
        await store.close()
        if fate.steps < last:
            break
    assert kills == last - 1 > 30


@final
class Forgetful:
    """A store of which every second answer is lost, after the work was done or before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls = 0

    async def apply_journal(
        self, journal: JournalId, first: int, records: Sequence[Record], act: Act, now: UnixSeconds
    ) -> Told[int]:
        """Done, or not, and told only at times."""
        self._calls += 1
        lost: Told[int] = Failure(StoreUnavailable("the connection broke", 1))
        if self._calls % 3 == 0:
            return lost if self._calls % 2 else Failure(Conflict("database", "a deadlock", "others-kept-changing-it"))
        done = await self._store.apply_journal(journal, first, records, act, now)
        return lost if self._calls % 3 == 1 else done

    async def journal_position(self, journal: JournalId) -> Told[int]:
        """As it is."""
        return await self._store.journal_position(journal)

    async def forget_journal(self, journal: JournalId, now: UnixSeconds) -> Told[None]:
        """As it is."""
        return await self._store.forget_journal(journal, now)


@pytest.mark.shows("JRNL-APPLY-002")
async def test_answers_that_are_lost_double_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunnel.api.applying.RECORDS_MAX", 3)
    place = tmp_path / "journals"
    everything = three_journals(place)
    applier, tries = Applier(Forgetful(store), place, StillClock()), 0
    while not isinstance(done := await applier.apply_all(), Success):
        assert "the connection broke" in describe(error_of(done)) or "changing it" in describe(error_of(done))
        tries += 1
        assert tries < 100
    assert tries > 5
    assert await counted_in(store) == counted_of(everything)


@final
class Slow:
    """A store whose user is overtaken: before its first records arrive, another has applied and removed everything."""

    def __init__(self, store: Store, place: Path) -> None:
        self._store = store
        self._place = place
        self.journal_position = store.journal_position
        self.forget_journal = store.forget_journal

    async def apply_journal(
        self, journal: JournalId, first: int, records: Sequence[Record], act: Act, now: UnixSeconds
    ) -> Told[int]:
        """As the store, too late."""
        assert await applied(self._store, self._place) == Success(None)
        return await self._store.apply_journal(journal, first, records, act, now)


@pytest.mark.shows("JRNL-APPLY-002", "STORE-JOURNAL-001")
async def test_of_two_appliers_the_one_that_is_overtaken_doubles_nothing(store: Store, tmp_path: Path) -> None:
    place = tmp_path / "journals"
    everything = three_journals(place)
    await applied(Slow(store, place), place)
    assert await counted_in(store) == counted_of(everything)
    assert [path.name for path in place.iterdir()] == ["not a journal"]


@pytest.mark.shows("JRNL-APPLY-003")
async def test_damage_is_told_in_the_audit_trail_and_once(store: Store, tmp_path: Path) -> None:
    """Records 3 and 4 are hit by a bad block, number 7 is gone with the end of its segment."""
    folder = tmp_path / "journals" / JOURNAL.hex()
    records = [reload(number) for number in range(1, 11)]
    path = write_segment(folder, JOURNAL, 1, 1, records[:7])
    frames = [frame_bytes(JOURNAL, number + 1, record) for number, record in enumerate(records)]
    data, begin = bytearray(path.read_bytes()), HEAD_BYTES + len(frames[0] + frames[1])
    end = begin + len(frames[2] + frames[3])
    data[begin + 5 : end - 5] = bytes(end - begin - 10)
    path.write_bytes(data[:-4])
    write_segment(folder, JOURNAL, 2, 8, records[7:])
    for _ in range(2):
        assert await applied(store, folder.parent) == Success(None)
    entries = await store.audit_range(1, 100, 100)
    assert isinstance(entries, Success)
    told = [entry.facts for entry in value_of(entries)]
    assert [facts.action for facts in told] == [
        *["server.reload"] * 2, "journal.missing", *["server.reload"] * 2, "journal.missing", *["server.reload"] * 3,
    ]  # fmt: skip
    missing = [facts.after for facts in told if facts.action == "journal.missing"]
    assert '"first":3' in missing[0]
    assert '"count":2' in missing[0]
    assert f"from byte {begin - HEAD_BYTES} to {end - HEAD_BYTES} of what was read of 00000001.seg" in missing[0]
    assert '"first":7' in missing[1]
    assert '"count":1' in missing[1]


@pytest.mark.shows("JRNL-APPLY-003")
async def test_a_damaged_head_costs_no_record(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "journals" / JOURNAL.hex()
    path = write_segment(folder, JOURNAL, 1, 1, mixed(1, 5))
    path.write_bytes(b"\0" * HEAD_BYTES + path.read_bytes()[HEAD_BYTES:])
    assert await applied(store, folder.parent) == Success(None)
    assert await counted_in(store) == counted_of(mixed(1, 5))


@pytest.mark.shows("JRNL-APPLY-004")
async def test_a_record_that_the_store_will_never_take_holds_up_no_other(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "journals" / JOURNAL.hex()
    huge: Noted = UsageNoted(ACCOUNT, "web", AT, 1 << 63, 0, 0, 0)
    write_segment(folder, JOURNAL, 1, 1, [usage(1), huge, usage(2)])
    assert await applied(store, folder.parent) == Success(None)
    found = await counted_in(store)
    assert {key: count for key, count in found.items() if "journal" not in key} == counted_of([usage(1), usage(2)])
    (told,) = [key for key in found if "journal.missing" in key]
    assert "64 bits" in told


async def test_a_file_that_cannot_be_deleted_is_told_and_its_records_are_applied_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "journals" / JOURNAL.hex()
    path = write_segment(folder, JOURNAL, 1, 1, mixed(1, 5))

    def refusing(_reader: JournalReader, segment: Path) -> Outcome[None, CannotRead]:
        return Failure(CannotRead(segment, "Read-only file system"))

    with monkeypatch.context() as patched:
        patched.setattr(JournalReader, "delete", refusing)
        for _ in range(3):
            done = await applied(store, folder.parent)
            assert done == Failure(CannotRead(path, "Read-only file system"))
    assert await counted_in(store) == counted_of(mixed(1, 5))
    assert await applied(store, folder.parent) == Success(None)
    assert await counted_in(store) == counted_of(mixed(1, 5))


def test_a_transaction_has_neighbours_only_and_not_too_many() -> None:
    missing: Record = RecordsMissing(3, 2, "gone", AT)
    numbered: list[tuple[int, Record]] = [(1, missing), (2, missing), (4, missing), (5, missing)]
    assert [[sequence for sequence, _ in batch] for batch in batches_of(numbered)] == [[1, 2], [4, 5]]
    many: list[tuple[int, Record]] = [(number, missing) for number in range(600)]
    assert [len(batch) for batch in batches_of(many)] == [256, 256, 88]
    assert batches_of([]) == []


KILLED: Final = """
import sys
from pathlib import Path
import anyio
from tests.store.test_applying import StillClock, applied
from tests.support.store_world import Place, opened_store
import tunnel.api.applying
tunnel.api.applying.RECORDS_MAX = 5

async def main():
    state = Path(sys.argv[1])
    store = await opened_store(Place("sqlite", "", state))
    print("begun", flush=True)
    await applied(store, state / "journals")

anyio.run(main)
"""


def apply_and_be_killed(state: Path, seconds: float) -> None:
    """A process that applies the journals of `state`, for so long."""
    root = Path(__file__).parents[2]
    # What is imported here is imported there: the same build, compiled or not.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(state)]
    with subprocess.Popen(command, env=environment, cwd=root, stdout=subprocess.PIPE) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        assert process.wait() in {-signal.SIGKILL, 0}


@pytest.mark.shows("JRNL-APPLY-002")
async def test_a_process_that_is_killed_while_it_applies_is_followed_by_one_that_finishes(tmp_path: Path) -> None:
    """Killed five times, each a little later, while it applies 2,000 records five at a time."""
    records = mixed(1, 2_000)
    for number in range(4):
        part = records[500 * number : 500 * (number + 1)]
        write_segment(tmp_path / "journals" / JOURNAL.hex(), JOURNAL, number + 1, 500 * number + 1, part)
    for number in range(5):
        await to_thread.run_sync(apply_and_be_killed, tmp_path, 0.03 * number)
    store = await opened_store(Place("sqlite", "", tmp_path))
    assert await applied(store, tmp_path / "journals") == Success(None)
    assert await usage_in(store) == {key: n for key, n in counted_of(records).items() if "server" not in key}
    head = await store.audit_head()
    assert isinstance(head, Success)
    assert value_of(head).number == 500, "every fourth record is an entry"
    await store.close()
