"""Who answers for a name: one lease at a time, each of a newer generation than the one before.

An older session never takes back what a newer one of the same token holds, and nothing that an ended session does
later changes anything (known bug B3). The table is a value: it asks no clock, and the same calls give the same table.
"""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.ids import EndpointId, Epoch, Instant, Label, SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import first_keys
from tunnel.core.link.messages import HostHeader
from tunnel.core.route.errors import ClaimError, NameTaken, Overtaken, SessionGone, TooManyNames, TooManySessions
from tunnel.core.route.sessions import Opened, Sessions
from tunnel.core.token.token import AccountId, EndpointKind, Token, TokenId


@final
@dataclass(frozen=True, slots=True)
class Claim:
    """What a session asks for; that its token permits it is already known (`rights.permits`)."""

    name: Label
    session: SessionId
    endpoint: EndpointId
    kind: EndpointKind
    token: Token
    host_header: HostHeader
    peer: str


@final
class Lease:
    """The right of one endpoint of one session to answer for a name, until `RouteTable.is_current` says no.

    The token comes along, so that each stream asks the same parsed value that the grant was made from (B1, B2).
    """

    def __init__(self, claim: Claim, epoch: Epoch, since: Instant) -> None:
        self.name: Final = claim.name
        self.session: Final = claim.session
        self.endpoint: Final = claim.endpoint
        self.epoch: Final = epoch
        self.token_id: Final = claim.token.token_id
        self.account: Final = claim.token.account
        self.token: Final = claim.token
        self.host_header: Final = claim.host_header
        self.kind: Final = claim.kind
        self.peer: Final = claim.peer
        self.since: Final = since


@final
class Claimed:
    """A claim that was granted. `fenced` is the lease that it replaced: its endpoint must not serve another byte."""

    def __init__(self, lease: Lease, fenced: Lease | None) -> None:
        self.lease: Final = lease
        self.fenced: Final = fenced


@final
class Offline:
    """A name that had an agent until `since`, and whose account comes first for a while."""

    def __init__(self, account: AccountId, since: Instant) -> None:
        self.account: Final = account
        self.since: Final = since


