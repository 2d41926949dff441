"""The one door for visitors of every kind: lists, rates, counts and sign-in, asked before an agent is woken."""

from collections.abc import Sequence
from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import quotient, whole_microseconds
from tunnel.core.base.problem import ADDRESS_DENIED, TOO_MANY_EXCHANGES, Problem, rate_limited, sign_in_needed
from tunnel.core.policy.bucket import BYTE, REQUEST, SECOND, BucketTable, Key
from tunnel.core.policy.ip import Ip, ip_of, is_within, key_of
from tunnel.core.policy.rules import NO_RATES, OPEN, OPEN_TO_ALL, Policy, Rates, ServerPolicy, stricter
from tunnel.core.policy.sign_in import is_signed_in

_DEBT_BYTES: Final = 1024 * 1024
"""What may have passed ahead of its payment when an exchange begins, beside two seconds' worth: some windows."""


@final
class Caller:
    """Who knocks: its address, and the key that its limits are counted by."""

    def __init__(self, ip: Ip | None) -> None:
        self.ip: Final = ip
        self.key: Final = key_of(ip)


def caller_of(address: str) -> Caller:
    """The caller behind an address in text form; one that is none is on no list and shares its limits with its like."""
    return Caller(ip_of(address))


@final
class Entry:
    """One exchange, or raw connection, that was let in: where it is counted. To be given back once, at its end."""

    def __init__(self, caller: Key | None, name: Key | None) -> None:
        self.caller: Final = caller
        self.name: Final = name


_UNCOUNTED: Final = Entry(None, None)


@final
class Purse:
    """The buckets and counts of one kind of key: of addresses, or of endpoints."""

    def __init__(self, seats_max: int) -> None:
        self._requests: Final = BucketTable(seats_max)
        self._bytes: Final = BucketTable(seats_max)
        self._running: Final[dict[Key, int]] = {}

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

    def spend(self, key: Key, rates: Rates, count: int, at: int) -> int:
        """Take the price of bytes that pass; microseconds until they are paid for."""
        if not rates.bandwidth:
            return 0
        held = self._bytes.bucket(key, rates.bandwidth, rates.bandwidth * BYTE, at)
        held.take(count * BYTE)
        return held.wait(0, rates.bandwidth)

    def is_full(self, key: Key, rates: Rates) -> bool:
        """Whether as many exchanges of `key` run as may."""
        return rates.exchanges > 0 and self._running.get(key, 0) >= rates.exchanges

    def begin(self, key: Key) -> None:
        """Count one in."""
        self._running[key] = self._running.get(key, 0) + 1

    def end(self, key: Key) -> None:
        """Count one out."""
        left = self._running.get(key, 0) - 1
        if left > 0:
            self._running[key] = left
        else:
            self._running.pop(key, None)

    def sizes(self) -> tuple[int, int, int]:
        """How many keys are held: in buckets of requests, in buckets of bytes, as running."""
        return self._requests.count(), self._bytes.count(), len(self._running)


@final
class Meter:
    """Counts the bytes of one connection; finished with it."""

    def __init__(
        self, addresses: Purse, endpoints: Purse, caller: Caller, name: str, both: tuple[Rates, Rates]
    ) -> None:
        self._addresses: Final = addresses
        self._endpoints: Final = endpoints
        self._caller: Final = caller
        self._name: Final = name
        self._rates: Final = both

    def spend(self, count: int, now: Instant) -> int:
        """Bytes passed, in either direction; microseconds to hold back what would bring more."""
        at = whole_microseconds(now)
        of_address, of_endpoint = self._rates
        waits = self._addresses.spend(self._caller.key, of_address, count, at)
        return max(waits, self._endpoints.spend(self._name, of_endpoint, count, at))


@final
class Door:
    """What one server process remembers of its visitors' use; it lives as long as the server.

    `guards_everyone`: whether callers are looked at even where the endpoint has no policy.
    """

    def __init__(self, rules: ServerPolicy, seats_max: int) -> None:
        self.rules: Final = rules
        self.guards_everyone: Final = rules != OPEN_TO_ALL
        self._addresses: Final = Purse(seats_max)
        self._endpoints: Final = Purse(seats_max)

    def admit(
        self, caller: Caller, name: str, policy: Policy | None, authorization: Sequence[bytes], now: Instant
    ) -> Outcome[Entry, Problem]:
        """Let one exchange or connection in, to be given back by `leave` once, or say why not (POLICY-ORDER-001).

        The name is "" where none is known yet, so that looking for names costs as much as using one.
        """
        held = OPEN if policy is None else policy
        if self._is_denied(caller, held):
            return Failure(ADDRESS_DENIED)
        at = whole_microseconds(now)
        address, endpoint = self.rules.address, self._rates_at(name, held)
        wait = self._addresses.wait(caller.key, address, at)
        wait = max(wait, self._endpoints.wait(name, endpoint, at))
        if wait:
            return Failure(rate_limited(quotient(wait + SECOND - 1, SECOND)))
        # From here on it has cost a request: one that guesses passwords is one that comes too often.
        self._addresses.charge(caller.key, address, at)
        self._endpoints.charge(name, endpoint, at)
        if self._addresses.is_full(caller.key, address) or self._endpoints.is_full(name, endpoint):
            return Failure(TOO_MANY_EXCHANGES)
        if held.sign_ins and not is_signed_in(held.sign_ins, authorization):
            return Failure(sign_in_needed(name))
        return Success(self._entry(caller, name, endpoint))

    def leave(self, entry: Entry) -> None:
        """What was let in has ended."""
        if entry.caller is not None:
            self._addresses.end(entry.caller)
        if entry.name is not None:
            self._endpoints.end(entry.name)

    def meter(self, caller: Caller, name: str, policy: Policy | None) -> Meter | None:
        """Who counts the bytes of this caller at this endpoint; None when nobody has to."""
        rates = self._rates_at(name, OPEN if policy is None else policy)
        if not self.rules.address.bandwidth and not rates.bandwidth:
            return None
        return Meter(self._addresses, self._endpoints, caller, name, (self.rules.address, rates))

    def sizes(self) -> tuple[int, ...]:
        """How many keys are held, table by table; each is bounded."""
        return (*self._addresses.sizes(), *self._endpoints.sizes())

    def _rates_at(self, name: str, policy: Policy) -> Rates:
        """What holds at an endpoint: the stricter of what its agent and the operator ask for. "" is no endpoint."""
        if not name or self.rules.endpoint == NO_RATES:
            return policy.rates
        return stricter(self.rules.endpoint, policy.rates)

    def _is_denied(self, caller: Caller, policy: Policy) -> bool:
        ip, rules = caller.ip, self.rules
        if is_within(ip, rules.deny) or is_within(ip, policy.deny):
            return True
        if rules.allow and not is_within(ip, rules.allow):
            return True
        return bool(policy.allow) and not is_within(ip, policy.allow)

    def _entry(self, caller: Caller, name: str, endpoint: Rates) -> Entry:
        counted = caller.key if self.rules.address.exchanges else None
        named = name if endpoint.exchanges else None
        if counted is None and named is None:
            return _UNCOUNTED
        if counted is not None:
            self._addresses.begin(counted)
        if named is not None:
            self._endpoints.begin(named)
        return Entry(counted, named)
