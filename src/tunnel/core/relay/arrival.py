"""Who a connection to the TLS port is for, by its ClientHello alone: an agent, the edge, or somebody's own TLS."""

from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tunnel.core.base.ids import Instant, Label
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.base.partial import item_at
from tunnel.core.route.name import name_in_zone
from tunnel.core.route.table import Offline, RouteTable
from tunnel.core.tls.hello import ClientHello
from tunnel.core.token.token import EndpointKind

AGENT_PROTOCOL: Final = b"tunnel/1"
EDGE_PROTOCOL: Final = b"http/1.1"

UNRECOGNIZED_NAME: Final = 112
"""RFC 6066 section 3."""
NO_APPLICATION_PROTOCOL: Final = 120
"""RFC 7301 section 3.2."""
DECODE_ERROR: Final = 50
"""RFC 8446 section 6.2."""


@final
@dataclass(frozen=True, slots=True)
class ForAgents:
    """It wants to be a link."""


@final
@dataclass(frozen=True, slots=True)
class ForEdge:
    """A visitor whose requests we read: TLS ends here."""


@final
@dataclass(frozen=True, slots=True)
class ForOwner:
    """TLS of the local service behind this name: it passes unopened."""

    name: Label


@final
@dataclass(frozen=True, slots=True)
class ForNobody:
    """It cannot be served; `alert` is what TLS calls the reason."""

    alert: int


Arrival: TypeAlias = ForAgents | ForEdge | ForOwner | ForNobody


def arrival_of(hello: ClientHello, table: RouteTable, zone: str, now: Instant) -> Arrival:
    """Where a connection with this hello belongs.

    `tunnel/1` makes an agent, whatever else is offered. A name whose TLS is its owner's is never opened here, also not
    while its agent is away: our certificate may well be valid for it, and its visitors would tell us their secrets.
    A visitor of the edge that offers protocols and not HTTP/1.1 would be answered in a language it did not ask for,
    so it is told (RFC 7301 section 3.2).
    """
    if AGENT_PROTOCOL in hello.protocols:
        return ForAgents()
    name = name_in_zone(hello.server_name, zone)
    if isinstance(name, Success):
        held = item_at(table.members(value_of(name)), 0)
        if held is not None and held.kind is EndpointKind.TLS:
            return ForOwner(value_of(name))
        gone = table.find(value_of(name), now)
        if isinstance(gone, Offline) and gone.kind is EndpointKind.TLS:
            return ForNobody(UNRECOGNIZED_NAME)
    if hello.protocols and EDGE_PROTOCOL not in hello.protocols:
        return ForNobody(NO_APPLICATION_PROTOCOL)
    return ForEdge()
