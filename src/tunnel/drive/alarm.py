"""One lazy timer for a machine whose deadline mostly moves later: it is set again when it rings, not at each move."""

import asyncio
from typing import Final, Protocol, final

from tunnel.core.base.ids import Instant
from tunnel.drive.guard import guarded

_SLACK_SECONDS: Final = 0.001
_FAR_SECONDS: Final = 86_400.0
"""Nothing is armed further ahead than this; a later deadline is looked at again then."""


class Ringing(Protocol):
    """Who owns an alarm."""

    def on_alarm(self, now: Instant) -> Instant:
        """The alarm rang; answers the next deadline."""

    def abort_session(self) -> None:
        """End at once."""


@final
class Alarm:
    """Rings its owner at or after a deadline. Finished after `cancel`."""

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
        self._rings_at = min(float(deadline), self._loop.time() + _FAR_SECONDS)
        self._handle = self._loop.call_at(self._rings_at, self._ring)

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
        self.set_by(self._owner.on_alarm(Instant(self._loop.time())))
