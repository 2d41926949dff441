"""Who answers for a name: a group of leases, each of a newer generation than those before it.

Usually it is one. It is more when one agent holds several links, or when several agents of an account asked to share
(ADR 0037). An older session never takes back what a newer one of the same token holds, and nothing that an ended
session does later changes anything (known bug B3). The table asks no clock, and the same calls give the same table.
"""

from collections.abc import Sequence
from typing import Final, final

from tunnel.core.base.ids import Epoch, Instant, Label, SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import first_keys
from tunnel.core.directory.toll import Tolls
from tunnel.core.link.messages import Share
from tunnel.core.policy.rules import OPEN
from tunnel.core.route.errors import (
    ClaimError,
    NameTaken,
    Overtaken,
    SessionGone,
    TooManyMembers,
    TooManyNames,
    TooManySessions,
)
from tunnel.core.route.group import Group, Spent
from tunnel.core.route.lease import Claim, Claimed, Lease
from tunnel.core.route.sessions import Opened, Sessions
from tunnel.core.token.token import AccountId, EndpointKind, Token, TokenId, bounds_of, ids_of

__all__ = ("Claim", "Claimed", "Lease", "Offline", "RouteTable", "Unhealthy")


@final
class Offline:
    """A name that had an agent until `since`, and whose account comes first for a while.

    What kind of endpoint it was is remembered, too: TLS that was passed through is not opened meanwhile.
    """

    def __init__(
        self,
        account: AccountId,
        since: Instant,
        kind: EndpointKind = EndpointKind.HTTP,
        *,
        has_lapsed: bool = False,
    ) -> None:
        self.has_lapsed: Final = has_lapsed
        """Its time was over, and no agent is to be expected."""
        self.account: Final = account
        self.since: Final = since
        self.kind: Final = kind


@final
class Unhealthy:
    """A name whose agents are there, and all say that their local service fails its checks."""


_UNHEALTHY: Final = Unhealthy()


