"""How often one key may ask, and how often one address may show keys that are none: exact buckets, bounded tables."""

from math import ceil
from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.partial import whole_microseconds
from tunnel.core.policy.bucket import REQUEST, SECOND, BucketTable

_KEYS_MAX: Final = 4096
_BURST_SECONDS: Final = 4
_GUESSES_SECOND: Final = 1
_GUESSES_BURST: Final = 20
"""A person who mistypes a key never gets here; a program that guesses does, long before it costs the database much."""
_THOUSAND: Final = 1000


@final
class Rates:
    """Two tables of buckets; lives as long as its application."""

    def __init__(self, requests_second: int) -> None:
        self._rate: Final = requests_second * _THOUSAND
        self._capacity: Final = requests_second * _BURST_SECONDS * REQUEST
        self._keys: Final = BucketTable(_KEYS_MAX)
        self._guesses: Final = BucketTable(_KEYS_MAX)

    def wait(self, key: str, now: Instant) -> int:
        """0, and one request of this key is counted; or the seconds until the next one fits."""
        bucket = self._keys.bucket(key, self._rate, self._capacity, whole_microseconds(now))
        wait = bucket.wait(REQUEST, self._rate)
        if not wait:
            bucket.take(REQUEST)
        return ceil(wait / SECOND)

    def guesses_wait(self, address: str, now: Instant) -> int:
        """0, or the seconds until this address may show a key again."""
        rate = _GUESSES_SECOND * _THOUSAND
        bucket = self._guesses.bucket(address, rate, _GUESSES_BURST * REQUEST, whole_microseconds(now))
        return ceil(bucket.wait(REQUEST, rate) / SECOND)

    def charge_guess(self, address: str, now: Instant) -> None:
        """This address has shown a key that is none."""
        rate = _GUESSES_SECOND * _THOUSAND
        bucket = self._guesses.bucket(address, rate, _GUESSES_BURST * REQUEST, whole_microseconds(now))
        bucket.take(REQUEST)
