"""Whether the other end still lives: silence, pings and their answers. Time comes in as arguments."""

from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.mux.errors import PeerSilent

__all__ = ["Keepalive"]

_OPAQUE_MAX: Final = 0xFFFF_FFFF
_NOTHING: Final = -1


@final
class Keepalive:
    """The clock of one session; it asks after a rest and gives up after a longer silence, whatever was heard last.

    Any byte is a sign of life, so a busy link is never pinged. Only the latest ping is waited for: implementations
    exist that drop pings under load, so one lost answer must not keep us from asking again.
    """

    __slots__ = ("_asked_at", "_awaited", "_heartbeat", "_next_opaque", "_silence_max", "heard_at")

    def __init__(self, heartbeat_seconds: float, silence_seconds_max: float, now: Instant) -> None:
        self._heartbeat: Final = heartbeat_seconds
        self._silence_max: Final = silence_seconds_max
        self.heard_at = now
        self._asked_at = now
        self._awaited = _NOTHING
        self._next_opaque = 0

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
        return now - self._asked_at

    def has_asked(self, opaque: int) -> bool:
        """Whether a ping with this value was ever made: its answer may be late, but is no breach."""
        return opaque < self._next_opaque
