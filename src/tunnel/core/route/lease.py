"""Claims and leases: what a session asks for, and the right to answer for a name that it is given."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.ids import EndpointId, Epoch, Instant, Label, SessionId
from tunnel.core.directory.toll import Toll
from tunnel.core.link.messages import HostHeader, Share
from tunnel.core.policy.rules import OPEN, Policy
from tunnel.core.route.health import Health
from tunnel.core.token.token import EndpointKind, Token

_NOBODYS: Final = Toll()
"""Where leases count that are in force nowhere."""


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
    share: Share = Share.ALONE
    policy: Policy = OPEN
    ttl_seconds: int = 0
    """For how long it is to be exposed; 0 leaves that to the server."""


@final
class Lease:
    """The right of one endpoint of one session to answer for a name, until `RouteTable.is_current` says no.

    The token comes along, so that each stream asks the same parsed value that the grant was made from (B1, B2).
    `instance` is the agent process at the other end. Whoever runs an exchange (or a connection of another kind) on the
    lease counts it in `outstanding`, from its begin to its one end.
    """

    def __init__(self, claim: Claim, epoch: Epoch, since: Instant, instance: bytes, health: Health) -> None:
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
        self.share: Final = claim.share
        self.policy: Final = None if claim.policy == OPEN else claim.policy
        """What its visitors are asked for; None, as for most, is the one thing that a request has to look at."""
        self.since: Final = since
        self.instance: Final = instance
        self.health: Final = health
        self.outstanding = 0
        self.ttl_seconds: Final = claim.ttl_seconds
        self.ends_at: Instant | None = None
        """When its time is over, as the process knows that has its agent."""
        self.has_lapsed = False
        """Its time was over: what ran on it is told so."""
        self.toll = _NOBODYS
        """Where its account is counted; that of the table in which it is in force."""
        self.distance = 0
        """What a process in between adds to the exchanges that run: 1 where the link is another worker's."""


@final
class Claimed:
    """A claim that was granted. The endpoints of the leases in `fenced`, which it replaced, serve not another byte."""

    def __init__(self, lease: Lease, fenced: tuple[Lease, ...]) -> None:
        self.lease: Final = lease
        self.fenced: Final = fenced
