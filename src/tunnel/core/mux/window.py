"""Credit of one stream in each direction. One function spends, one widens, for each (yamux spec, "Flow Control")."""

from typing import final

from tunnel.core.base.ids import Instant
from tunnel.core.mux.header import INITIAL_WINDOW_BYTES, WINDOW_BYTES_MAX

__all__ = ["ReceiveWindow", "SendWindow"]


@final
class SendWindow:
    """What the peer still lets us send; at 0 the stream waits for a Window Update."""

    __slots__ = ("credit",)

    def __init__(self) -> None:
        self.credit = INITIAL_WINDOW_BYTES

    def spend(self, count: int) -> None:
        """Take `count` bytes off; the caller asked `credit` first."""
        self.credit -= count

    def widen(self, delta: int) -> bool:
        """Add a delta of the peer; False, and nothing changed, when the sum would pass 2^32-1 (CVE-2026-31814)."""
        widened = self.credit + delta
        if widened > WINDOW_BYTES_MAX:
            return False
        self.credit = widened
        return True


@final
class ReceiveWindow:
    """What we still let the peer send, and what its reader owes to let it go on.

    At every moment `credit + unread + owed` is `size`, but for the payload of a frame that is still arriving: a header
    spends its whole length, its bytes become unread as they come. `size` changes by `widen` and `narrow` alone.
    """

    __slots__ = ("_update_bytes", "credit", "owed", "since", "size", "taken", "target", "unread")

    def __init__(self, size: int) -> None:
        # Until our first update the peer knows only of the initial window; the rest is owed to it from the start.
        self.credit = INITIAL_WINDOW_BYTES
        self.owed = max(size - INITIAL_WINDOW_BYTES, 0)
        self.unread = 0
        self.size = self.credit + self.owed
        self.target = self.size  # what `size` is on its way down to; never above it
        self.taken = 0  # bytes taken since `since`: how fast the reader is
        self.since = Instant(0.0)
        self._update_bytes = self.size >> 1

    def spend(self, length: int) -> bool:
        """Charge a whole frame from its header; False, and nothing changed, when the peer had less left."""
        if length > self.credit:
            return False
        self.credit -= length
        return True

    def take_back(self, count: int) -> int:
        """Turn up to `count` unread bytes into owed credit; how many it were."""
        taken = max(min(count, self.unread), 0)
        self.unread -= taken
        self.owed += taken
        self.taken += taken
        return taken

    @property
    def is_update_due(self) -> bool:
        """Whether enough is owed for a frame of its own: half the window, so that a peer never stops for us."""
        return self.owed >= self._update_bytes

    def grant(self) -> int:
        """The delta to send now; from here on the peer may use it."""
        delta = self.owed
        self.owed = 0
        self.credit += delta
        return delta

    def widen(self, extra: int) -> None:
        """Owe the peer `extra` bytes more than it ever had."""
        self.owed += extra
        self._resize(self.size + extra)
        self.target = self.size

    def narrow(self) -> int:
        """Withhold what is owed until `size` is down to `target`, as no credit can be revoked; how much went now."""
        withheld = max(min(self.owed, self.size - self.target), 0)
        self.owed -= withheld
        self._resize(self.size - withheld)
        return withheld

    def restart(self, now: Instant) -> None:
        """Measure the reader anew."""
        self.taken = 0
        self.since = now

    def _resize(self, size: int) -> None:
        self.size = size
        self._update_bytes = max(size >> 1, 1)
