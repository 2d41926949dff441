"""What visitors use of their limits, by address and by endpoint; processes of one server tell it each other.

Each process keeps whole buckets, lets in by them, and takes out of them a moment later what was used at the others. So
a visitor at one process has its whole rate, and all together get no more in the long run; what comes in too many is
what can be used elsewhere before it is told (ADR 0079).
"""

from typing import Final, final

from tunnel.core.base.partial import first_keys
from tunnel.core.policy.bucket import BYTE, REQUEST, BucketTable, Key
from tunnel.core.policy.rules import Rates

_DEBT_BYTES: Final = 1024 * 1024
"""What may have passed ahead of its payment when an exchange begins, beside two seconds' worth: some windows."""


@final
class Use:
    """What one key has used since this was last told, and how many exchanges of it run now."""

    def __init__(self, key: Key, requests: int, count: int, running: int) -> None:
        self.key: Final = key
        self.requests: Final = requests
        self.count: Final = count
        """Of bytes, in both directions."""
        self.running: Final = running


@final
class _Untold:
    """What is to be told of one key."""

    def __init__(self) -> None:
        self.requests = 0
        self.count = 0


_NOTHING: Final = _Untold()


@final
class Purse:
    """The buckets and counts of one kind of key: of addresses, or of endpoints."""

    def __init__(self, seats_max: int) -> None:
        self._requests: Final = BucketTable(seats_max)
        self._bytes: Final = BucketTable(seats_max)
        self._running: Final[dict[Key, int]] = {}
        self._untold: Final[dict[Key, _Untold]] = {}
        self._elsewhere: Final[dict[Key, dict[int, int]]] = {}
        """Exchanges that run at other processes."""
        self._is_shared = False

    def share(self) -> None:
        """Keep what is used for `poll_uses` from here on."""
        self._is_shared = True

    def wait(self, key: Key, rates: Rates, at: int) -> int:
        """Microseconds until one more request of `key` fits; 0 when it does now."""
        waited = 0
        if rates.requests:
            bucket = self._requests.bucket(key, rates.requests, rates.burst * REQUEST, at)
            waited = bucket.wait(REQUEST, rates.requests)
        if rates.bandwidth:
            owed = (2 * rates.bandwidth + _DEBT_BYTES) * BYTE
            held = self._bytes.bucket(key, rates.bandwidth, rates.bandwidth * BYTE, at)
            waited = max(waited, held.wait(-owed, rates.bandwidth))
        return waited

    def charge(self, key: Key, rates: Rates, at: int) -> None:
        """Take the price of one request."""
        if rates.requests:
            self._requests.bucket(key, rates.requests, rates.burst * REQUEST, at).take(REQUEST)
            if self._is_shared:
                self._note(key).requests += 1

    def spend(self, key: Key, rates: Rates, count: int, at: int) -> int:
        """Take the price of bytes that pass; microseconds until they are paid for."""
        if not rates.bandwidth:
            return 0
        held = self._bytes.bucket(key, rates.bandwidth, rates.bandwidth * BYTE, at)
        held.take(count * BYTE)
        if self._is_shared:
            self._note(key).count += count
        return held.wait(0, rates.bandwidth)

    def is_full(self, key: Key, rates: Rates) -> bool:
        """Whether as many exchanges of `key` run as may."""
        running = self._running.get(key, 0)
        for count in list(self._elsewhere.get(key, {}).values()):
            running += count
        return rates.exchanges > 0 and running >= rates.exchanges

    def begin(self, key: Key) -> None:
        """Count one in."""
        self._running[key] = self._running.get(key, 0) + 1
        if self._is_shared:
            self._note(key)

    def end(self, key: Key) -> None:
        """Count one out."""
        left = self._running.get(key, 0) - 1
        if left > 0:
            self._running[key] = left
        else:
            self._running.pop(key, None)
        if self._is_shared:
            self._note(key)

    def sizes(self) -> tuple[int, int, int]:
        """How many keys are held: in buckets of requests, in buckets of bytes, as running."""
        return self._requests.count(), self._bytes.count(), len(self._running)

    # Several processes.

    def poll_uses(self, uses_max: int) -> list[Use]:
        """What was used since this was last asked, of so many keys at most; the others follow."""
        uses: list[Use] = []
        for key in first_keys(self._untold, uses_max):
            untold = self._untold.pop(key, _NOTHING)
            uses.append(Use(key, untold.requests, untold.count, self._running.get(key, 0)))
        return uses

    def tell_running(self) -> None:
        """Tell all that runs once more: there is a process that did not hear it."""
        for key in list(self._running):
            self._note(key)

    def learn(self, process: int, use: Use, rates: Rates, at: int) -> None:
        """What was used at another process counts here, too."""
        if rates.requests and use.requests:
            self._requests.bucket(use.key, rates.requests, rates.burst * REQUEST, at).take(use.requests * REQUEST)
        if rates.bandwidth and use.count:
            self._bytes.bucket(use.key, rates.bandwidth, rates.bandwidth * BYTE, at).take(use.count * BYTE)
        running = self._elsewhere.get(use.key)
        if use.running and running is None:
            self._elsewhere[use.key] = {process: use.running}
        elif use.running and running is not None:
            running[process] = use.running
        elif running is not None:
            self._drop(use.key, running, process)

    def forget(self, process: int) -> None:
        """Another process is gone, and with it what ran there."""
        for key, running in list(self._elsewhere.items()):
            self._drop(key, running, process)

    def _drop(self, key: Key, running: dict[int, int], process: int) -> None:
        running.pop(process, None)
        if not running:
            self._elsewhere.pop(key, None)

    def _note(self, key: Key) -> _Untold:
        untold = self._untold.get(key)
        if untold is None:
            untold = _Untold()
            self._untold[key] = untold
        return untold
