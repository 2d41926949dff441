"""Attempts: a request on its way to one member of its name, and to another when that cannot have it (ADR 0038)."""

from tunnel.core.base.ids import Instant
from tunnel.core.http.forward import provenance_of, request_bytes
from tunnel.core.relay.actions import HealthNews, OpenOrigin, SendOrigin
from tunnel.core.relay.admission import AUTHORIZATION
from tunnel.core.relay.endings import leave
from tunnel.core.relay.exchange import Exchange, is_repeatable
from tunnel.core.relay.host_header import host_value_for
from tunnel.core.relay.leg import Leg
from tunnel.core.relay.state import EdgeState
from tunnel.core.route.group import Spent
from tunnel.core.route.table import Lease
from tunnel.core.token.token import EndpointKind


def open_leg(edge: EdgeState, lease: Lease) -> Leg:
    """Leave the current stream, if any, for a fresh one to the agent of `lease`."""
    leave(edge)
    leg = Leg(lease, edge.limits)
    edge.leg = leg
    edge.actions.append(OpenOrigin(lease))
    return leg


def send_head(edge: EdgeState, leg: Leg, exchange: Exchange, now: Instant) -> None:
    """Send the head as this agent's local service is to see it; from here on the exchange runs on its lease."""
    head = exchange.head
    before, lease = exchange.lease, leg.lease
    if before is not lease:
        if before is not None:
            before.outstanding -= 1
        lease.outstanding += 1
        exchange.lease = lease
    exchange.marks.on_sent(now, is_connected=leg.has_replied)
    host = host_value_for(lease.host_header, head.host_value)
    if head.host_value != edge.provenance_host:
        edge.provenance_host = head.host_value
        edge.provenance = provenance_of(head.host_value, edge.visitor)
    hidden = AUTHORIZATION if exchange.has_signed_in else b""
    edge.actions.append(SendOrigin(request_bytes(head, edge.provenance, exchange.request_id, host, hidden)))


def repeat(edge: EdgeState, leg: Leg, exchange: Exchange, now: Instant) -> bool:
    """Send an unanswered request again, once, when a kept-alive local connection closed under it."""
    if not exchange.may_repeat or exchange.is_repeated or leg.has_spoken:
        return False
    exchange.is_repeated = True
    found = edge.table.find(edge.name, now)
    if not isinstance(found, Lease) or found.kind is not leg.lease.kind:
        return False
    send_head(edge, open_leg(edge, found), exchange, now)
    return True


def repeat_elsewhere(edge: EdgeState, leg: Leg, exchange: Exchange, now: Instant) -> bool:
    """Send an unanswered request once more when its link is lost: whether anybody has begun it, nobody knows."""
    if exchange.is_repeated or leg.has_spoken or not is_repeatable(exchange.head):
        return False
    exchange.is_repeated = True
    return try_another(edge, exchange, leg.lease, now)


def try_another(edge: EdgeState, exchange: Exchange, spent: Spent, now: Instant) -> bool:
    """Send a request that did not get through to another member, if there is one and all of it is still at hand."""
    if not exchange.is_at_hand or len(exchange.spent) >= edge.limits.retries_max:
        return False
    exchange.spent.append(spent)
    found = edge.table.another(edge.name, now, exchange.spent)
    if found is None or found.kind is not EndpointKind.HTTP:
        return False
    send_head(edge, open_leg(edge, found), exchange, now)
    edge.origin_is_owed = not exchange.request_is_complete
    if exchange.kept:
        edge.actions.append(SendOrigin(b"".join(exchange.kept)))
    return True


def note_failed(edge: EdgeState, lease: Lease, now: Instant) -> None:
    """The agent could not connect to its local service."""
    if edge.table.on_local_failed(lease, now):
        edge.actions.append(HealthNews(lease, is_back=False))


def note_stood(edge: EdgeState, lease: Lease) -> None:
    """The agent did."""
    if lease.health.on_stood():
        edge.actions.append(HealthNews(lease, is_back=True))
