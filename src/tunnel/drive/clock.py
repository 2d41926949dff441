"""The real clock and the real randomness, as the ports ask for them."""

import asyncio
import os
import time
from typing import final

from tunnel.core.base.ids import Instant, UnixSeconds


@final
class SystemClock:
    """Monotonic time of the event loop, so that timers and deadlines agree; wall time for token lifetimes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> Instant:
        """Monotonic seconds of the loop."""
        return Instant(self._loop.time())

    def unix(self) -> UnixSeconds:
        """Whole seconds since 1970."""
        return UnixSeconds(int(time.time()))


@final
class SystemEntropy:
    """The operating system's randomness."""

    def random_bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        return os.urandom(count)
