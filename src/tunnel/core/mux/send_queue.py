"""The unsent bytes of one stream: the pieces as they were handed over, never joined into one growing buffer."""

from collections import deque
from typing import final

from tunnel.core.base.partial import pop_front

__all__ = ["SendQueue"]


@final
class SendQueue:
    """A first piece with a position in it, and the pieces behind it, which most streams never have."""

    __slots__ = ("_at", "_first", "_rest", "size")

    def __init__(self) -> None:
        self.size = 0
        self._first = b""
        self._at = 0
        self._rest: deque[bytes] | None = None

    def put(self, data: bytes) -> None:
        """Queue immutable bytes without copying them; nothing for b""."""
        if not data:
            return
        if self.size == 0:
            self._first = data
            self._at = 0
        elif self._rest is None:
            self._rest = deque((data,))
        else:
            self._rest.append(data)
        self.size += len(data)

    def take(self, count: int, parts: list[bytes]) -> None:
        """Move the next `count` bytes, at most `size`, to the end of `parts`; a piece is sliced, never shifted."""
        wanted = min(count, self.size)
        self.size -= wanted
        while wanted > 0:
            end = self._at + wanted
            # CPython returns the same object for a slice of the whole; compiled code would copy it.
            whole = self._at == 0 and end >= len(self._first)
            part = self._first if whole else self._first[self._at : end]
            parts.append(part)
            wanted -= len(part)
            if end < len(self._first):
                self._at = end
            else:
                self._advance()

    def _advance(self) -> None:
        following = None if self._rest is None else pop_front(self._rest)
        if following is None:
            # An idle stream keeps neither its last piece nor an empty deque (624 bytes).
            self._rest = None
        self._first = following or b""
        self._at = 0

    def clear(self) -> None:
        """Drop everything."""
        self.size = 0
        self._first = b""
        self._at = 0
        self._rest = None