@final
class RouteTable:
    """Leases by name and by session, and the names that were served lately."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._sessions: Final = Sessions(limits)
        self._epoch = Epoch(0)
        self._leases: dict[Label, Lease] = {}
        self._names_of_session: dict[SessionId, set[Label]] = {}
        self._names_of_token: dict[TokenId, int] = {}
        self._offline: dict[Label, Offline] = {}  # in the order of `since`

    def open_session(self, session: SessionId, token: Token, instance: bytes) -> Outcome[Opened, TooManySessions]:
        """Let a session claim names from now on; sessions are numbered in rising order and never reused.

        `Opened.retired` is the same agent's session before: it claims nothing more, but keeps what it has until the
        new one takes it or `drop_session` ends it.
        """
        return self._sessions.open(session, token, instance)

    def claim(self, asked: Claim, now: Instant) -> Outcome[Claimed, ClaimError]:
        """A lease of the next epoch; the same token takes its name over at once, another is refused."""
        current = self._leases.get(asked.name)
        refused = self._refusal(asked, current, now)
        if refused is not None:
            return Failure(refused)
        if current is not None:
            self._detach(current)
        self._epoch = Epoch(self._epoch + 1)
        lease = Lease(asked, self._epoch, now)
        self._attach(lease)
        self._offline.pop(asked.name, None)
        return Success(Claimed(lease, current))

    def find(self, name: Label, now: Instant) -> Lease | Offline | None:
        """Who answers for the name: a lease, nobody for the moment, or nobody that is remembered."""
        lease = self._leases.get(name)
        if lease is not None:
            return lease
        gone = self._offline.get(name)
        if gone is None or now - gone.since >= self._limits.offline_remembered_seconds:
            return None
        return gone

    def is_current(self, lease: Lease) -> bool:
        """Whether this very generation of the name is in force."""
        current = self._leases.get(lease.name)
        return current is not None and current.epoch == lease.epoch

    def withdraw(self, name: Label, epoch: Epoch) -> Lease | None:
        """Give a name up for good: it is free for anyone at once. None when that generation is not in force."""
        current = self._leases.get(name)
        if current is None or current.epoch != epoch:
            return None
        self._detach(current)
        return current

    def drop_session(self, session: SessionId, now: Instant) -> list[Lease]:
        """End a session and return the leases that ended with it, by name; its names are offline from now on.

        A second call returns nothing, and what a newer session has taken over meanwhile is not touched.
        """
        self._sessions.close(session)
        dropped = [
            lease
            for name in sorted(self._names_of_session.get(session, ()))
            if (lease := self._leases.get(name)) is not None
        ]
        for lease in dropped:
            self._detach(lease)
            self._offline[lease.name] = Offline(lease.account, now)
        self._forget_oldest()
        return dropped

    def leases(self) -> list[Lease]:
        """All leases in force, by name."""
        return [lease for name in sorted(self._leases) if (lease := self._leases.get(name)) is not None]

    def offline_count(self) -> int:
        """How many names are remembered as offline; never more than `limits.offline_names_max`."""
        return len(self._offline)

    # A replica: the table of a process that is told by another one what holds.

    def install(self, lease: Lease) -> None:
        """Let a lease that was granted elsewhere be in force here."""
        self.remove(lease.name, lease.epoch)
        self._attach(lease)
        self._offline.pop(lease.name, None)

    def remove(self, name: Label, epoch: Epoch) -> Lease | None:
        """End a lease because it has ended elsewhere; None when it is not in force here."""
        return self.withdraw(name, epoch)

    def note_offline(self, name: Label, account: AccountId, since: Instant) -> None:
        """Remember a name that has no agent, unless it has one here."""
        if name not in self._leases:
            self._offline[name] = Offline(account, since)
            self._forget_oldest()

    def offline_names(self) -> list[tuple[Label, Offline]]:
        """What is remembered, the oldest first."""
        return list(self._offline.items())

    def _forget_oldest(self) -> None:
        for name in first_keys(self._offline, len(self._offline) - self._limits.offline_names_max):
            self._offline.pop(name, None)

    def _refusal(self, asked: Claim, current: Lease | None, now: Instant) -> ClaimError | None:
        if not self._sessions.is_live(asked.session):
            return SessionGone(asked.session)
        if current is not None:
            if current.token_id != asked.token.token_id:
                return NameTaken(asked.name, current.since)
            return Overtaken(asked.name, current.session) if asked.session < current.session else None
        gone = self._offline.get(asked.name)
        is_kept = gone is not None and now - gone.since < self._limits.lease_lapse_seconds
        if gone is not None and is_kept and gone.account != asked.token.account:
            return NameTaken(asked.name, gone.since)
        if self._names_of_token.get(asked.token.token_id, 0) >= asked.token.names_max:
            return TooManyNames(asked.token.names_max)
        return None

    def _attach(self, lease: Lease) -> None:
        self._leases[lease.name] = lease
        names = self._names_of_session.get(lease.session)
        if names is None:
            self._names_of_session[lease.session] = {lease.name}
        else:
            names.add(lease.name)
        self._names_of_token[lease.token_id] = self._names_of_token.get(lease.token_id, 0) + 1

    def _detach(self, lease: Lease) -> None:
        self._leases.pop(lease.name, None)
        names = self._names_of_session.get(lease.session, set())
        names.discard(lease.name)
        if not names:
            self._names_of_session.pop(lease.session, None)
        left = self._names_of_token.get(lease.token_id, 0) - 1
        if left > 0:
            self._names_of_token[lease.token_id] = left
        else:
            self._names_of_token.pop(lease.token_id, None)
