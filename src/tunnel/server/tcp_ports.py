"""Public TCP ports: a listener for each that has a lease, opened with the first and closed with the last.

The table of ports is the core's (`core/route/ports.py`); here are the sockets. Whatever fails gives the port back in
the same breath (known bug B4).
"""

import socket
from typing import Final, final

from tunnel.core.base.ids import Label
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.messages import DenialCode
from tunnel.core.policy.ip import Block
from tunnel.core.route.granting import Denial
from tunnel.core.route.lease import Lease
from tunnel.core.route.ports import NoPorts, Ports, PortTaken, describe
from tunnel.core.token.token import EndpointKind
from tunnel.drive.address import Address
from tunnel.drive.callbacks import Callbacks
from tunnel.drive.handover import Handovers
from tunnel.drive.listener import Listener, Place, bind
from tunnel.server.hub import Hub
from tunnel.server.raw import RawConnection
from tunnel.server.upstream import Introduced, Upstreams

_TRIES_MAX: Final = 16
"""Ports that turn out to be another program's before a grant is given up."""


@final
class TcpPorts:
    """The TCP ports of one process. Finished after `stop`."""

    def __init__(
        self, hub: Hub, handovers: Handovers, places: list[Place], ports: Ports, trusted: tuple[Block, ...] = ()
    ) -> None:
        self._hub: Final = hub
        self._handovers: Final = handovers
        self._places: Final = places
        self._ports: Final = ports
        self._trusted: Final = trusted
        self._listeners: Final[dict[int, Listener]] = {}

    def open(self, lease: Lease, wanted: int) -> Outcome[int, Denial]:
        """The port on which the lease is served from now on, or why there is none; then nothing is left of the try."""
        now = self._hub.clock.now()
        for _ in range(_TRIES_MAX):
            claimed = self._ports.claim(lease, wanted, now)
            if not isinstance(claimed, Success):
                error = error_of(claimed)
                return Failure(Denial(_code_of(error), describe(error)))
            port = value_of(claimed)
            if port in self._listeners:
                return claimed
            bound = bind(self._places, port)
            if isinstance(bound, Success):
                door = Upstreams(self._hub, self._trusted, _TcpDoor(self._hub, self._handovers, lease.name))
                self._listeners[port] = Listener(value_of(bound), door)
                return claimed
            self._ports.note_foreign(lease, now)
            if wanted:
                detail = f"The system does not give out port {wanted}: {error_of(bound)}; choose another, or none."
                return Failure(Denial(DenialCode.PORT_TAKEN, detail))
        return Failure(Denial(DenialCode.NO_PORT, "Other programs have the ports that this server may give out."))

    def close(self, lease: Lease, *, for_good: bool) -> None:
        """The lease is over. Without another lease of its name nobody is let in any more; who is in stays."""
        port = self._ports.release(lease, self._hub.clock.now(), for_good=for_good)
        listener = self._listeners.pop(port, None)
        if listener is not None:
            listener.stop()

    def stop(self) -> None:
        """Let nobody in any more, at any port."""
        for listener in self._listeners.values():
            listener.stop()
        self._listeners.clear()


@final
class _TcpDoor:
    """Takes visitors of one name in."""

    def __init__(self, hub: Hub, handovers: Handovers, name: Label) -> None:
        self._hub: Final = hub
        self._handovers: Final = handovers
        self._name: Final = name

    def receive(self, accepted: socket.socket, peer: Address, told: Introduced | None = None) -> None:
        """A visitor, who is counted once it has a transport."""
        hub, name = self._hub, self._name
        self._handovers.hand_over(
            accepted, lambda: Callbacks(RawConnection(hub, name, EndpointKind.TCP, told)), None, self, 0.0
        )

    def on_handed_over(self, detail: str) -> None:
        """Nothing: a visitor that left before it was here is nobody's concern."""


def _code_of(error: object) -> DenialCode:
    if isinstance(error, NoPorts):
        return DenialCode.UNSUPPORTED_KIND
    return DenialCode.PORT_TAKEN if isinstance(error, PortTaken) else DenialCode.NO_PORT
