"""The public TCP ports of one process, as sessions see them; `tcp_ports.py` has them."""

from typing import Protocol, final

from tunnel.core.base.outcome import Failure, Outcome
from tunnel.core.link.messages import DenialCode
from tunnel.core.route.granting import Denial
from tunnel.core.route.ports import NoPorts, describe
from tunnel.core.route.table import Lease


class PublicPorts(Protocol):
    """The public TCP ports of this process."""

    def open(self, lease: Lease, wanted: int) -> Outcome[int, Denial]:
        """The port on which a lease is served from now on; with 0 wanted any, or the one it had."""

    def close(self, lease: Lease, *, for_good: bool) -> None:
        """The lease is over."""


@final
class NoPublicPorts:
    """A server that gives out none."""

    def open(self, lease: Lease, wanted: int) -> Outcome[int, Denial]:
        """Never."""
        return Failure(Denial(DenialCode.UNSUPPORTED_KIND, describe(NoPorts())))

    def close(self, lease: Lease, *, for_good: bool) -> None:
        """Nothing: there is none."""
