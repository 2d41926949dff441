"""The journals of a state directory, read by whoever applies them; blocking calls, for a thread.

A reader needs nothing of the writer: not its memory, not its word, and its lock only to know whether it lives. What is
applied is deleted here: a segment once there is a later one or the process is dead, a folder once it has none.
"""

import fcntl
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.journal.frames import HEAD_BYTES, Damage, read_frames
from tunnel.core.journal.records import JournalId, Numbered
from tunnel.drive.segments import LOCK, SUFFIX, UNBORN

_JOURNAL: Final = re.compile(r"[0-9a-f]{32}")
_SEGMENT: Final = re.compile(rf"[0-9]{{8,}}{re.escape(SUFFIX)}")


@final
@dataclass(frozen=True, slots=True)
class CannotRead:
    """The system refused to read or delete what belongs to a journal."""

    path: Path
    reason: str


@final
@dataclass(frozen=True, slots=True)
class Stretch:
    """What is behind a number in the first segment that is left.

    `segment` is that file, None when there is none. `is_final` says that nothing will ever be added to it. `used` is
    for `passed`.
    """

    segment: Path | None
    items: tuple[Numbered | Damage, ...]
    used: int
    is_final: bool


def journals_in(place: Path) -> Outcome[list[Path], CannotRead]:
    """The folders of all journals, by name; what died before it was a journal is cleared away."""
    try:
        found = sorted(place.iterdir())
    except FileNotFoundError:
        return Success([])
    except OSError as cause:
        return Failure(CannotRead(place, cause.strerror or str(cause)))
    for path in found:
        if path.name.endswith(UNBORN) and _JOURNAL.fullmatch(path.stem):
            _clear(path)
    return Success([path for path in found if _JOURNAL.fullmatch(path.name)])


def is_dead(folder: Path) -> bool:
    """Whether the process that writes a journal is gone; what it wrote is all there is."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _clear(unborn: Path) -> None:
    """Remove what died before it was a journal, under its lock: who is about to take that finds the file gone."""
    try:
        lock = os.open(unborn / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        with suppress(OSError):
            unborn.rmdir()
        return
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(unborn, ignore_errors=True)
    finally:
        os.close(lock)


@final
class JournalReader:
    """One journal, from the beginning of its first segment on. Finished when `remove` has succeeded."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self.journal: Final = JournalId(bytes.fromhex(folder.name))
        self._segment: Path | None = None
        self._at = HEAD_BYTES

    def read(self, position: int) -> Outcome[Stretch, CannotRead]:
        """What comes behind record `position`."""
        dead = is_dead(self._folder)  # asked first: what a dead process wrote, the listing shows
        try:
            segments = sorted(path for path in self._folder.iterdir() if _SEGMENT.fullmatch(path.name))
            if not segments:
                return Success(Stretch(None, (), 0, dead))
            if segments[0] != self._segment:
                self._segment, self._at = segments[0], HEAD_BYTES
            with segments[0].open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except OSError as cause:
            return Failure(CannotRead(self._folder, cause.strerror or str(cause)))
        portion = read_frames(self.journal, data, position + 1)
        return Success(Stretch(segments[0], portion.items, portion.used, dead or len(segments) > 1))

    def passed(self, stretch: Stretch) -> None:
        """What was read is applied: the next reading begins behind it."""
        self._at += stretch.used

    def rewind(self) -> None:
        """Read the first segment from its beginning again: how much of it is applied is not known any more."""
        self._segment = None

    def delete(self, segment: Path) -> Outcome[None, CannotRead]:
        """Everything of a final segment is applied."""
        try:
            segment.unlink(missing_ok=True)
        except OSError as cause:
            return Failure(CannotRead(segment, cause.strerror or str(cause)))
        return Success(None)

    def remove(self) -> Outcome[None, CannotRead]:
        """The journal is at its end, and forgotten by its store: remove the folder."""
        with suppress(OSError):
            (self._folder / LOCK).unlink(missing_ok=True)
        try:
            self._folder.rmdir()
        except FileNotFoundError:
            return Success(None)
        except OSError as cause:
            return Failure(CannotRead(self._folder, cause.strerror or str(cause)))
        return Success(None)
