"""Who a connection to the TLS port is for, by its ClientHello alone: an agent, the edge, or somebody's own TLS."""

from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tunnel.core.tls.hello import ClientHello

AGENT_PROTOCOL: Final = b"tunnel/1"
EDGE_PROTOCOL: Final = b"http/1.1"

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
class ForNobody:
    """It cannot be served; `alert` is what TLS calls the reason."""

    alert: int


Arrival: TypeAlias = ForAgents | ForEdge | ForNobody


def arrival_of(hello: ClientHello) -> Arrival:
    """Where a connection with this hello belongs.

    `tunnel/1` makes an agent, whatever else is offered. A visitor that offers protocols and not HTTP/1.1 would
    otherwise be answered in a language it did not ask for, so it is told (RFC 7301 section 3.2).
    """
    if AGENT_PROTOCOL in hello.protocols:
        return ForAgents()
    if hello.protocols and EDGE_PROTOCOL not in hello.protocols:
        return ForNobody(NO_APPLICATION_PROTOCOL)
    return ForEdge()
