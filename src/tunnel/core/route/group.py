"""The leases that answer for one name together, and which of them takes the next request (ADR 0037)."""

from collections.abc import Sequence
from typing import Final, TypeAlias, final

from tunnel.core.base.ids import Epoch, Instant, SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.route.health import Health
from tunnel.core.route.lease import Lease
from tunnel.core.token.token import TokenId, ids_of

Spent: TypeAlias = Lease | Health
"""What an exchange has tried in vain: one link, or the local service behind all links of an agent."""


@final
class Group:
    """One or more leases of one name. Finished when it is empty."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._turn = 0
        self.members: list[Lease] = []
        """In the order of their epochs."""
        self.only: Lease | None = None
        """The lease, where there is one alone that may serve: the usual case has nothing to choose."""
        self.overtaken: list[tuple[TokenId, bytes]] = []
        """Agent processes that lost the name to the present holder, and until which session that holds."""
        self.overtaken_until = SessionId(0)

    def join(self, lease: Lease) -> None:
        """One more answers."""
        self.members.append(lease)
        self.refresh()

    def leave(self, lease: Lease) -> None:
        """One fewer does."""
        self.members = [member for member in self.members if member is not lease]
        self.refresh()

    def refresh(self) -> None:
        """Look anew whether there is anything to choose: members or their health have changed."""
        self.only = None
        if len(self.members) == 1:
            for lease in self.members:
                if not lease.health.is_down:
                    self.only = lease

    def member(self, epoch: Epoch) -> Lease | None:
        """The lease of that epoch, if it is in force."""
        for lease in self.members:
            if lease.epoch == epoch:
                return lease
        return None

    def has_token(self, token: TokenId) -> bool:
        """Whether a lease of that token, or of one narrowed from it, is among them."""
        return any(token in ids_of(lease.token) for lease in self.members)

    def health_for(self, token: TokenId, instance: bytes) -> Health:
        """That of an agent process, which all its links share."""
        for lease in self.members:
            if lease.instance == instance and lease.token_id == token:
                return lease.health
        return Health(self._limits)

    def others_serve(self, health: Health) -> bool:
        """Whether a sound local service is there besides the one of `health`."""
        return any(lease.health is not health and lease.health.is_sound for lease in self.members)

    def choose(self, now: Instant, preferred: Lease | None, spent: Sequence[Spent]) -> Lease | None:
        """A member that has the fewest exchanges running, or None when all are down or spent.

        One whose link is another worker's counts as if it had one more. Among equals it is `preferred`, or else the
        next in turn. One that was put aside and is due goes first, as only a request can tell whether it is back; the
        others that are aside serve when there is nobody else.
        """
        best: Lease | None = None
        aside: Lease | None = None
        for lease in self._in_turn():
            health = lease.health
            if health.is_down or lease in spent or health in spent:
                continue
            if health.is_due(now):
                health.on_tried(now)
                return lease
            if health.is_aside:
                aside = _better(aside, lease, None)
            else:
                best = _better(best, lease, preferred)
        return best or aside

    def _in_turn(self) -> list[Lease]:
        turn = self._turn
        self._turn = turn + 1 if turn + 1 < len(self.members) else 0
        return self.members[turn:] + self.members[:turn]


def _better(best: Lease | None, lease: Lease, preferred: Lease | None) -> Lease:
    """The one with less to do; at equality the first, unless the second is preferred."""
    if best is None:
        return lease
    load, least = lease.outstanding + lease.distance, best.outstanding + best.distance
    return lease if load < least or (lease is preferred and load == least) else best
