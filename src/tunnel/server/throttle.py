"""Bytes a second: what has passed is paid for by waiting, with the reading paused and the credit kept back."""

from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.policy.door import Meter

_MICROSECOND: Final = 1e-6


@final
class Throttle:
    """What one connection has to wait for. It is finished with its connection."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        """Of the endpoint that is used now."""
        self.until = Instant(0.0)
        """When all that has passed is paid for."""
        self.is_holding = False
        """Nothing more is read and no credit returned, until `release` says so."""

    def count(self, count: int, now: Instant) -> None:
        """Bytes have passed."""
        wait = self.meter.spend(count, now)
        if wait:
            self.until = Instant(now + wait * _MICROSECOND)
            self.is_holding = True

    def release(self, now: Instant) -> bool:
        """Whether the wait is over with this call."""
        if self.is_holding and now >= self.until:
            self.is_holding = False
            return True
        return False
