"""Token buckets in whole numbers, and a bounded table of them in which nobody gains by being forgotten.

A bucket holds credits of a unit so small that a refill is one exact product: nothing is rounded, so nothing drifts.
"""

from collections import OrderedDict
from typing import Final, TypeAlias, final

from tunnel.core.base.partial import make_latest, pop_oldest, quotient

Key: TypeAlias = int | str
"""An address (`ip.key_of`) or the name of an endpoint."""

REQUEST: Final = 1_000_000_000
"""Credits of one request: with the rate in thousandths a second, each microsecond refills `rate` credits."""
BYTE: Final = 1_000_000
"""Credits of one byte: with the rate in bytes a second, likewise."""
SECOND: Final = 1_000_000
"""Microseconds."""


@final
class Bucket:
    """Credits at a moment, in microseconds. Below zero is a debt: bytes that have passed already."""

    __slots__ = ("at", "credit")

    def __init__(self, credit: int, at: int) -> None:
        self.credit = credit
        self.at: int = at

    def refill(self, rate: int, capacity: int, at: int) -> None:
        """What has come since; a clock that was set back brings nothing and takes nothing."""
        if at > self.at:
            self.credit += (at - self.at) * rate
        self.credit = min(self.credit, capacity)
        self.at = at

    def wait(self, cost: int, rate: int) -> int:
        """Microseconds until `cost` is there, if nobody else takes of it; 0 when it is there now."""
        return max(quotient(cost - self.credit + rate - 1, rate), 0)

    def take(self, cost: int) -> None:
        """Spend, whether it is there or not."""
        self.credit -= cost


@final
class BucketTable:
    """At most `seats_max` buckets, those used last. It lives as long as its server.

    A newcomer to a full table takes over the bucket of whoever was away longest, with what has come into it since. So
    all keys together are never let in more often than `seats_max` honest ones would be, however many there are: to be
    forgotten gives nobody a fresh burst. Who keeps trying is not away.
    """

    def __init__(self, seats_max: int) -> None:
        self._seats_max: Final = max(seats_max, 1)
        self._seats: Final[OrderedDict[Key, Bucket]] = OrderedDict()

    def count(self) -> int:
        """How many buckets there are."""
        return len(self._seats)

    def bucket(self, key: Key, rate: int, capacity: int, at: int) -> Bucket:
        """The bucket of `key`, refilled."""
        held = self._seats.get(key)
        if held is None:
            left = pop_oldest(self._seats) if len(self._seats) >= self._seats_max else None
            held = Bucket(capacity, at) if left is None else left
            self._seats[key] = held
        else:
            make_latest(self._seats, key)
        held.refill(rate, capacity, at)
        return held
