"""File operations of the product as points that can fail: everything it does below one directory."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self, final

from tests.simulation.sockets import Points, Short

_BY_PATH: Final = ("mkdir", "stat", "open", "link", "unlink", "replace", "rename")
_BY_NUMBER: Final = ("fstat", "fchmod", "fsync", "fdatasync", "write", "close")


@final
class FailingFile:
    """A file whose operations are points. Finished at the end of its `with`."""

    def __init__(self, inner: Any, points: Points) -> None:  # noqa: ANN401 - whatever open gave
        self._inner: Final = inner
        self._points: Final = points

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._inner.close()

    def read(self, size: int = -1) -> bytes:
        """Bytes."""
        _reach(self._points, "read")
        found: bytes = self._inner.read(size)
        return found

    def write(self, data: bytes) -> int:
        """How many were taken."""
        _reach(self._points, "write")
        count: int = self._inner.write(data)
        return count

    def flush(self) -> None:
        """Hand them to the system."""
        _reach(self._points, "flush")
        self._inner.flush()

    def seek(self, at: int) -> int:
        """Where it stands then."""
        where: int = self._inner.seek(at)
        return where

    def fileno(self) -> int:
        """Its descriptor."""
        number: int = self._inner.fileno()
        return number


@contextmanager
def failing_files(points: Points, folder: Path) -> Iterator[None]:
    """Make points of what is done inside to anything in `folder`."""
    files = _Files(points, str(folder))
    real = {name: getattr(os, name) for name in (*_BY_PATH, *_BY_NUMBER)}
    opened = io.open
    for name in _BY_PATH:
        setattr(os, name, files.by_path(name, real[name]))
    for name in _BY_NUMBER:
        setattr(os, name, files.by_number(name, real[name]))
    io.open = files.opener(opened)
    try:
        yield
    finally:
        io.open = opened
        for name, value in real.items():
            setattr(os, name, value)


@final
class _Files:
    """Which files are those of the folder, by path and by descriptor."""

    def __init__(self, points: Points, inside: str) -> None:
        self._points: Final = points
        self._inside: Final = inside
        self._numbers: Final[set[int]] = set()

    def _is_inside(self, path: object) -> bool:
        return not isinstance(path, int) and str(path).startswith(self._inside)

    def by_path(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """The function of `os` with this name."""

        def reached(path: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
            if not self._is_inside(path):
                return real(path, *args, **kwargs)
            _reach(self._points, name)
            found = real(path, *args, **kwargs)
            if name == "open":
                self._numbers.add(found)
            return found

        return reached

    def by_number(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Likewise, for those that take a descriptor."""

        def reached(number: Any, *args: Any) -> Any:  # noqa: ANN401 - passed on
            if number not in self._numbers:
                return real(number, *args)
            if name != "close":
                _reach(self._points, name)
                return real(number, *args)
            self._numbers.discard(number)
            real(number)  # as in Linux: an error of close comes when it is closed
            _reach(self._points, name)
            return None

        return reached

    def opener(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """`io.open`."""

        def opened(file: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
            if file in self._numbers if isinstance(file, int) else not self._is_inside(file):
                made = real(file, *args, **kwargs)
                return FailingFile(made, self._points) if isinstance(file, int) else made
            if isinstance(file, int):
                return real(file, *args, **kwargs)
            _reach(self._points, "open")
            made = real(file, *args, **kwargs)
            self._numbers.add(made.fileno())
            return FailingFile(made, self._points)

        return opened


def _reach(points: Points, name: str) -> None:
    try:
        points.reach(name)
    except Short:
        return
