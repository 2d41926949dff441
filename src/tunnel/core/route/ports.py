"""Which name has which public TCP port: granted with a lease, kept for its account while the agent is away.

A port is the second address of a name, as the name itself has no place in a TCP connection. Several leases of one name
(links of one agent, agents that share) have one port together.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tunnel.core.base.ids import Epoch, Instant, Label
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.route.lease import Lease
from tunnel.core.token.token import AccountId


@final
@dataclass(frozen=True, slots=True)
class NoPorts:
    """This server gives out no TCP ports at all."""


@final
@dataclass(frozen=True, slots=True)
class PortOutside:
    """A port was asked for that is not one of those given out."""

    port: int
    low: int
    high: int


@final
@dataclass(frozen=True, slots=True)
class PortTaken:
    """The port asked for is another's, or was so lately that it is kept for another account."""

    port: int


@final
@dataclass(frozen=True, slots=True)
class NoPortLeft:
    """All ports are taken."""

    low: int
    high: int


PortError: TypeAlias = NoPorts | PortOutside | PortTaken | NoPortLeft


@final
class Held:
    """One port in use, or kept: `since` is when its last lease ended, None while there is one."""

    def __init__(self, name: Label, account: AccountId) -> None:
        self.name: Final = name
        self.account: Final = account
        self.epochs: Final[set[Epoch]] = set()
        self.since: Instant | None = None


@final
class Ports:
    """The ports from `low` to `high`, both included; none when `high` is below `low`."""

    def __init__(self, limits: Limits, low: int, high: int) -> None:
        self._limits: Final = limits
        self._low = low
        self._high = high
        self._held: dict[int, Held] = {}
        self._port_of: dict[Epoch, int] = {}
        self._port_of_name: dict[Label, int] = {}
        self._foreign: dict[int, Instant] = {}

    def claim(self, lease: Lease, wanted: int, now: Instant) -> Outcome[int, PortError]:
        """The port of a lease: the one wanted, or with 0 the one that its name had, or any that is free."""
        if self._high < self._low:
            return Failure(NoPorts())
        if wanted and not self._low <= wanted <= self._high:
            return Failure(PortOutside(wanted, self._low, self._high))
        port = wanted or self._own(lease) or self._free(now)
        if not port:
            return Failure(NoPortLeft(self._low, self._high))
        held = self._held.get(port)
        if held is None or held.name != lease.name or held.account != lease.account:
            if not self._is_free_for(port, lease, now):
                return Failure(PortTaken(port))
            held = Held(lease.name, lease.account)
            self._held[port] = held
        held.epochs.add(lease.epoch)
        held.since = None
        self._port_of[lease.epoch] = port
        self._port_of_name[lease.name] = port
        return Success(port)

    def release(self, lease: Lease, now: Instant, *, for_good: bool) -> int:
        """The lease has ended; the port that nobody serves any more because of that, or 0.

        It is kept for the account for `lease_lapse_seconds`, unless it was given up `for_good`.
        """
        port = self._port_of.pop(lease.epoch, 0)
        held = self._held.get(port)
        if held is None:
            return 0
        held.epochs.discard(lease.epoch)
        if held.epochs:
            return 0
        held.since = now
        if for_good:
            self._held.pop(port, None)
            if self._port_of_name.get(held.name) == port:
                self._port_of_name.pop(held.name, None)
        return port

    def note_foreign(self, lease: Lease, now: Instant) -> None:
        """The system gave the port of this lease to somebody else: it is not given out for a while."""
        port = self.release(lease, now, for_good=True)
        if port:
            self._foreign[port] = now

    def change_range(self, low: int, high: int) -> None:
        """Give out these from now on; a lease keeps the port that it has."""
        self._low, self._high = low, high

    def port_of(self, lease: Lease) -> int:
        """The port that the lease has, or 0."""
        return self._port_of.get(lease.epoch, 0)

    def in_use(self) -> int:
        """How many ports have a lease."""
        return len(set(self._port_of.values()))

    def _own(self, lease: Lease) -> int:
        """The port that the name has or had, while it is kept for this account."""
        port = self._port_of_name.get(lease.name, 0)
        held = self._held.get(port)
        return port if held is not None and held.account == lease.account and held.name == lease.name else 0

    def _free(self, now: Instant) -> int:
        """One that nobody had, or else one whose time has lapsed; 0 when there is none."""
        lapsed = 0
        for port in range(self._low, self._high + 1):
            held = self._held.get(port)
            if self._is_foreign(port, now):
                continue
            if held is None:
                return port
            if not lapsed and self._has_lapsed(held, now):
                lapsed = port
        return lapsed

    def _is_free_for(self, port: int, lease: Lease, now: Instant) -> bool:
        held = self._held.get(port)
        if self._is_foreign(port, now):
            return False
        if held is None or self._has_lapsed(held, now):
            return True
        return held.since is not None and held.account == lease.account

    def _has_lapsed(self, held: Held, now: Instant) -> bool:
        return held.since is not None and now - held.since >= self._limits.lease_lapse_seconds

    def _is_foreign(self, port: int, now: Instant) -> bool:
        since = self._foreign.get(port)
        return since is not None and now - since < self._limits.lease_lapse_seconds


def describe(error: PortError) -> str:
    """What stands in the way and what to do."""
    match error:
        case NoPorts():
            return "This server gives out no TCP ports; its operator must name a range (--tcp-ports)."
        case PortOutside(port=port, low=low, high=high):
            return f"Port {port} is not one of those given out, {low} to {high}; choose one of them or none."
        case PortTaken(port=port):
            return f"Port {port} is taken; choose another, or none."
        case _:
            return f"All ports from {error.low} to {error.high} are taken; try again later."
