"""How long to wait before the next dial: exponential with full jitter, so that a thousand agents spread out."""

from typing import Final, final

from tunnel.core.base.limits import Limits


@final
class Backoff:
    """The next pause, in seconds; `chance` is a random number from 0 to 1 given by the caller."""

    def __init__(self, limits: Limits) -> None:
        self._least: Final = limits.reconnect_seconds_min
        self._most: Final = limits.reconnect_seconds_max
        self._bound = limits.reconnect_seconds_min

    def pause(self, chance: float) -> float:
        """A pause between nothing and the current bound, which then doubles up to the most.

        From nothing on: when a server restarts, all its agents lose their links in the same moment, and a common
        least pause would bring them all back in the same moment, too.
        """
        bound, self._bound = self._bound, min(self._bound * 2, self._most)
        return bound * chance

    def succeeded(self) -> None:
        """A link stood and was welcomed: start over."""
        self._bound = self._least
