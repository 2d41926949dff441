"""Files that are made once or replaced whole: a reader never sees half of one, and a crash leaves the old or the new.

Nothing here takes a lock. `made_once` publishes with `link`, which fails when somebody else was first, so of several
processes that start together all go on with the same content; `replace` publishes with `rename`, the last one wins.
"""

import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, final

from tunnel.core.base.outcome import Failure, Outcome, Success, value_of

PRIVATE: Final = 0o600
PUBLIC: Final = 0o644
FILE_BYTES_MAX: Final = 64 * 1024
"""Keys and certificates are a few KiB; whatever is larger is not one of ours and is not read into memory."""

_DIRECTORY: Final = 0o700
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022


@final
@dataclass(frozen=True, slots=True)
class CannotUse:
    """The system refused: which path, what we wanted, and the system's reason."""

    path: Path
    wanted: str
    reason: str


@final
@dataclass(frozen=True, slots=True)
class TooOpen:
    """Others than the owner may read or change something secret; `mode` is what it has, `wanted` what it may have."""

    path: Path
    mode: int
    wanted: int


FileError: TypeAlias = CannotUse | TooOpen


def make_directory(path: Path) -> Outcome[None, FileError]:
    """Success when `path` is a directory only its owner can change; made (0700) if nothing is there."""
    try:
        path.mkdir(mode=_DIRECTORY, parents=True, exist_ok=True)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as cause:
        return Failure(CannotUse(path, "make the directory", _reason(cause)))
    if mode & _OTHERS_WRITE:
        return Failure(TooOpen(path, mode, _DIRECTORY))
    return Success(None)


def read_private(path: Path) -> Outcome[bytes | None, FileError]:
    """The content of a file that only its owner may touch, None when there is no such file."""
    return _read(path, _OTHERS)


def read_public(path: Path) -> Outcome[bytes | None, FileError]:
    """The content of a file that only its owner may change, None when there is no such file."""
    return _read(path, _OTHERS_WRITE)


def made_once(path: Path, fresh: bytes, mode: int) -> Outcome[bytes, FileError]:
    """What `path` holds: what was there, or `fresh`, or what another process published before us."""
    found = _held(path, mode)
    if not isinstance(found, Success):
        return found
    held = value_of(found)
    if held is not None:
        return Success(held)
    try:
        made = _written_beside(path, fresh, mode)
        try:
            os.link(made, path)
        finally:
            made.unlink()
        _sync_directory(path.parent)
    except FileExistsError:
        return _content_of_winner(path, mode)
    except OSError as cause:
        return Failure(CannotUse(path, "make the file", _reason(cause)))
    return Success(fresh)


def replace(path: Path, content: bytes, mode: int) -> Outcome[None, FileError]:
    """Success when `path` holds `content`, durably."""
    try:
        made = _written_beside(path, content, mode)
        try:
            made.replace(path)
        except OSError:
            made.unlink()
            raise
        _sync_directory(path.parent)
    except OSError as cause:
        return Failure(CannotUse(path, "write the file", _reason(cause)))
    return Success(None)


def describe(error: FileError) -> str:
    """What was seen, what was expected, what to do."""
    match error:
        case CannotUse(path=path, wanted=wanted, reason=reason):
            return f"cannot {wanted} {path}: {reason}"
        case TooOpen(path=path, mode=mode, wanted=wanted_mode):
            return (
                f"{path} has mode {mode:04o}, so others than its owner may use it; it holds secrets and must have "
                f"{wanted_mode:04o} (chmod {wanted_mode:o} {path}; if others did read it, make new keys)"
            )


def _read(path: Path, forbidden: int) -> Outcome[bytes | None, FileError]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)  # of what is read, not of what the name means now
            if mode & forbidden:
                return Failure(TooOpen(path, mode, PRIVATE if forbidden == _OTHERS else PUBLIC))
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return Success(None)
    except OSError as cause:
        return Failure(CannotUse(path, "read", _reason(cause)))
    if len(content) > FILE_BYTES_MAX:
        return Failure(CannotUse(path, "read", f"it is longer than {FILE_BYTES_MAX} bytes"))
    return Success(content)


def _held(path: Path, mode: int) -> Outcome[bytes | None, FileError]:
    return read_private(path) if mode == PRIVATE else read_public(path)


def _content_of_winner(path: Path, mode: int) -> Outcome[bytes, FileError]:
    found = _held(path, mode)
    if not isinstance(found, Success):
        return found
    content = value_of(found)
    if content is None:
        return Failure(CannotUse(path, "read", "it was removed while we started"))
    return Success(content)


def _written_beside(path: Path, content: bytes, mode: int) -> Path:
    """A complete, synced file in the same directory under a name nobody else uses; OSError as the system gives it."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # the umask must not widen or narrow what we decided
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            made.unlink()
        raise
    return made


def _sync_directory(directory: Path) -> None:
    """Make the new name durable, not only the content."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(cause: OSError) -> str:
    return cause.strerror or type(cause).__name__
