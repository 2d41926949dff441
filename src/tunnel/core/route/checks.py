"""What a row of checks says: one failure is an accident, several are a state (ADR 0038)."""

from typing import Final, final

from tunnel.core.base.limits import Limits


@final
class Verdict:
    """Whether a local service is up, from checks that passed and failed; the first one decides alone."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._against = 0
        """Checks in a row that say otherwise."""
        self._is_first = True
        self.is_up = True

    def take(self, *, is_passed: bool) -> bool:
        """Note one check. True when the verdict changes by it."""
        is_first, self._is_first = self._is_first, False
        if is_passed is self.is_up:
            self._against = 0
            return False
        self._against += 1
        needed = self._limits.check_passes if is_passed else self._limits.check_failures
        if self._against < needed and not is_first:
            return False
        self._against = 0
        self.is_up = is_passed
        return True
