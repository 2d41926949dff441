"""What connections and agents tell, as events."""

from typing import Final

from tunnel.core.relay.actions import HealthNews, Report
from tunnel.core.route.table import Lease
from tunnel.observe.events import ExchangeDone, MemberHealth, NameReleased
from tunnel.observe.targets import shown_target
from tunnel.server.hub import Hub

_ASIDE: Final = "requests found its local service not answering; others serve in its place for now"
_BACK: Final = "it connects to its local service again"


def event_of(told: Report | HealthNews, peer: str) -> ExchangeDone | MemberHealth:
    """The event of an action; `peer` is the visitor's address."""
    if isinstance(told, HealthNews):
        state, detail = ("back", _BACK) if told.is_back else ("aside", _ASIDE)
        return MemberHealth(told.lease.session, told.lease.name, state, detail)
    return ExchangeDone(
        request_id=told.request_id,
        name=told.name,
        method=told.method.decode("latin-1"),
        target=shown_target(told.target.decode("latin-1")),
        status=told.status,
        milliseconds=told.seconds * 1000,
        outcome=told.outcome,
        bytes_up=told.bytes_up,
        bytes_down=told.bytes_down,
        peer=peer,
        session=told.session,
        edge_ms=told.hops.edge * 1000,
        link_ms=told.hops.link * 1000,
        local_ms=told.hops.local * 1000,
    )


def note_released(hub: Hub, lease: Lease) -> None:
    """A session answers for a name no more."""
    left = sum(member.epoch != lease.epoch for member in hub.table.members(lease.name))
    hub.events.emit(NameReleased(lease.session, lease.name, lease.epoch, left))


def note_health(hub: Hub, lease: Lease, detail: str, *, is_up: bool) -> None:
    """What an agent says of its local service: known here, told to the other workers, and to the operator once."""
    hub.registry.note_health(lease, is_up=is_up)
    if hub.table.on_health(lease, is_up=is_up):
        hub.events.emit(MemberHealth(lease.session, lease.name, "up" if is_up else "down", detail))
