"""Whether the other end still lives, and how far away it is: silence, pings and their answers. Time is an argument."""

from math import inf
from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.mux.errors import PeerSilent

__all__ = ["Keepalive"]

_OPAQUE_MAX: Final = 0xFFFF_FFFF
_NOTHING: Final = -1
_UNKNOWN: Final = -1.0
_PERIOD_SECONDS: Final = 60.0
"""For how long the smallest round trip is kept at least; a path that became longer is known after two of these."""


@final
class Keepalive:
    """The clock of one session; it asks after a rest and gives up after a longer silence, whatever was heard last.

    Any byte is a sign of life, so a busy link is pinged for its round trip only. Only the latest ping is waited for:
    implementations exist that drop pings under load, so one lost answer must not keep us from asking again.
    """

    __slots__ = (
        "_asked_at",
        "_awaited",
        "_heartbeat",
        "_next_opaque",
        "_period_end",
        "_rtt_before",
        "_rtt_lately",
        "_silence_max",
        "heard_at",
        "rtt_seconds",
    )

    def __init__(self, heartbeat_seconds: float, silence_seconds_max: float, now: Instant) -> None:
        self._heartbeat: Final = heartbeat_seconds
        self._silence_max: Final = silence_seconds_max
        self.heard_at = now
        self._asked_at = now
        self._awaited = _NOTHING
        self._next_opaque = 0
        self.rtt_seconds = _UNKNOWN
        """The smallest round trip of this period and the one before; negative until one is known.

        The smallest, as an answer may wait behind data in both directions: that is our own queue, not the path.
        """
        self._rtt_lately = inf
        self._rtt_before = inf
        self._period_end = now

    @property
    def next_deadline(self) -> Instant:
        """When `on_time` has something to do next."""
        return Instant(min(max(self.heard_at, self._asked_at) + self._heartbeat, self.heard_at + self._silence_max))

    def silence(self, now: Instant) -> PeerSilent | None:
        """The fact that the peer has been silent for too long, if it has."""
        if now < self.heard_at + self._silence_max:
            return None
        return PeerSilent(now - self.heard_at, self._silence_max)

    def is_ping_due(self, now: Instant) -> bool:
        """Whether nothing was heard nor asked for a heartbeat."""
        return now >= max(self.heard_at, self._asked_at) + self._heartbeat

    def is_measure_due(self, now: Instant) -> bool:
        """Whether nothing was asked for a heartbeat, however much was heard."""
        return now >= self._asked_at + self._heartbeat

    def ask(self, now: Instant) -> int:
        """The opaque value of a new ping, which is the one waited for from now on."""
        opaque = self._next_opaque
        self._next_opaque = (opaque + 1) & _OPAQUE_MAX
        self._awaited = opaque
        self._asked_at = now
        return opaque

    def round_trip(self, opaque: int, now: Instant) -> float | None:
        """Seconds from the latest ping to this answer of it, or None when it answers none or an older one."""
        if opaque != self._awaited:
            return None
        self._awaited = _NOTHING
        seconds = now - self._asked_at
        self._note(seconds, now)
        return seconds

    def has_asked(self, opaque: int) -> bool:
        """Whether a ping with this value was ever made: its answer may be late, but is no breach."""
        return opaque < self._next_opaque

    def _note(self, seconds: float, now: Instant) -> None:
        if now >= self._period_end:
            self._rtt_before = self._rtt_lately
            self._rtt_lately = seconds
            self._period_end = Instant(now + _PERIOD_SECONDS)
        else:
            self._rtt_lately = min(self._rtt_lately, seconds)
        self.rtt_seconds = min(self._rtt_lately, self._rtt_before)
