"""How wide each receive window is: enough for its reader and the round trip, within what the session may grant.

A peer sends no more than one window in a round trip. So the window of a reader that takes a whole one in two round
trips is doubled; that of a reader that lets it fill up and does not take it is halved; and when too much waits for all
readers together, each window falls to its share (ADR 0035). Nothing is revoked, which yamux does not know: a window
falls as its reader takes bytes for which no new credit is given.
"""

from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import Limits
from tunnel.core.base.partial import quotient
from tunnel.core.mux.header import INITIAL_WINDOW_BYTES
from tunnel.core.mux.keepalive import Keepalive
from tunnel.core.mux.window import ReceiveWindow

__all__ = ["WindowTuner"]

_GROW_ROUND_TRIPS: Final = 2.0
"""A window limits its stream when one is taken in each round trip; twice that, as reads and updates come in lumps."""
_STALL_ROUND_TRIPS: Final = 8.0
"""Four times the above: what one rule widens the other must not narrow at once."""


@final
class WindowTuner:
    """Sets the size of every receive window of one session, and knows their sum."""

    __slots__ = (
        "_first",
        "_growth_max",
        "_held_high",
        "_keepalive",
        "_stall_seconds",
        "_stream_max",
        "_stream_min",
        "granted",
    )

    def __init__(self, limits: Limits, keepalive: Keepalive) -> None:
        self._first: Final = max(limits.stream_window_bytes, INITIAL_WINDOW_BYTES)
        self._stream_max: Final = limits.stream_window_bytes_max
        self._stream_min: Final = max(limits.stream_window_bytes_min, 1)
        self._growth_max: Final = limits.session_growth_bytes_max
        self._held_high: Final = limits.session_buffer_bytes_max >> 1
        self._stall_seconds: Final = limits.reader_stall_seconds
        self._keepalive: Final = keepalive
        self.granted = 0  # of all windows: credit the peer has or is owed, and bytes that nobody has taken

    def begin(self) -> ReceiveWindow:
        """The window of a new stream."""
        window = ReceiveWindow(self._first)
        self.granted += window.size
        return window

    def forget(self, window: ReceiveWindow) -> None:
        """Count a window no more: its stream is gone."""
        self.granted -= window.size

    def settle(self, window: ReceiveWindow, taken: int, held: int, streams: int, now: Instant) -> bool:
        """Resize a window of which `taken` bytes were just taken; whether a whole one was since it was last measured.

        `held` are the bytes that nobody has taken, over all `streams`.
        """
        if held > self._held_high:
            self._press(window, quotient(self._held_high, streams))
            return False
        if window.taken >= window.size:
            if now - window.since <= self._keepalive.rtt_seconds * _GROW_ROUND_TRIPS:
                self._widen(window, streams)
            window.restart(now)
            return True
        if window.taken == taken and not window.unread:
            # Its first bytes for a while, and the reader keeps up: that it was quiet before says nothing of it.
            window.since = now
        elif window.unread >= window.size >> 1 and self._has_stalled(window, now):
            window.target = max(window.size >> 1, self._first)
            window.restart(now)
        self._narrow(window)
        return False

    def _widen(self, window: ReceiveWindow, streams: int) -> None:
        """Double it, as far as that may be."""
        grown = self.granted - self._first * streams
        extra = min(window.size, self._stream_max - window.size, self._growth_max - grown)
        if extra > 0:
            window.widen(extra)
            self.granted += extra

    def _has_stalled(self, window: ReceiveWindow, now: Instant) -> bool:
        patience = max(self._keepalive.rtt_seconds * _STALL_ROUND_TRIPS, self._stall_seconds)
        return window.size > self._first and now - window.since > patience

    def _press(self, window: ReceiveWindow, share: int) -> None:
        """Let it fall to its share; what it was measured by does not count, as others filled the session."""
        window.target = min(window.target, max(share, self._stream_min))
        window.taken = 0
        self._narrow(window)

    def _narrow(self, window: ReceiveWindow) -> None:
        if window.size > window.target:
            self.granted -= window.narrow()
