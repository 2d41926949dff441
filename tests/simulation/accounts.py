"""What a control plane wants to know, counted from what the server says: who used how much, and what has an end."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, final

from tests.simulation.kernel import Kernel

from tunnel.core.route.table import Lease
from tunnel.core.token.token import AccountId
from tunnel.observe.events import ConnectionDone, ExchangeDone, NameGranted, SessionOpened
from tunnel.server.hub import Hub

_NEVER: Final = float("inf")


@final
@dataclass(slots=True)
class Used:
    """What was used of one name."""

    requests: int = 0
    connections: int = 0
    bytes_up: int = 0
    bytes_down: int = 0

    def add(self, bytes_up: int, bytes_down: int, *, requests: int = 0, connections: int = 0) -> None:
        """Count some more."""
        self.requests += requests
        self.connections += connections
        self.bytes_up += bytes_up
        self.bytes_down += bytes_down


@final
@dataclass(slots=True)
class Limited:
    """An account with a quota that the server knows since `since`; `passed` of its exchanges had ended by then."""

    since: float
    passed: int
    requests_max: int
    rate: int


@final
class Accounts:
    """Of one world."""

    def __init__(self, kernel: Kernel, found: Callable[[str], None]) -> None:
        self._kernel: Final = kernel
        self._found: Final = found
        self.at_once_max = 0
        """How many exchanges may run at the same time at most."""
        self.sessions_opened = 0
        self.passed: Final[Counter[AccountId]] = Counter()
        """Exchanges and raw connections that had an agent and have ended."""
        self.told: Final[dict[str, Used]] = {}
        self.limited: Final[dict[AccountId, Limited]] = {}
        self.closed: Final[dict[int, float]] = {}
        """Agents of which nothing may pass since."""
        self._accounts: Final[dict[int, AccountId]] = {}
        self._holders: Final[dict[str, AccountId]] = {}
        self._lapses: Final[dict[int, float]] = {}
        self._overdue: Final[set[tuple[str, int]]] = set()

    def closed_at(self, agent: int) -> float:
        """From when on nothing of an agent may pass: it was taken away, or its time was over."""
        return min(self.closed.get(agent, _NEVER), self._lapses.get(agent, _NEVER))

    # What the server says.

    def on_opened(self, event: SessionOpened) -> None:
        """An agent is there."""
        self.sessions_opened += 1
        self._accounts[event.session] = AccountId(bytes.fromhex(event.account))

    def on_granted(self, event: NameGranted, agent: int, hubs: Iterable[Hub]) -> None:
        """It answers for a name, until a moment that is known from now on."""
        self._holders[event.name] = self._accounts[event.session]
        for hub in hubs:
            for lease in hub.table.leases():
                if lease.name == event.name and lease.epoch == event.epoch and lease.ends_at is not None:
                    self._lapses[agent] = max(lease.ends_at, self._lapses.get(agent, 0.0))

    def on_exchange(self, event: ExchangeDone) -> None:
        """An exchange has ended."""
        if event.session:
            account = self._accounts[event.session]
            self.told.setdefault(event.name, Used()).add(event.bytes_up, event.bytes_down, requests=1)
            self._pass(account)
        elif event.status == 402:
            account = self._holders[event.name]
            limited = self.limited.get(account)
            if limited is not None and limited.requests_max and self.passed[account] < limited.requests_max:
                self._found(f"402 after {self.passed[account]} of {limited.requests_max} requests")

    def on_connection(self, event: ConnectionDone, *, had_agent: bool) -> None:
        """A raw connection has ended."""
        if had_agent:
            self.told.setdefault(event.name, Used()).add(event.bytes_up, event.bytes_down, connections=1)
            self._pass(self._holders[event.name])

    def _pass(self, account: AccountId) -> None:
        self.passed[account] += 1
        limited = self.limited.get(account)
        if limited is None:
            return
        passed = self.passed[account]
        before = max(limited.requests_max, limited.passed)  # the server may have heard of it late
        if limited.requests_max and passed > before + self.at_once_max:
            self._found(f"{passed} requests of an account that may have {limited.requests_max}")
        due = limited.rate * (self._kernel.now - limited.since + 1.0) + self.at_once_max
        if limited.rate and passed - limited.passed > due:
            self._found(f"{passed - limited.passed} requests of an account that may have {limited.rate} a second")

    # All along.

    def look(self, hubs: Iterable[Hub]) -> None:
        """No lease is in force whose time is over; what was seen once may wait for its alarm, which rings this turn."""
        overdue = {
            (lease.name, int(lease.epoch))
            for hub in hubs
            for lease in hub.table.leases()
            if lease.ends_at is not None and lease.ends_at < self._kernel.now
        }
        for hub in hubs:
            for visit in hub.visits:
                lease: Lease | None = getattr(visit, "_side").lease  # noqa: B009 - a look behind a door
                if lease is not None and lease.has_lapsed:
                    self._found(f"a visitor of {lease.name} is served although its time is over")
        for name, epoch in overdue & self._overdue:
            self._found(f"{name} of epoch {epoch} is in force although its time is over")
        self._overdue.clear()
        self._overdue.update(overdue)
