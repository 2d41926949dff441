"""Unix sockets in directories that may be deep: the system takes 107 bytes of a path and no more (unix(7))."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tunnel.core.base.outcome import Failure, Outcome, Success

_BACKLOG: Final = 16
_LOOK_SECONDS: Final = 1.0


@contextmanager
def reachable(directory: Path, name: str) -> Iterator[str]:
    """A path to the socket that is short enough, while inside."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        short = Path("/proc/self/fd") / str(descriptor)
        yield str(short / name if short.exists() else directory / name)
    finally:
        os.close(descriptor)


def listening_at(directory: Path, name: str) -> Outcome[socket.socket, str]:
    """A socket that listens there for its own user alone, in place of whatever was left there; or why there is none."""
    if _answers(directory, name):
        return Failure(f"{directory / name}: another server answers there")
    try:
        made = socket.socket(socket.AF_UNIX)
    except OSError as cause:
        return Failure(f"{directory / name}: {cause.strerror or cause}")
    try:
        with reachable(directory, name) as path:
            with suppress(FileNotFoundError):
                Path(path).unlink()
            made.bind(path)
        (directory / name).chmod(0o600)
        made.listen(_BACKLOG)
    except OSError as cause:
        made.close()
        return Failure(f"{directory / name}: {cause.strerror or cause}")
    made.settimeout(0)
    return Success(made)


def _answers(directory: Path, name: str) -> bool:
    """Whether somebody takes connections there; a socket that was left behind takes none."""
    try:
        with reachable(directory, name) as path, socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(_LOOK_SECONDS)
            asked.connect(path)
    except OSError:
        return False
    return True
