"""One claim of a public TCP port: what the table gives (`core/route/ports.py`) and the system lets us listen at."""

import socket
from collections.abc import Container
from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.messages import DenialCode
from tunnel.core.route.granting import Denial
from tunnel.core.route.lease import Lease
from tunnel.core.route.ports import NoPorts, PortError, Ports, PortTaken, describe
from tunnel.drive.listener import Place, bind

_TRIES_MAX: Final = 16
"""Ports that turn out to be another program's before a grant is given up."""


@final
@dataclass(frozen=True, slots=True)
class ClaimedPort:
    """A port of a lease, and the sockets that were bound for it; none where it was open already."""

    port: int
    sockets: list[socket.socket]


def claim_port(
    ports: Ports, places: list[Place], lease: Lease, wanted: int, now: Instant, is_open: Container[int]
) -> Outcome[ClaimedPort, Denial]:
    """The port of a lease, with 0 wanted any, or why there is none; then nothing is left of the try (known bug B4)."""
    for _ in range(_TRIES_MAX):
        claimed = ports.claim(lease, wanted, now)
        if not isinstance(claimed, Success):
            error = error_of(claimed)
            return Failure(Denial(_code_of(error), describe(error)))
        port = value_of(claimed)
        if port in is_open:
            return Success(ClaimedPort(port, []))
        bound = bind(places, port)
        if isinstance(bound, Success):
            return Success(ClaimedPort(port, value_of(bound)))
        ports.note_foreign(lease, now)
        if wanted:
            detail = f"The system does not give out port {wanted}: {error_of(bound)}; choose another, or none."
            return Failure(Denial(DenialCode.PORT_TAKEN, detail))
    return Failure(Denial(DenialCode.NO_PORT, "Other programs have the ports that this server may give out."))


def _code_of(error: PortError) -> DenialCode:
    if isinstance(error, NoPorts):
        return DenialCode.UNSUPPORTED_KIND
    return DenialCode.PORT_TAKEN if isinstance(error, PortTaken) else DenialCode.NO_PORT
