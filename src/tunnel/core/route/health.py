"""How the local service behind one agent does: what visitors' requests ran into, and what the agent's own checks say.

All links of one agent process lead to the same local service, so they share one of these per name (ADR 0038).
"""

from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import Limits


@final
class Health:
    """Sound, put aside for a while (by failures of requests), or down (by the agent's own word)."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._pause = 0.0
        """How long it was last put aside for; 0 once a connection stood since."""
        self._aside_until = Instant(0.0)
        self.failures = 0
        """Connections refused, timed out or otherwise not made, in a row; 0 in the usual case."""
        self.is_down = False
        """The agent says that its checks fail."""

    @property
    def is_aside(self) -> bool:
        """Whether failures have put it aside; a connection that stands brings it back."""
        return self._pause > 0

    @property
    def is_sound(self) -> bool:
        """Neither down nor aside."""
        return not self.is_down and self._pause <= 0

    def is_due(self, now: Instant) -> bool:
        """Whether one that is aside has waited long enough for a request to try it."""
        return self._pause > 0 and now >= self._aside_until

    def on_tried(self, now: Instant) -> None:
        """A request tries one that is aside: no second one does before that could not be made."""
        self._aside_until = Instant(now + self._limits.connect_seconds_max)

    def on_failed(self, now: Instant, *, others_serve: bool) -> bool:
        """A connection was not made. True when that puts it aside, or aside again; never when nobody else serves."""
        self.failures += 1
        if self._pause > 0:
            self._pause = min(self._pause * 2, self._limits.aside_seconds_max)
            self._aside_until = Instant(now + self._pause)
            return False
        if not others_serve or self.failures < self._limits.aside_failures:
            return False
        self._pause = self._limits.aside_seconds_min
        self._aside_until = Instant(now + self._pause)
        return True

    def on_stood(self) -> bool:
        """A connection was made. True when it comes back by that."""
        was_aside = self._pause > 0
        self.failures = 0
        self._pause = 0.0
        return was_aside

    def report(self, *, is_up: bool) -> bool:
        """The agent's word. True when it is another than before."""
        is_news = self.is_down is is_up
        self.is_down = not is_up
        return is_news
