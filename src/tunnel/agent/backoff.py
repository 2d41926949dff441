"""How long to wait before the next dial: exponential with full jitter, so that a thousand agents spread out."""

from typing import Final, final

from tunnel.core.base.limits import Limits


@final
class Backoff:
    """The next pause, in seconds; `chance` is a random number from 0 to 1 given by the caller."""

    def __init__(self, limits: Limits) -> None:
        self._least: Final = limits.reconnect_seconds_min
        self._most: Final = limits.reconnect_seconds_max
        self._next = limits.reconnect_seconds_min

    def pause(self, chance: float) -> float:
        """A pause between the least and the current bound, which then doubles up to the most."""
        bound, self._next = self._next, min(self._next * 2, self._most)
        return self._least + (bound - self._least) * chance

    def succeeded(self) -> None:
        """A link stood and was welcomed: start over."""
        self._next = self._least
