"""Leases that are over while their visitors are not: a name that was given up has its end all the same."""

from collections.abc import Iterable
from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Success
from tunnel.core.directory.decisions import may_hold
from tunnel.core.directory.directory import Directory
from tunnel.core.route.table import Lease
from tunnel.drive.link import Link
from tunnel.server.exposure import cut_tenants, is_past
from tunnel.server.parties import Tenant


@final
class Outlived:
    """Leases that were given up, withdrawn or moved while visitors were on them: these end when the time or right does.

    It lives as long as its link, and holds no more leases than there are streams of visitors.
    """

    def __init__(self, link: Link) -> None:
        self._link: Final = link
        self.leases: list[Lease] = []

    def keep(self, given_up: Iterable[Lease]) -> None:
        """Look after those that are still visited; what nobody visits any more is forgotten."""
        tenants = [handler for handler in self._link.handlers() if isinstance(handler, Tenant)]
        known = [*self.leases, *given_up]
        self.leases = [lease for lease in known if any(tenant.holds(lease) for tenant in tenants)]

    def end(self, now: Instant) -> None:
        """Cut what runs beyond its time."""
        for lease in [each for each in self.leases if is_past(each, now)]:
            lease.has_lapsed = True
            self._cut(lease, now)

    def judge(self, directory: Directory, now: Instant) -> None:
        """Cut what runs under a name that is another account's now; its agent gave it up, and is told nothing."""
        for lease in list(self.leases):
            if not isinstance(may_hold(directory, lease.token, lease.name), Success):
                self._cut(lease, now)

    def _cut(self, lease: Lease, now: Instant) -> None:
        self.leases.remove(lease)
        cut_tenants(self._link, lease, now)
