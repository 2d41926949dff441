"""One journal on the disk: a folder of segments that this process alone writes; blocking calls, for a thread.

    STATE/journal/
      8f1c...e2/        0700  one journal, named by its 16 random bytes
        lock            held with flock(2) for as long as its process lives
        00000001.seg    0600  core/journal/frames.py
        00000002.seg    the last is the one being written; whoever has applied the others deletes them

What `write` has returned as done is on the disk, as far as `fdatasync` can be believed.
"""

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, final

from tunnel.core.base.limits import KIB, MIB
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.journal.frames import SegmentHead, head_bytes
from tunnel.core.journal.records import JournalId

JOURNALS: Final = "journal"
"""The folder of all journals in the state directory."""
LOCK: Final = "lock"
SUFFIX: Final = ".seg"
UNBORN: Final = ".new"
"""Ends the name of a journal whose lock is not held yet."""

_SEGMENT_BYTES_MAX: Final = 1 * MIB
_SEGMENT_BYTES_MIN: Final = 4 * KIB
_SEGMENTS: Final = 32
"""At least so many segments fill the journals, so that deleting what is applied makes room in good time."""


@final
@dataclass(frozen=True, slots=True)
class CannotWrite:
    """The system refused; nothing of what was given is acknowledged, though some of it may be on the disk."""

    path: Path
    reason: str


@final
@dataclass(frozen=True, slots=True)
class JournalFull:
    """All journals together hold as much as they may; `held` bytes wait to be applied."""

    held: int
    limit: int


SegmentError: TypeAlias = CannotWrite | JournalFull


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """What is on the disk now: bytes of all journals, as last measured and written since, of `limit`."""

    held: int
    limit: int


def describe(error: SegmentError) -> str:
    """What was seen, what it means, what to do."""
    if isinstance(error, JournalFull):
        return (
            f"the journals hold {error.held} of {error.limit} bytes that no store has taken; usage is added up in "
            "memory and events are left out until the database is back (journal_bytes_max is the limit)"
        )
    return f"{error.path} cannot be written ({error.reason}); usage and events wait in memory, and it is tried again"


def segment_name(number: int) -> str:
    """The file name of a segment; names sort as numbers do."""
    return f"{number:08d}{SUFFIX}"


def bytes_in(journals: Path) -> int:
    """The sizes of all segments of all journals; those that go meanwhile count as nothing."""
    held = 0
    with suppress(OSError):
        for journal in list(os.scandir(journals)):
            with suppress(OSError):
                for each in os.scandir(journal.path):
                    held += each.stat().st_size
    return held


@final
class SegmentWriter:
    """Writes the segments of one journal, from any one thread at a time. Finished after `close`."""

    def __init__(self, journals: Path, journal: JournalId, bytes_max: int) -> None:
        self._journals: Final = journals
        self._journal: Final = journal
        self._bytes_max: Final = bytes_max
        self._segment_bytes: Final = min(max(bytes_max // _SEGMENTS, _SEGMENT_BYTES_MIN), _SEGMENT_BYTES_MAX)
        self._lock = -1
        self._is_born = False
        self._file = -1
        self._number = 0
        self._written = 0
        """Bytes acknowledged in the present segment."""
        self._held = 0

    @property
    def place(self) -> Path:
        """The folder of this journal."""
        return self._journals / self._journal.hex()

    def write(self, frames: bytes, first: int) -> Outcome[Stored, SegmentError]:
        """Put whole frames, the first of number `first`, behind what is there; success means that they are durable."""
        if self._held + len(frames) > self._bytes_max:
            self._held = bytes_in(self._journals)
            if self._held + len(frames) > self._bytes_max:
                return Failure(JournalFull(self._held, self._bytes_max))
        try:
            if self._file < 0:
                self._open_folder()
                self._open_segment(first)
            _write_all(self._file, frames)
            os.fdatasync(self._file)
        except OSError as cause:
            self._abandon()
            if isinstance(cause, FileNotFoundError):
                self.close()  # somebody deleted the folder: another one is made
            return Failure(CannotWrite(self.place, cause.strerror or str(cause)))
        self._written += len(frames)
        self._held += len(frames)
        if self._written >= self._segment_bytes:
            self._end_segment()
        return Success(Stored(self._held, self._bytes_max))

    def close(self) -> None:
        """Let whoever applies journals have the whole folder."""
        self._end_segment()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1
        self._is_born = False

    def _open_folder(self) -> None:
        """Make the folder and hold its lock, before anybody can see it under its name; once."""
        if self._is_born:
            return
        self._journals.mkdir(mode=0o700, parents=True, exist_ok=True)
        unborn = self._journals / f"{self._journal.hex()}{UNBORN}"
        unborn.mkdir(mode=0o700, exist_ok=True)
        if self._lock >= 0:  # of a try that failed; its file may be gone
            os.close(self._lock)
            self._lock = -1
        self._lock = os.open(unborn / LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (unborn / LOCK).stat()  # cleared away between the two: nobody would see that we live
        unborn.rename(self.place)
        self._is_born = True

    def _open_segment(self, first: int) -> None:
        self._number += 1
        path = self.place / segment_name(self._number)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._written = 0
        head = head_bytes(SegmentHead(self._journal, self._number, first))
        _write_all(self._file, head)
        _sync(self.place)
        _sync(self._journals)
        self._held = bytes_in(self._journals)

    def _end_segment(self) -> None:
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
        self._file = -1

    def _abandon(self) -> None:
        """Write no more to a segment that a write failed in: what of it is on the disk, nobody knows.

        One without anything acknowledged is of no use to anybody, and would be one more for each try.
        """
        had_file = self._file >= 0
        self._end_segment()
        if had_file and not self._written:
            with suppress(OSError):
                (self.place / segment_name(self._number)).unlink()


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
