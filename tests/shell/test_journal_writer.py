"""The writer on a real disk: what is acknowledged is there whatever happens next, and nobody ever waits for it.

Failing disks are made by letting single system calls of the writer's thread fail; kills are real kills of a process.
"""

import asyncio
import errno
import fcntl
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

import pytest
from tests.support.journals import AT, JOURNAL, RECORDS, numbered_in
from tests.support.shell_world import PATIENCE

from tunnel.core.base.outcome import Failure, Success
from tunnel.core.journal.frames import HEAD_BYTES, frame_bytes, read_frames
from tunnel.core.journal.records import Noted, Numbered, ServerNote, ServerNoted
from tunnel.drive import segments
from tunnel.drive.journal import JournalWriter
from tunnel.drive.journals import is_dead, journals_in
from tunnel.drive.segments import CannotWrite, JournalFull, SegmentError, SegmentWriter, Stored, bytes_in, describe

pytestmark = pytest.mark.anyio

MEMORY: Final = 64 * 1024
ROOM: Final = 1 << 20


@final
class Owner:
    """Remembers what the writer said, and lets a test wait for it."""

    def __init__(self) -> None:
        self.failures: list[SegmentError] = []
        self.stored: list[Stored] = []
        self._news = asyncio.Event()

    def on_journal_failed(self, error: SegmentError) -> None:
        """Keep it."""
        self.failures.append(error)
        self._news.set()

    def on_journal_written(self, stored: Stored) -> None:
        """Keep it."""
        self.stored.append(stored)
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once something holds, which only news can change."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._news.clear()
                await self._news.wait()


def writer_in(state: Path, owner: Owner, bytes_max: int = ROOM) -> JournalWriter:
    written = SegmentWriter(state, JOURNAL, bytes_max)
    return JournalWriter(written, JOURNAL, MEMORY, owner, asyncio.get_running_loop())


def said(number: int) -> Noted:
    return ServerNoted(ServerNote.RELOAD, f"record {number}", AT)


@pytest.mark.shows("JRNL-WRITE-001")
async def test_a_record_is_on_the_disk_once_it_is_acknowledged(tmp_path: Path) -> None:
    owner = Owner()
    writer = writer_in(tmp_path, owner)
    for place, record in enumerate(RECORDS):
        writer.append(record)
        assert writer.acknowledged <= place
    await owner.until(lambda: writer.acknowledged == len(RECORDS))
    assert numbered_in(tmp_path / JOURNAL.hex()) == [Numbered(n + 1, record) for n, record in enumerate(RECORDS)]
    assert len(owner.stored) == 1, "what comes together shares one write"
    writer.append(said(9))
    await writer.close()
    assert len(numbered_in(tmp_path / JOURNAL.hex())) == len(RECORDS) + 1


@pytest.mark.shows("JRNL-WRITE-001")
async def test_a_cut_at_every_offset_of_what_was_written_on_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Each acknowledgement notes how long the file was: a file cut anywhere behind that has all of its records."""
    owner = Owner()
    writer, path = writer_in(tmp_path, owner), tmp_path / JOURNAL.hex() / segments.segment_name(1)
    marks: list[tuple[int, int]] = [(HEAD_BYTES, 0)]
    for round_, record in enumerate(RECORDS):
        writer.append(record)
        writer.append(said(round_))
        await owner.until(lambda: not writer.unacknowledged)
        marks.append((path.stat().st_size, writer.acknowledged))
    await writer.close()
    data = path.read_bytes()
    whole = read_frames(JOURNAL, data[HEAD_BYTES:], 1).items
    for cut in range(HEAD_BYTES, len(data) + 1):
        acknowledged = max(number for size, number in marks if size <= cut)
        read = read_frames(JOURNAL, data[HEAD_BYTES:cut], 1).items
        assert len(read) >= acknowledged
        assert read == whole[: len(read)]


KILLED: Final = """
import asyncio, sys
from pathlib import Path
from tests.shell.test_journal_writer import Owner, said, writer_in

async def main():
    owner = Owner()
    writer = writer_in(Path(sys.argv[1]), owner, 1 << 26)
    number = 0
    while True:
        for _ in range(17):
            number += 1
            writer.append(said(number))
        told = writer.acknowledged
        await owner.until(lambda: writer.acknowledged > told)
        print(writer.acknowledged, flush=True)

