"""What each account has used of its quota, counted in this process between two directories (ADR 0066).

A count here is never above the truth: it is the larger of what a directory said and what was counted since, so nobody
is refused early. It is below the truth by at most what other processes passed that no directory has told of.
"""

from collections.abc import Sequence
from typing import Final, final

from tunnel.core.base.ids import Instant, UnixSeconds
from tunnel.core.base.partial import quotient, whole_microseconds
from tunnel.core.base.problem import BYTES_USED_UP, REQUESTS_USED_UP, Problem, account_rate_limited
from tunnel.core.directory.directory import NO_QUOTA, AccountFacts, Directory
from tunnel.core.policy.bucket import REQUEST, SECOND, Bucket
from tunnel.core.token.token import AccountId


@final
class Toll:
    """One account in one process. It lives as long as an endpoint or the directory speaks of the account."""

    def __init__(self) -> None:
        self.is_bounded = False
        """Whether `refusal` has anything to say: all that a request of an account without quota looks at."""
        self.requests = 0
        self.bytes = 0
        self._requests_max = 0
        self._bytes_max = 0
        self._rate = 0
        """Thousandths of a request a second, the share of this process."""
        self._burst = 0
        self._bucket = Bucket(0, 0)

    def refusal(self, now: Instant) -> Problem | None:
        """Why one more request or connection is too many now, or None: then it has cost one of this second's."""
        if self._requests_max and self.requests >= self._requests_max:
            return REQUESTS_USED_UP
        if self._bytes_max and self.bytes >= self._bytes_max:
            return BYTES_USED_UP
        if not self._rate:
            return None
        at = whole_microseconds(now)
        self._bucket.refill(self._rate, self._burst, at)
        wait = self._bucket.wait(REQUEST, self._rate)
        if wait:
            return account_rate_limited(quotient(wait + SECOND - 1, SECOND))
        self._bucket.take(REQUEST)
        return None

    def note(self, count: int) -> None:
        """A request or connection that was served has ended; so many bytes passed, in both directions together."""
        self.requests += 1
        self.bytes += count

    def learn(self, facts: AccountFacts, processes: int) -> None:
        """What the newest directory says: limits as they are now, and counts that are never taken back."""
        quota = facts.quota
        self.requests = max(self.requests, facts.requests_used)
        self.bytes = max(self.bytes, facts.bytes_used)
        self._requests_max, self._bytes_max = quota.requests_month, quota.bytes_month
        rate = quotient(quota.requests_second * 1000 + processes - 1, processes)
        if rate != self._rate:
            self._rate, self._burst = rate, quotient(rate + 999, 1000) * REQUEST
            self._bucket = Bucket(self._burst, 0)
        self.is_bounded = bool(self._requests_max or self._bytes_max or self._rate)

    def begin_month(self) -> None:
        """Nothing is used of the new month yet."""
        self.requests = 0
        self.bytes = 0


@final
class Tolls:
    """All accounts of one process; it lives as long as the process serves.

    Counted are those of the directory that have a quota and those that answer for a name: both are bounded elsewhere.
    """

    def __init__(self) -> None:
        self._processes = 1
        self._tolls: Final[dict[AccountId, Toll]] = {}
        self._month = UnixSeconds(0)

    def toll(self, account: AccountId) -> Toll:
        """That of an account, from its first endpoint on."""
        found = self._tolls.get(account)
        if found is None:
            found = Toll()
            self._tolls[account] = found
        return found

    def share_among(self, processes: int) -> None:
        """Say that so many processes serve together; to be said before the first directory is learnt."""
        self._processes = max(processes, 1)

    def leave(self, account: AccountId) -> None:
        """The last endpoint of an account is over: what has no quota is counted by nobody."""
        found = self._tolls.get(account)
        if found is not None and not found.is_bounded:
            self._tolls.pop(account, None)

    def count(self) -> int:
        """How many accounts are counted."""
        return len(self._tolls)

    def learn(self, directory: Directory, held: Sequence[AccountId]) -> None:
        """Take over what a directory says; accounts that it does not speak of, and that nobody `held`, are forgotten.

        One of an earlier month says nothing about what is used of this one.
        """
        if directory.month > self._month:
            self.begin_month(directory.month)
        is_past = directory.month < self._month
        for account, facts in list(directory.accounts.items()):
            quota = facts.quota
            if quota == NO_QUOTA and account not in self._tolls:
                continue
            told = AccountFacts(account, quota=quota) if is_past else facts
            self.toll(account).learn(told, self._processes)
        kept = set(held)
        for account, toll in list(self._tolls.items()):
            if account not in directory.accounts:
                toll.learn(AccountFacts(account), self._processes)
            if not toll.is_bounded and account not in kept:
                self._tolls.pop(account, None)

    def begin_month(self, month: UnixSeconds) -> None:
        """A month has begun by the clock, whether or not anybody says so; one that has begun does not begin again."""
        if month <= self._month:
            return
        self._month = month
        for toll in list(self._tolls.values()):
            toll.begin_month()
