"""Which leases wait for a public TCP port, and what the supervisor has to do about ports, in order.

Sockets are no business of the core: an order goes out, and its answer decides whether the lease is announced.
"""

from typing import Final, TypeAlias, final

from tunnel.core.base.ids import Epoch
from tunnel.core.route.lease import Lease
from tunnel.core.token.token import EndpointKind


@final
class PortWanted:
    """A lease needs a port, `wanted` or with 0 any; answered by `on_port` or `on_no_port` of the registry."""

    def __init__(self, lease: Lease, wanted: int) -> None:
        self.lease: Final = lease
        self.wanted: Final = wanted


@final
class PortLeft:
    """A lease that had a port, or was to have one, has ended; `for_good` when it was given up."""

    def __init__(self, lease: Lease, *, for_good: bool) -> None:
        self.lease: Final = lease
        self.for_good: Final = for_good


PortOrder: TypeAlias = PortWanted | PortLeft


@final
class PortDesk:
    """Leases of other kinds than TCP pass it by. It lives as long as the registry."""

    def __init__(self) -> None:
        self._waiting: Final[set[Epoch]] = set()
        self._orders: list[PortOrder] = []

    def want(self, lease: Lease, wanted: int) -> None:
        """A lease is decided; said before those that it replaces leave, so that a port stays open as it passes on."""
        if lease.kind is EndpointKind.TCP:
            self._waiting.add(lease.epoch)
            self._orders.append(PortWanted(lease, wanted))

    def is_waiting(self, epoch: Epoch) -> bool:
        """Whether the lease cannot be announced yet."""
        return epoch in self._waiting

    def settle(self, epoch: Epoch) -> None:
        """It has its port, or needs none any more."""
        self._waiting.discard(epoch)

    def leave(self, lease: Lease, *, for_good: bool) -> None:
        """A lease has ended."""
        if lease.kind is EndpointKind.TCP:
            self._waiting.discard(lease.epoch)
            self._orders.append(PortLeft(lease, for_good=for_good))

    def poll_orders(self) -> list[PortOrder]:
        """What to do, handed over once."""
        orders, self._orders = self._orders, []
        return orders
