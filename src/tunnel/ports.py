"""What the product needs from its surroundings, as Protocols only: the clock and randomness."""

from typing import Protocol

from tunnel.core.base.ids import Instant, UnixSeconds


class Clock(Protocol):
    """Time, of both kinds."""

    def now(self) -> Instant:
        """Monotonic seconds; only differences mean anything."""

    def unix(self) -> UnixSeconds:
        """Whole seconds since 1970, for token lifetimes."""


class Entropy(Protocol):
    """Unpredictable bytes."""

    def random_bytes(self, count: int) -> bytes:
        """`count` bytes that nobody can predict."""
