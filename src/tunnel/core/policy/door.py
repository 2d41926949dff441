"""The one door for visitors of every kind: lists, rates, counts and sign-in, asked before an agent is woken."""

from collections.abc import Sequence
from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import quotient, whole_microseconds
from tunnel.core.base.problem import ADDRESS_DENIED, TOO_MANY_EXCHANGES, Problem, rate_limited, sign_in_needed
from tunnel.core.policy.bucket import SECOND, Key
from tunnel.core.policy.ip import Ip, ip_of, is_within, key_of
from tunnel.core.policy.purse import Purse, Use
from tunnel.core.policy.rules import NO_RATES, OPEN, OPEN_TO_ALL, Policy, Rates, ServerPolicy, stricter
from tunnel.core.policy.sign_in import is_signed_in


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

    # Several processes.

    def share(self) -> None:
        """There are other processes, which are to hear what is used here."""
        self._addresses.share()
        self._endpoints.share()

    def poll_uses(self, uses_max: int) -> tuple[list[Use], list[Use]]:
        """What addresses, and endpoints, used since this was last asked."""
        addresses = self._addresses.poll_uses(uses_max)
        return addresses, self._endpoints.poll_uses(uses_max - len(addresses))

    def tell_running(self) -> None:
        """There is a process that has not heard what runs here."""
        self._addresses.tell_running()
        self._endpoints.tell_running()

    def learn_of_address(self, process: int, use: Use, now: Instant) -> None:
        """What an address used at another process."""
        self._addresses.learn(process, use, self.rules.address, whole_microseconds(now))

    def learn_of_endpoint(self, process: int, use: Use, name: str, policy: Policy | None, now: Instant) -> None:
        """What was used of an endpoint at another process."""
        rates = self._rates_at(name, OPEN if policy is None else policy)
        self._endpoints.learn(process, use, rates, whole_microseconds(now))

    def forget(self, process: int) -> None:
        """Another process is gone."""
        self._addresses.forget(process)
        self._endpoints.forget(process)

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
