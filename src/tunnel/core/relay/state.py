"""What one public connection knows about itself; only the functions of this folder change it."""

from enum import Enum
from typing import Final, final

from tunnel.core.base.ids import Instant, Label, RequestId
from tunnel.core.base.limits import Limits
from tunnel.core.base.partial import hex_pair
from tunnel.core.http.forward import Visitor
from tunnel.core.policy.door import Caller, Door
from tunnel.core.relay.actions import Action
from tunnel.core.relay.exchange import Exchange
from tunnel.core.relay.leg import Leg
from tunnel.core.relay.request_side import RequestSide
from tunnel.core.relay.waits import Patience
from tunnel.core.route.table import RouteTable

_LAST_BITS: Final = 8
_LAST_MAX: Final = 255


@final
class Phase(Enum):
    """Where a connection stands."""

    BETWEEN = "between exchanges"
    EXCHANGE = "in an exchange"
    UPGRADED = "a pipe after 101"
    LINGERING = "answered; draining what still comes"
    CLOSING = "all is said; the visitor has yet to take the rest"
    CLOSED = "closed"


@final
class EdgeState:
    """The state of one public connection, shared by the steps on its requests, its responses and its ends."""

    def __init__(
        self, visitor: Visitor, table: RouteTable, zone: str, limits: Limits, id_prefix: str, now: Instant, door: Door
    ) -> None:
        self.visitor: Final = visitor
        self.table: Final = table
        self.zone: Final = zone
        self.limits: Final = limits
        self.id_prefix: Final = id_prefix
        self.door: Final = door
        self.secure_port: str | None = None
        """Where https answers, as `:port` or "" for its own; None where requests are answered here."""
        self.caller: Caller | None = None
        """The visitor as the door knows it; read from its address when the door first asks."""
        self.request: Final = RequestSide(limits)
        self.patience: Final = Patience(limits, now)
        self.actions: list[Action] = []
        self.phase = Phase.BETWEEN
        self.exchange: Exchange | None = None
        """Not None in an exchange and in the pipe that one became, and nowhere else."""
        self.leg: Leg | None = None
        self.host = ""
        self.name = Label("")
        """What `host`, that of the latest request, is called in the zone."""
        self.provenance_host = b""
        self.provenance = b""
        """What the local service is told of this visitor, for requests with this Host."""
        self.count, self.id_start = 0, ""
        """Requests begun, and what the names of the 256 around the last one begin with."""
        self.lingered = 0
        """Bytes drained since the last answer."""
        self.is_draining = False
        self.visitor_has_ended = False
        self.visitor_is_stuck = False
        """What we sent waits in front of the visitor."""
        self.origin_is_stuck = False
        """The stream holds as much unsent data as it may."""
        self.origin_is_owed = False
        """The rest of a request, or after a 101 our FIN, is still to be sent: to leave now is a reset."""
        self.origin_may_read_on = False
        """All is answered, yet the last of the request is on its way: a reset would overtake it, so FIN is sent."""

    def forget_leg(self) -> None:
        """The stream is gone, and what we knew of it."""
        self.leg = None
        self.origin_is_stuck = False
        self.origin_is_owed = False
        self.origin_may_read_on = False

    def next_request_id(self) -> RequestId:
        """A name that no other request has."""
        self.count += 1
        last = self.count & _LAST_MAX
        if last == 0 or not self.id_start:
            self.id_start = f"{self.id_prefix}{self.count >> _LAST_BITS:06x}"
        return RequestId(self.id_start + hex_pair(last))