@final
class RouteTable:
    """Leases by name and by session, and the names that were served lately."""

    def __init__(self, limits: Limits, tolls: Tolls | None = None) -> None:
        self._limits: Final = limits
        self._sessions: Final = Sessions(limits)
        self._epoch = Epoch(0)
        self._groups: dict[Label, Group] = {}
        self._names_of_session: dict[SessionId, set[Label]] = {}
        self._names_of_token: dict[TokenId, int] = {}
        """Of each token with all that was narrowed from it (TOKEN-RIGHT-004)."""
        self._names_of_account: dict[AccountId, int] = {}
        self.tolls: Final = Tolls() if tolls is None else tolls
        self._offline: dict[Label, Offline] = {}  # in the order of `since`

    def open_session(
        self, session: SessionId, token: Token, instance: bytes, link: int = 0
    ) -> Outcome[Opened, TooManySessions]:
        """Let a session claim names from now on; sessions are numbered in rising order and never reused.

        `Opened.retired` is what the same agent had as this `link` before: it claims nothing more, but keeps what it has
        until the new one takes it or `drop_session` ends it.
        """
        return self._sessions.open(session, token, instance, link)

    def claim(self, asked: Claim, now: Instant) -> Outcome[Claimed, ClaimError]:
        """A lease of the next epoch, with those that it replaces.

        It joins the holders when they are links of the same agent or when all want to share; otherwise the same token
        takes its name over at once, and another is refused.
        """
        instance = self._sessions.instance_of(asked.session)
        if instance is None:
            return Failure(SessionGone(asked.session))
        group = self._groups.get(asked.name) or Group(self._limits)
        is_joining = _may_join(asked, instance, group.members)
        fenced = self._own_past(asked, instance, group.members) if is_joining else group.members
        refused = self._refusal(asked, group, fenced, now) if is_joining else _overtaken(asked, instance, group)
        if refused is not None:
            return Failure(refused)
        if not is_joining:
            self._note_overtaken(group)
        health = group.health_for(asked.token.token_id, instance)
        for lease in fenced:
            self._detach(group, lease)
        self._epoch = Epoch(self._epoch + 1)
        granted = Lease(asked, self._epoch, now, instance, health)
        self._attach(group, granted)
        return Success(Claimed(granted, tuple(fenced)))

    def find(self, name: Label, now: Instant, preferred: Lease | None = None) -> Lease | Unhealthy | Offline | None:
        """Who answers for the name: a lease, nobody for the moment, or nobody that is remembered.

        Of several leases it is one with the fewest exchanges running; `preferred`, if that is one of those.
        """
        group = self._groups.get(name)
        if group is not None:
            return group.only or group.choose(now, preferred, ()) or _UNHEALTHY
        gone = self._offline.get(name)
        if gone is None or now - gone.since >= self._limits.offline_remembered_seconds:
            return None
        return gone

    def another(self, name: Label, now: Instant, spent: Sequence[Spent]) -> Lease | None:
        """A lease of the name apart from what was tried in vain."""
        group = self._groups.get(name)
        return None if group is None else group.choose(now, None, spent)

    def is_shared(self, name: Label) -> bool:
        """Whether more than one lease answers for the name."""
        group = self._groups.get(name)
        return group is not None and len(group.members) > 1

    def is_current(self, lease: Lease) -> bool:
        """Whether this very generation of the name is in force."""
        group = self._groups.get(lease.name)
        return group is not None and group.member(lease.epoch) is not None

    def members(self, name: Label) -> list[Lease]:
        """All leases of the name, the oldest first."""
        group = self._groups.get(name)
        return [] if group is None else group.members

    def endpoints_besides(self, name: Label, account: AccountId) -> int:
        """How many other names are answered by agents of the account."""
        held = self._names_of_account.get(account, 0)
        group = self._groups.get(name)
        is_among = group is not None and any(lease.account == account for lease in group.members)
        return held - 1 if is_among else held

    def accounts(self) -> list[AccountId]:
        """Whose agents answer for a name."""
        return list(self._names_of_account)

    def withdraw(self, name: Label, epoch: Epoch) -> Lease | None:
        """Give a lease up for good: with the last one the name is free for anyone. None when it is not in force."""
        group = self._groups.get(name)
        lease = None if group is None else group.member(epoch)
        if group is not None and lease is not None:
            self._detach(group, lease)
            self._forget_empty(group, name)
        return lease

    def drop_session(self, session: SessionId, now: Instant) -> list[Lease]:
        """End a session and return the leases that ended with it, by name; a name that nobody else answers is offline.

        A second call returns nothing, and what a newer session has taken over meanwhile is not touched.
        """
        self._sessions.close(session)
        dropped: list[Lease] = []
        for name in sorted(self._names_of_session.get(session, ())):
            group = self._groups.get(name)
            for lease in [] if group is None else group.members:
                if group is not None and lease.session == session:
                    dropped.append(lease)
                    self._detach(group, lease)
                    if self._forget_empty(group, name):
                        self._offline[name] = Offline(lease.account, now, lease.kind)
        self._forget_oldest()
        return dropped

    def on_local_failed(self, lease: Lease, now: Instant) -> bool:
        """No connection to the local service behind the lease was made. True when that puts it aside for a while."""
        group = self._groups.get(lease.name)
        others_serve = group is not None and group.others_serve(lease.health)
        return lease.health.on_failed(now, others_serve=others_serve)

    def on_health(self, lease: Lease, *, is_up: bool) -> bool:
        """The agent says whether its local service passes its checks. True when that is news."""
        is_news = lease.health.report(is_up=is_up)
        group = self._groups.get(lease.name)
        if group is not None:
            group.refresh()
        return is_news

    def leases(self) -> list[Lease]:
        """All leases in force, by name and then by epoch."""
        return [lease for name in sorted(self._groups) for lease in self.members(name)]

    def offline_count(self) -> int:
        """How many names are remembered as offline; never more than `limits.offline_names_max`."""
        return len(self._offline)

    def forget_offline(self, name: Label, account: AccountId) -> None:
        """Keep a name no longer for whoever had it before, unless that was `account`."""
        gone = self._offline.get(name)
        if gone is not None and gone.account != account:
            self._offline.pop(name, None)

    # A replica: the table of a process that is told by another one what holds.

    def lease_for(self, claim: Claim, epoch: Epoch, since: Instant, instance: bytes) -> Lease:
        """A lease that was granted elsewhere to an agent process, whose health its other links here share."""
        group = self._groups.get(claim.name) or Group(self._limits)
        return Lease(claim, epoch, since, instance, group.health_for(claim.token.token_id, instance))

    def install(self, lease: Lease) -> None:
        """Let a lease that was granted elsewhere be in force here."""
        self.remove(lease.name, lease.epoch)
        self._attach(self._groups.get(lease.name) or Group(self._limits), lease)

    def remove(self, name: Label, epoch: Epoch) -> Lease | None:
        """End a lease because it has ended elsewhere; None when it is not in force here."""
        return self.withdraw(name, epoch)

    def note_lapsed(self, lease: Lease, now: Instant) -> None:
        """Remember that the time of a name is over, unless somebody answers for it."""
        self.note_offline(lease.name, lease.account, now, lease.kind, has_lapsed=True)

    def note_offline(
        self,
        name: Label,
        account: AccountId,
        since: Instant,
        kind: EndpointKind = EndpointKind.HTTP,
        *,
        has_lapsed: bool = False,
    ) -> None:
        """Remember a name that has no agent, unless it has one here."""
        if name not in self._groups:
            self._offline[name] = Offline(account, since, kind, has_lapsed=has_lapsed)
            self._forget_oldest()

    def offline_names(self) -> list[tuple[Label, Offline]]:
        """What is remembered, the oldest first."""
        return list(self._offline.items())

    def _forget_oldest(self) -> None:
        for name in first_keys(self._offline, len(self._offline) - self._limits.offline_names_max):
            self._offline.pop(name, None)

    def _refusal(self, asked: Claim, group: Group, own_past: list[Lease], now: Instant) -> ClaimError | None:
        """Why the name is not given to one more, or to the first."""
        if len(group.members) - len(own_past) >= self._limits.members_per_name_max:
            return TooManyMembers(asked.name, self._limits.members_per_name_max)
        if group.has_token(asked.token.token_id):
            return None
        gone = self._offline.get(asked.name)
        is_kept = gone is not None and now - gone.since < self._limits.lease_lapse_seconds
        if gone is not None and is_kept and gone.account != asked.token.account:
            return NameTaken(asked.name, gone.since)
        for bound in bounds_of(asked.token):
            if self._names_of_token.get(bound.token_id, 0) >= bound.names_max and not group.has_token(bound.token_id):
                return TooManyNames(bound.names_max)
        return None

    def _note_overtaken(self, group: Group) -> None:
        """The agents that are told now that they lose the name do not take it back over their other links.

        One whose link is dead hears nothing of it and dials again: then its session is newer, and it does.
        """
        live = [lease for lease in group.members if self._sessions.instance_of(lease.session) is not None]
        group.overtaken = [(lease.token_id, lease.instance) for lease in live]
        group.overtaken_until = self._sessions.latest

    def _own_past(self, asked: Claim, instance: bytes, members: list[Lease]) -> list[Lease]:
        """What the session, or the one that it retired, held of the name until now."""
        return [
            lease
            for lease in members
            if _is_of(lease, asked.token.token_id, instance)
            and (lease.session == asked.session or self._sessions.instance_of(lease.session) is None)
        ]

    def _attach(self, group: Group, lease: Lease) -> None:
        for token_id in ids_of(lease.token):
            if not group.has_token(token_id):
                self._names_of_token[token_id] = self._names_of_token.get(token_id, 0) + 1
        if not group.members:
            self._names_of_account[lease.account] = self._names_of_account.get(lease.account, 0) + 1
        lease.toll = self.tolls.toll(lease.account)
        group.join(lease)
        self._groups[lease.name] = group
        names = self._names_of_session.get(lease.session)
        if names is None:
            self._names_of_session[lease.session] = {lease.name}
        else:
            names.add(lease.name)
        self._offline.pop(lease.name, None)

    def _detach(self, group: Group, lease: Lease) -> None:
        group.leave(lease)
        names = self._names_of_session.get(lease.session, set())
        names.discard(lease.name)
        if not names:
            self._names_of_session.pop(lease.session, None)
        if not group.members:
            self._leave_account(lease.account)
        for token_id in ids_of(lease.token):
            left = self._names_of_token.get(token_id, 0) - 1
            if group.has_token(token_id):
                continue
            if left > 0:
                self._names_of_token[token_id] = left
            else:
                self._names_of_token.pop(token_id, None)

    def _leave_account(self, account: AccountId) -> None:
        left = self._names_of_account.get(account, 0) - 1
        if left > 0:
            self._names_of_account[account] = left
        else:
            self._names_of_account.pop(account, None)
            self.tolls.leave(account)

    def _forget_empty(self, group: Group, name: Label) -> bool:
        if group.members:
            return False
        self._groups.pop(name, None)
        return True


