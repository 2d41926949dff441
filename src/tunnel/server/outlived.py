"""Leases that are over while their visitors are not: a name that was given up has its end all the same."""

from collections.abc import Iterable
from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.route.table import Lease
from tunnel.drive.link import Link
from tunnel.server.exposure import cut_tenants, is_past
from tunnel.server.parties import Tenant


@final
class Outlived:
    """Leases that were given up, withdrawn or moved while visitors were on them: these end when the time does.

    It lives as long as its link, and holds no more leases than there are streams of visitors.
    """

    def __init__(self, link: Link) -> None:
        self._link: Final = link
        self.leases: list[Lease] = []

    def keep(self, given_up: Iterable[Lease]) -> None:
        """Look after those that have an end and are still visited; what nobody visits any more is forgotten."""
        tenants = [handler for handler in self._link.handlers() if isinstance(handler, Tenant)]
        known = [lease for lease in (*self.leases, *given_up) if lease.ends_at is not None]
        self.leases = [lease for lease in known if any(tenant.holds(lease) for tenant in tenants)]

    def end(self, now: Instant) -> None:
        """Cut what runs beyond its time."""
        for lease in [each for each in self.leases if is_past(each, now)]:
            self.leases.remove(lease)
            lease.has_lapsed = True
            cut_tenants(self._link, lease, now)