asyncio.run(main())
"""


@pytest.mark.shows("JRNL-WRITE-001")
@pytest.mark.parametrize("lines", [1, 3, 10])
async def test_a_process_that_is_killed_has_left_all_that_it_acknowledged(tmp_path: Path, lines: int) -> None:
    """Two hundred thousand bytes or so in segments of 32 KiB on the way, killed right after it said a number."""
    # What is imported here is imported there: the same build, compiled or not.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(tmp_path), stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    told = 0
    async with asyncio.timeout(PATIENCE):
        for _ in range(lines):
            told = int(await process.stdout.readline())
        process.kill()
        rest = await process.stdout.read()
        assert await process.wait() == -signal.SIGKILL
    told = int(rest.split(b"\n")[-2]) if rest.count(b"\n") else told
    found = numbered_in(tmp_path / JOURNAL.hex())
    assert len(found) >= told > 0
    assert [item.record for item in found] == [said(number + 1) for number in range(len(found))]


@pytest.mark.shows("JRNL-WRITE-003")
@pytest.mark.parametrize("operation", ["write", "fdatasync", "open", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
async def test_a_disk_that_fails_is_tried_again_with_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, number: int
) -> None:
    """A write fails in its middle: the segment is left as it is, and the next has all that was not acknowledged."""
    monkeypatch.setattr("tunnel.drive.journal.RETRY_SECONDS", 0.01)
    owner = Owner()
    writer = writer_in(tmp_path, owner)
    writer.append(said(1))
    await owner.until(lambda: writer.acknowledged == 1)
    broken = [True]
    real: dict[str, Callable[..., int]] = {name: getattr(os, name) for name in ("write", "fdatasync", "open", "fsync")}

    def failing(*arguments: int | bytes) -> int:
        if not broken:
            return real[operation](*arguments)
        if operation == "write":
            real["write"](arguments[0], bytes(arguments[1])[:11])
        raise OSError(number, os.strerror(number))

    def refusing(_file: int) -> None:
        raise OSError(number, os.strerror(number))

    if operation in {"open", "fsync"}:  # met when a segment is begun
        monkeypatch.setattr(os, "fdatasync", refusing)
        writer.append(said(2))
        await owner.until(lambda: bool(owner.failures))
        monkeypatch.setattr(os, "fdatasync", real["fdatasync"])
    else:
        writer.append(said(2))
    monkeypatch.setattr(os, operation, failing)
    writer.append(said(3))
    await owner.until(lambda: len(owner.failures) >= 2)
    assert writer.is_failing, writer.acknowledged
    broken.clear()
    await owner.until(lambda: writer.acknowledged == 3)
    await writer.close()
    assert {type(failure) for failure in owner.failures} == {CannotWrite}
    assert os.strerror(number) in describe(owner.failures[0])
    assert [item.record for item in numbered_in(tmp_path / JOURNAL.hex())] == [said(n) for n in (1, 2, 3)]
    assert len(list((tmp_path / JOURNAL.hex()).glob("*.seg"))) <= 3, "tries leave no files behind"


@pytest.mark.shows("JRNL-WRITE-003")
async def test_a_place_that_is_no_folder_is_tried_until_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunnel.drive.journal.RETRY_SECONDS", 0.01)
    place = tmp_path / "journal"
    place.write_text("in the way", encoding="utf-8")
    owner = Owner()
    writer = writer_in(place, owner)
    writer.append(said(1))
    await owner.until(lambda: len(owner.failures) >= 2)
    place.unlink()
    await owner.until(lambda: writer.acknowledged == 1)
    shutil.rmtree(place)
    for number in range(2, 2000):  # beyond the end of a segment that nobody can find any more
        writer.append(said(number))
        if writer.memory_left < 1000:
            await owner.until(lambda: not writer.unacknowledged)
    await owner.until(lambda: not writer.unacknowledged)
    await writer.close()
    assert bytes_in(place) > 0


@pytest.mark.shows("JRNL-WRITE-002")
async def test_full_journals_take_no_more_until_something_was_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunnel.drive.journal.RETRY_SECONDS", 0.01)
    limit, number, owner = 16 * 1024, 0, Owner()
    writer = writer_in(tmp_path, owner, limit)
    while not owner.failures:
        for _ in range(20):
            number += 1
            writer.append(said(number))
        await owner.until(lambda: not writer.unacknowledged or bool(owner.failures))
        assert bytes_in(tmp_path) <= limit
    full = owner.failures[-1]
    assert isinstance(full, JournalFull)
    assert full.limit == limit
    assert "journal_bytes_max" in describe(full)
    found = sorted((tmp_path / JOURNAL.hex()).glob("*.seg"))
    assert len(found) > 2
    (tmp_path / JOURNAL.hex() / segments.segment_name(1)).unlink()
    await owner.until(lambda: not writer.unacknowledged)
    assert writer.acknowledged == number
    await writer.close()


@pytest.mark.shows("JRNL-WRITE-004")
def test_the_lock_says_whether_the_process_of_a_journal_lives(tmp_path: Path) -> None:
    writer, other = SegmentWriter(tmp_path, JOURNAL, ROOM), SegmentWriter(tmp_path, JOURNAL, ROOM)
    assert isinstance(writer.write(frame_bytes(JOURNAL, 1, said(1)), 1), Success)
    assert isinstance(other.write(frame_bytes(JOURNAL, 1, said(2)), 1), Failure), "it stays whose it is"
    with (tmp_path / JOURNAL.hex() / segments.LOCK).open("rb") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        writer.close()
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    other.close()
    assert [item.record for item in numbered_in(tmp_path / JOURNAL.hex())] == [said(1)]


@pytest.mark.shows("JRNL-WRITE-004")
def test_a_folder_that_is_cleared_away_while_it_is_made_is_made_again_with_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The applier takes what it sees for dead in the moment before the writer has its lock."""
    unborn, frame = tmp_path / f"{JOURNAL.hex()}.new", frame_bytes(JOURNAL, 1, said(1))
    unborn.mkdir()
    writer = SegmentWriter(tmp_path, JOURNAL, ROOM)
    with (unborn / segments.LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert isinstance(writer.write(frame, 1), Failure)
        shutil.rmtree(unborn)
    assert isinstance(writer.write(frame, 1), Success)
    assert not is_dead(writer.place)
    writer.close()
    shutil.rmtree(writer.place)
    real, left = fcntl.flock, [1]

    def cleared_before(file: int, how: int) -> None:
        if left:
            left.pop()
            assert journals_in(tmp_path) == Success([])
        real(file, how)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", cleared_before)
        assert isinstance(writer.write(frame, 1), Failure)
    assert isinstance(writer.write(frame, 1), Success)
    assert not is_dead(writer.place)
    writer.close()
    assert is_dead(writer.place)


@pytest.mark.shows("JRNL-WRITE-001", "JRNL-WRITE-005")
async def test_what_comes_while_the_disk_is_busy_is_written_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_busy, goes_on, real = threading.Event(), threading.Event(), os.fdatasync

    def slow(file: int) -> None:
        is_busy.set()
        goes_on.wait(PATIENCE)
        real(file)

    monkeypatch.setattr(os, "fdatasync", slow)
    owner = Owner()
    writer = writer_in(tmp_path, owner)
    writer.append(said(1))
    await asyncio.to_thread(is_busy.wait, PATIENCE)
    writer.append(said(2))
    goes_on.set()
    await owner.until(lambda: bool(owner.stored))
    assert writer.acknowledged == 1
    await owner.until(lambda: writer.acknowledged == 2)
    writer.append(said(3))
    await writer.close()
    assert [item.record for item in numbered_in(tmp_path / JOURNAL.hex())] == [said(1), said(2), said(3)]


@pytest.mark.shows("JRNL-WRITE-005")
async def test_a_disk_that_hangs_holds_up_neither_the_loop_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunnel.drive.journal.CLOSE_SECONDS_MAX", 0.05)
    hangs, goes_on = threading.Event(), threading.Event()
    real = os.fdatasync

    def hanging(file: int) -> None:
        hangs.set()
        goes_on.wait(PATIENCE)
        real(file)

    monkeypatch.setattr(os, "fdatasync", hanging)
    owner = Owner()
    writer = writer_in(tmp_path, owner)
    writer.append(said(1))
    await asyncio.to_thread(hangs.wait, PATIENCE)
    writer.append(said(2))
    async with asyncio.timeout(PATIENCE):
        await writer.close()
    assert writer.unacknowledged == 2
    goes_on.set()
    await owner.until(lambda: bool(owner.stored))
