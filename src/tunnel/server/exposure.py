"""For how long an endpoint is exposed: its end is set when it is granted, looked for when the session's alarm rings.

The end is kept in the lease. One that is given up or moved before leaves its visitors behind: they end with it.
"""

from collections.abc import Iterable
from typing import Final

from tunnel.core.base.ids import EndpointId, Instant, UnixSeconds
from tunnel.core.directory.decisions import exposure_seconds
from tunnel.core.route.table import Lease
from tunnel.core.token.token import Token
from tunnel.drive.link import Link
from tunnel.observe.events import EndpointLapsed
from tunnel.server.hub import Hub
from tunnel.server.parties import Tenant
from tunnel.server.telling import note_released

LAPSED: Final = "the time of the exposure is over; expose it again for more"
TTL_SECONDS_MAX: Final = (1 << 32) - 1
"""What four bytes of a grant can say."""
_WITHOUT_TOKEN_SECONDS: Final = 60.0


def begin_exposure(hub: Hub, token: Token, lease: Lease, now: Instant) -> int:
    """Set the end of a lease just granted, as its agent asked and its account allows; the seconds until then, or 0."""
    seconds = min(exposure_seconds(hub.directory, token, lease.ttl_seconds), TTL_SECONDS_MAX)
    if seconds > 0:
        lease.ends_at = Instant(now + seconds)
    return seconds


def is_past(lease: Lease, now: Instant) -> bool:
    """Whether its time is over."""
    return lease.ends_at is not None and lease.ends_at <= now


def next_look(token: Token | None, leases: Iterable[Lease], unix: UnixSeconds, now: Instant) -> Instant:
    """When the next of them ends, or the token, whichever is first."""
    left = _WITHOUT_TOKEN_SECONDS if token is None else float(token.expiry - unix)
    ends = [lease.ends_at for lease in leases if lease.ends_at is not None]
    return min([Instant(now + max(left, 1.0)), *ends])


def end_exposure(hub: Hub, link: Link, lease: Lease, now: Instant) -> None:
    """Give the name up and cut what runs on it; its visitors are told for a while that its time was over."""
    lease.has_lapsed = True
    hub.ports.close(lease, for_good=True)
    hub.registry.withdraw(lease)
    hub.table.note_lapsed(lease, now)
    hub.events.emit(EndpointLapsed(lease.session, lease.name, lease.epoch))
    cut_tenants(link, lease, now)


def release_all(hub: Hub, leases: dict[EndpointId, Lease]) -> None:
    """The agent is gone, or takes no new visitors; its ports are kept for it for a while."""
    released = list(leases.values())
    leases.clear()
    for lease in released:
        hub.ports.close(lease, for_good=False)
        note_released(hub, lease)


def cut_tenants(link: Link, lease: Lease, now: Instant) -> None:
    """Not one byte more passes on the streams of a lease."""
    for handler in link.handlers():
        if isinstance(handler, Tenant) and handler.holds(lease):
            handler.on_fenced(now)
