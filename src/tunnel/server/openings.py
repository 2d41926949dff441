"""The public TCP ports of a server of several workers: the supervisor listens, and hands each worker the same sockets.

A socket of one queue that all workers accept from, unlike those of the public door (`slots.py`): a worker that ends
takes nobody's connection with it, and a port accepts everywhere from the moment it is bound (ADR 0078).
"""

import socket
from typing import Final, final

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.core.cluster.ports import PortLeft, PortOrder, PortWanted
from tunnel.core.cluster.registry import ClusterRegistry
from tunnel.core.route.granting import Denial
from tunnel.core.route.ports import Ports
from tunnel.drive.listener import Place
from tunnel.ports import Clock
from tunnel.server.port_claims import ClaimedPort, claim_port
from tunnel.server.settings import NO_PORTS, PortRange


@final
class Opening:
    """One port that is open; a port that is opened again is another opening."""

    def __init__(self, number: int, sockets: list[socket.socket]) -> None:
        self.number: Final = number
        self.sockets: Final = sockets


@final
class Openings:
    """Finished after `close`, when no port is open any more."""

    def __init__(self, registry: ClusterRegistry, limits: Limits, places: list[Place], clock: Clock) -> None:
        self._registry: Final = registry
        self._places: Final = places
        self._clock: Final = clock
        self._ports: Final = Ports(limits, NO_PORTS.low, NO_PORTS.high)
        self._open: Final[dict[int, Opening]] = {}
        self._fresh: list[Opening] = []
        self._begun = 0

    @property
    def all(self) -> list[Opening]:
        """Those that are open, for a worker that begins."""
        return list(self._open.values())

    def give_out(self, ports: PortRange | None) -> None:
        """Give out these ports from now on; who has another keeps it."""
        wide = ports or NO_PORTS
        self._ports.change_range(wide.low, wide.high)

    def obey(self, order: PortOrder) -> None:
        """Do what the registry asks for, and tell it what came of it."""
        match order:
            case PortWanted(lease=lease, wanted=wanted):
                claimed = claim_port(self._ports, self._places, lease, wanted, self._clock.now(), self._open)
                self._answer(order, claimed)
            case PortLeft(lease=lease, for_good=for_good):
                port = self._ports.release(lease, self._clock.now(), for_good=for_good)
                opening = self._open.pop(port, None)
                for each in [] if opening is None else opening.sockets:
                    each.close()

    def poll_fresh(self) -> list[Opening]:
        """Those opened since this was last asked: every worker gets them before it hears of their lease."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def close(self) -> None:
        """Let nobody in any more."""
        for opening in self._open.values():
            for each in opening.sockets:
                each.close()
        self._open.clear()

    def _answer(self, order: PortWanted, claimed: Outcome[ClaimedPort, Denial]) -> None:
        if not isinstance(claimed, Success):
            self._registry.on_no_port(order.lease, error_of(claimed))
            return
        port, sockets = value_of(claimed).port, value_of(claimed).sockets
        if port not in self._open:
            self._begun += 1
            self._open[port] = Opening(self._begun, sockets)
            self._fresh.append(self._open[port])
        self._registry.on_port(order.lease, port, self._open[port].number)
