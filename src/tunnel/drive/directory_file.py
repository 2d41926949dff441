"""The directory as a file of the state directory, and the one before beside it (ADR 0064)."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.directory.codec import Reading, encode_directory, read_beside
from tunnel.core.directory.directory import Directory
from tunnel.core.directory.errors import describe
from tunnel.drive import files

DIRECTORY: Final = "directory"
BEFORE: Final = "directory.before"
_BYTES_MAX: Final = 64 * 1024 * 1024
"""Above what a full directory has; whatever is larger is not one of ours and is not read into memory."""
_OTHERS_WRITE: Final = 0o022


@final
@dataclass(frozen=True, slots=True)
class Glimpse:
    """What tells one version of the file from another: a file that is replaced has a new inode."""

    inode: int
    nanoseconds: int
    size: int


def glimpse(state: Path, name: str = DIRECTORY) -> Glimpse | None:
    """What is there now, for the price of one look; None when nothing is."""
    try:
        seen = (state / name).stat()
    except OSError:
        return None
    return Glimpse(seen.st_ino, seen.st_mtime_ns, seen.st_size)


def read_directory(state: Path, name: str = DIRECTORY) -> Outcome[Directory | None, str]:
    """The directory that was published last, None when none ever was; or why it cannot be used."""
    read = read_again(state, None, name)
    if not isinstance(read, Success):
        return read
    reading = value_of(read)
    return Success(None if reading is None else reading.directory)


def read_again(state: Path, before: Reading | None, name: str = DIRECTORY) -> Outcome[Reading | None, str]:
    """The same, for one who has read the one before: of a list that did not change nothing is made anew."""
    path = state / name
    try:
        with path.open("rb") as opened:
            seen = os.fstat(opened.fileno())
            if stat.S_IMODE(seen.st_mode) & _OTHERS_WRITE:
                return Failure(f"{path}: others than its owner may change it")
            raw = opened.read(_BYTES_MAX + 1)
    except FileNotFoundError:
        return Success(None)
    except OSError as cause:
        return Failure(f"{path}: {cause.strerror or cause}")
    if len(raw) > _BYTES_MAX:
        return Failure(f"{path}: it is larger than any directory")
    decoded = read_beside(raw, before)
    return decoded if isinstance(decoded, Success) else Failure(f"{path}: {describe(error_of(decoded))}")


def publish_directory(state: Path, directory: Directory) -> Outcome[None, str]:
    """Success once the file holds it, durably; the one before stays beside it, if it was whole."""
    encoded = encode_directory(directory)
    if not isinstance(encoded, Success):
        return Failure(describe(error_of(encoded)))
    if isinstance(read_directory(state), Success):
        _keep(state)
    written = files.replace(state / DIRECTORY, value_of(encoded), files.PRIVATE)
    return written if isinstance(written, Success) else Failure(files.describe(error_of(written)))


def _keep(state: Path) -> None:
    """The present file under its second name, too; a file system without links keeps no second copy."""
    beside = state / f"{BEFORE}.new"
    with suppress(OSError):
        beside.unlink(missing_ok=True)
        os.link(state / DIRECTORY, beside)
        beside.replace(state / BEFORE)
