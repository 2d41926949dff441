"""Whose turn it is to send a Data frame: small things first, then everybody in turn (ADR 0036)."""

from collections import deque
from typing import Final, final

from tunnel.core.base.partial import pop_front
from tunnel.core.mux.stream import Stream

__all__ = ["Turns"]


@final
class Turns:
    """The streams that have something to send, in two rows; nothing here grows with how often they come and go.

    A stream that had nothing and now has no more than one frame is *small*: an answer, a request, a keystroke. Small
    ones go ahead of those with more, but together take no more bytes between two frames of these than one frame has:
    so a small exchange never waits behind a row of bulk transfers, and a crowd of small ones halves them at worst.

    A stream that is gone stays in its row until its turn, or until half of all are gone: to look for it would cost ten
    thousand steps for each of ten thousand resets. The rows are made when needed, as an empty deque takes 624 bytes and
    ten thousand idle sessions would keep two.
    """

    __slots__ = ("_crowd", "_frame_bytes_max", "_gone", "_left_for_small", "_listed", "_small", "_was_small")

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max: Final = frame_bytes_max
        self._small: deque[Stream] | None = None
        self._crowd: deque[Stream] | None = None
        self._listed = 0
        self._gone = 0
        self._left_for_small = frame_bytes_max
        self._was_small = False  # whether the last one taken was

    @property
    def is_empty(self) -> bool:
        """Whether nobody has anything to send."""
        return self._listed == self._gone

    def join(self, stream: Stream) -> None:
        """List a stream that had nothing to send and has now."""
        stream.is_offered = True
        self._listed += 1
        if stream.queue.size > self._frame_bytes_max:
            self._crowd = _with(self._crowd, stream)
        else:
            self._small = _with(self._small, stream)

    def rejoin(self, stream: Stream, *, is_cut: bool) -> None:
        """List a stream again that had its turn and has more to send.

        Last, but for two that go first: a small one whose frame was `is_cut` short, and one that has only FIN left.
        """
        self._listed += 1
        if stream.queue.size and not (is_cut and self._was_small):
            self._crowd = _with(self._crowd, stream)
        elif self._small is None:
            self._small = deque((stream,))
        else:
            self._small.appendleft(stream)

    def leave(self, stream: Stream) -> None:
        """Count a listed stream as gone."""
        stream.is_offered = False
        self._gone += 1
        if self._gone > self._listed >> 1:
            self._small = _present(self._small)
            self._crowd = _present(self._crowd)
            self._listed -= self._gone
            self._gone = 0

    def clear(self) -> None:
        """Nobody has anything to send any more."""
        for row in (self._small, self._crowd):
            if row is not None:
                for stream in row:
                    stream.is_offered = False
        self._small = self._crowd = None
        self._listed = self._gone = 0

    def take(self) -> Stream | None:
        """The stream whose turn it is, which is no longer listed but still marked so; None when there is none."""
        if self._left_for_small <= 0:
            stream = self._first_of_crowd()
            if stream is not None:
                return stream
        stream = self._first_of(self._small)
        if stream is None:
            self._small = None
            return self._first_of_crowd()
        self._was_small = True
        self._left_for_small -= stream.queue.size
        if not self._small:
            self._small = None
        return stream

    def _first_of_crowd(self) -> Stream | None:
        self._was_small = False
        self._left_for_small = self._frame_bytes_max
        stream = self._first_of(self._crowd)
        if not self._crowd:
            self._crowd = None
        return stream

    def _first_of(self, row: deque[Stream] | None) -> Stream | None:
        """Take the first stream of a row that is not gone."""
        stream = None if row is None else pop_front(row)
        while row is not None and stream is not None:
            self._listed -= 1
            if stream.is_offered:
                return stream
            self._gone -= 1
            stream = pop_front(row)
        return None


def _with(row: deque[Stream] | None, stream: Stream) -> deque[Stream]:
    """The row with one more at its end."""
    if row is None:
        return deque((stream,))
    row.append(stream)
    return row


def _present(row: deque[Stream] | None) -> deque[Stream] | None:
    """The row without those that are gone; None for an empty one."""
    left = [] if row is None else [stream for stream in row if stream.is_offered]
    return deque(left) if left else None
