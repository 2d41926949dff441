"""Public TCP ports of one worker of several: it accepts at sockets that its supervisor has opened and handed over.

Two things must have come, in either order: the sockets, and the lease that says whose visitors these are. Until then
who connects waits in the system's queue, which all workers share.
"""

import socket
from typing import Final, final

from tunnel.core.base.ids import Label
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.cluster.replica import PortOver, PortServed, Replica
from tunnel.core.link.messages import DenialCode
from tunnel.core.route.granting import Denial
from tunnel.core.route.lease import Lease
from tunnel.drive.parcels import ParcelReader
from tunnel.server.tcp_ports import PortListeners


@final
class WorkerPorts:
    """The TCP ports of one worker. Finished after `stop`; then sockets that still come are closed."""

    def __init__(self, replica: Replica, parcels: socket.socket) -> None:
        self._replica: Final = replica
        self._parcels: Final = ParcelReader(parcels, self)
        self._listeners: PortListeners | None = None
        self._sockets: Final[dict[int, list[socket.socket]]] = {}
        """Those that are not accepted at yet, by opening."""
        self._names: Final[dict[int, Label]] = {}
        """Whose visitors come in at an opening, while a lease says so."""
        self._given_up: Final[set[int]] = set()
        """Openings that were over before their sockets came."""
        self._is_stopped = False

    # For the sessions of this worker.

    def open(self, lease: Lease, wanted: int) -> Outcome[int, Denial]:
        """The port that the supervisor has given the lease; it accepted before the lease was announced."""
        port = self._replica.port_of(lease)
        return Success(port) if port else Failure(Denial(DenialCode.NO_PORT, "The server gave this lease no port."))

    def close(self, lease: Lease, *, for_good: bool) -> None:
        """Nothing: the supervisor says when a port is over."""

    # The supervisor's words.

    def on_served(self, word: PortServed) -> None:
        """A lease of this opening is in force."""
        self._names[word.opening] = word.name
        self._join(word.opening)

    def on_over(self, word: PortOver) -> None:
        """The last one has ended: nobody is let in any more; who is in stays."""
        self._names.pop(word.opening, None)
        waiting = self._sockets.pop(word.opening, None)
        if self._listeners is not None and word.opening in self._listeners:
            self._listeners.close(word.opening)
        elif waiting is None:
            self._given_up.add(word.opening)
        else:
            _close(waiting)

    def on_parcel(self, number: int, sockets: list[socket.socket]) -> None:
        """The sockets of an opening."""
        if self._is_stopped or number in self._given_up:
            self._given_up.discard(number)
            _close(sockets)
        else:
            self._sockets[number] = sockets
            self._join(number)

    def on_no_more_parcels(self) -> None:
        """Nothing: that the supervisor is gone is said by the conversation with it."""

    # This worker's own life.

    def serve(self, listeners: PortListeners) -> None:
        """Accept from now on."""
        self._listeners = listeners
        for opening in list(self._names):
            self._join(opening)

    def stop(self) -> None:
        """Accept nothing more; the sockets stay open at the supervisor and the other workers."""
        self._is_stopped = True
        if self._listeners is not None:
            self._listeners.stop()
        for waiting in self._sockets.values():
            _close(waiting)
        self._sockets.clear()

    def leave(self) -> None:
        """Take no parcel any more."""
        self.stop()
        self._parcels.close()

    def _join(self, opening: int) -> None:
        name = self._names.get(opening)
        if name is not None and self._listeners is not None and opening in self._sockets:
            self._listeners.open(opening, self._sockets.pop(opening), name)


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
