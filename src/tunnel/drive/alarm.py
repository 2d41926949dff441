"""One lazy timer for a machine whose deadline mostly moves later: it is set again when it rings, not at each move."""

import asyncio
from time import monotonic
from typing import Final, Protocol, final

from tunnel.core.base.ids import Instant
from tunnel.drive.guard import guarded

_SLACK_SECONDS: Final = 0.001
"""The resolution of uvloop's timers. No alarm rings more often, so a deadline that does not move cannot spin."""
_FAR_SECONDS: Final = 86_400.0
"""Nothing is armed further ahead than this; a later deadline is looked at again then."""


class Ringing(Protocol):
    """Who owns an alarm."""

    def on_alarm(self, now: Instant) -> Instant:
        """The alarm rang, at its deadline or somewhat before; answers the next deadline."""

    def abort_session(self) -> None:
        """End at once."""


@final
class Alarm:
    """Rings its owner at a deadline of the monotonic clock. Finished after `cancel`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Ringing) -> None:
        self._loop: Final = loop
        self._owner: Final = owner
        self._handle: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._is_cancelled = False

    def set_by(self, deadline: Instant) -> None:
        """Ring no later than `deadline`; an alarm already set for earlier stays (it looks again when it rings)."""
        if self._is_cancelled or (self._handle is not None and self._rings_at <= deadline + _SLACK_SECONDS):
            return
        if self._handle is not None:
            self._handle.cancel()
        now = monotonic()
        self._rings_at = min(float(deadline), now + _FAR_SECONDS)
        # A delay, not a moment: the loop's clock is cached once a turn and has milliseconds, ours has neither habit.
        self._handle = self._loop.call_later(max(self._rings_at - now, _SLACK_SECONDS), self._ring)

    def cancel(self) -> None:
        """Never ring again."""
        self._is_cancelled = True
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def abort_session(self) -> None:
        """Pass an escape on to the owner, whose session it is."""
        self._owner.abort_session()

    @guarded
    def _ring(self) -> None:
        self._handle = None
        self.set_by(self._owner.on_alarm(Instant(monotonic())))
