"""Public TCP ports of a server that is one process: a listener for each that has a lease.

It is opened with the first lease and closed with the last. The table of ports is the core's (`core/route/ports.py`);
here are the sockets. A server of several workers has `openings.py` and `worker_ports.py` in its place.
"""

import socket
from typing import Final, final

from tunnel.core.base.ids import Label
from tunnel.core.base.outcome import Outcome, Success, value_of
from tunnel.core.policy.ip import Block
from tunnel.core.route.granting import Denial
from tunnel.core.route.lease import Lease
from tunnel.core.route.ports import Ports
from tunnel.core.token.token import EndpointKind
from tunnel.drive.address import Address
from tunnel.drive.callbacks import Callbacks
from tunnel.drive.handover import Handovers
from tunnel.drive.listener import Listener, Place
from tunnel.server.hub import Hub
from tunnel.server.port_claims import claim_port
from tunnel.server.raw import RawConnection
from tunnel.server.upstream import Introduced, Upstreams


@final
class PortListeners:
    """Listening sockets at which visitors of one name come in, by number. Finished after `stop`."""

    def __init__(self, hub: Hub, handovers: Handovers, trusted: tuple[Block, ...] = ()) -> None:
        self._hub: Final = hub
        self._handovers: Final = handovers
        self._trusted: Final = trusted
        self._listeners: Final[dict[int, Listener]] = {}

    def __contains__(self, number: object) -> bool:
        """Whether visitors come in there."""
        return number in self._listeners

    def open(self, number: int, sockets: list[socket.socket], name: Label) -> None:
        """Let visitors of `name` in at these sockets."""
        door = Upstreams(self._hub, self._trusted, _TcpDoor(self._hub, self._handovers, name))
        self._listeners[number] = Listener(sockets, door)

    def close(self, number: int) -> None:
        """Let nobody in there any more; who is in stays."""
        listener = self._listeners.pop(number, None)
        if listener is not None:
            listener.stop()

    def stop(self) -> None:
        """Let nobody in any more, anywhere."""
        for listener in self._listeners.values():
            listener.stop()
        self._listeners.clear()


@final
class TcpPorts:
    """The TCP ports of one process. Finished after `stop`."""

    def __init__(self, hub: Hub, listeners: PortListeners, places: list[Place], ports: Ports) -> None:
        self._hub: Final = hub
        self._places: Final = places
        self._ports: Final = ports
        self._listeners: Final = listeners

    def open(self, lease: Lease, wanted: int) -> Outcome[int, Denial]:
        """The port on which the lease is served from now on, or why there is none; then nothing is left of the try."""
        claimed = claim_port(self._ports, self._places, lease, wanted, self._hub.clock.now(), self._listeners)
        if not isinstance(claimed, Success):
            return claimed
        port, sockets = value_of(claimed).port, value_of(claimed).sockets
        if sockets:
            self._listeners.open(port, sockets, lease.name)
        return Success(port)

    def close(self, lease: Lease, *, for_good: bool) -> None:
        """The lease is over. Without another lease of its name nobody is let in any more; who is in stays."""
        self._listeners.close(self._ports.release(lease, self._hub.clock.now(), for_good=for_good))

    def stop(self) -> None:
        """Let nobody in any more, at any port."""
        self._listeners.stop()


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
