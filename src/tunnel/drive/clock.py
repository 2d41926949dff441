"""The real clocks and the real randomness, as the ports ask for them."""

import os
import time
from typing import final

from tunnel.core.base.ids import Instant, UnixSeconds


@final
class SystemClock:
    """Monotonic time for deadlines and durations; wall time for token lifetimes."""

    def now(self) -> Instant:
        """Monotonic seconds, to the microsecond: the event loop's own clock has milliseconds and stands in a turn."""
        return Instant(time.monotonic())

    def unix(self) -> UnixSeconds:
        """Whole seconds since 1970."""
        return UnixSeconds(int(time.time()))


@final
class SystemEntropy:
    """The operating system's randomness."""

    def random_bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        return os.urandom(count)