def _is_of(lease: Lease, token: TokenId, instance: bytes) -> bool:
    return lease.instance == instance and lease.token_id == token


def _may_join(asked: Claim, instance: bytes, members: list[Lease]) -> bool:
    """Whether the claim is for a place beside the holders: each is a link of the same agent, or wants to share too.

    All of a name have one policy, or the choice among them would decide who may come in (POLICY-POOL-001).
    """
    for lease in members:
        policy = OPEN if lease.policy is None else lease.policy
        if lease.kind is not asked.kind or policy != asked.policy:
            return False
        is_shared = lease.share is Share.POOL and asked.share is Share.POOL and lease.account == asked.token.account
        if not is_shared and not _is_of(lease, asked.token.token_id, instance):
            return False
    return True


def _overtaken(asked: Claim, instance: bytes, group: Group) -> ClaimError | None:
    """Why the name is not taken from its holders."""
    token = asked.token.token_id
    for lease in group.members:
        if lease.token_id != token:
            return NameTaken(asked.name, lease.since)
    newest = SessionId(0)
    for lease in group.members:
        newest = max(newest, lease.session)
    was_overtaken = (token, instance) in group.overtaken and asked.session <= group.overtaken_until
    return Overtaken(asked.name, newest) if was_overtaken or asked.session < newest else None
