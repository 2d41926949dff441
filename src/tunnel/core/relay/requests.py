"""Requests: heads find their origin, bodies follow; one function per step over the state of the connection."""

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.problem import AGENT_OFFLINE, REQUEST_CUT_SHORT, UNKNOWN_NAME, WRONG_HOST
from tunnel.core.http.forward import provenance_of, request_bytes
from tunnel.core.http.request import RequestHead
from tunnel.core.relay.actions import OpenOrigin, SendOrigin
from tunnel.core.relay.endings import close, fail, finish, leave, problem_of, refuse
from tunnel.core.relay.exchange import Exchange, is_repeatable
from tunnel.core.relay.host_header import host_value_for
from tunnel.core.relay.leg import Leg
from tunnel.core.relay.state import EdgeState, Phase
from tunnel.core.route.name import NotInZone, name_in_zone
from tunnel.core.route.table import Lease


def take_head(edge: EdgeState, data: bytes, now: Instant) -> None:
    """Read on in the next head; once it is whole its exchange begins."""
    read = edge.request.receive_head(data)
    if not isinstance(read, Success):
        refuse(edge, problem_of(error_of(read)))
        return
    head = value_of(read)
    if head is not None:
        begin(edge, head, now)


def begin(edge: EdgeState, head: RequestHead, now: Instant) -> None:
    """Start an exchange: find who answers, and send the request there."""
    exchange = Exchange(head, edge.next_request_id(), now, is_last=edge.is_draining)
    edge.exchange = exchange
    edge.phase = Phase.EXCHANGE
    if head.length != 0:
        edge.request.begin_body(head.length)
    if head.host != edge.host:
        label = name_in_zone(head.host, edge.zone)
        if not isinstance(label, Success):
            fail(edge, WRONG_HOST if isinstance(error_of(label), NotInZone) else UNKNOWN_NAME, "", now)
            return
        edge.host, edge.name = head.host, value_of(label)
    route(edge, exchange, now)


def route(edge: EdgeState, exchange: Exchange, now: Instant) -> None:
    """Find the agent that holds the name now, and send it the request."""
    exchange.name = edge.name
    found = edge.table.find(edge.name, now)
    if not isinstance(found, Lease):
        fail(edge, UNKNOWN_NAME if found is None else AGENT_OFFLINE, "", now)
        return
    leg = edge.leg
    if leg is None or leg.lease is not found or not is_repeatable(exchange.head):
        # A request that may not be sent twice gets a fresh stream (ADR 0015): a local service that closes
        # its idle connection at this very moment then costs the visitor nothing.
        leg = open_leg(edge, found)
    else:
        exchange.may_repeat = True
    send_head(edge, leg, exchange)
    if not exchange.request_is_complete:
        edge.origin_is_owed = True
        take_body(edge, exchange, edge.request.take_ahead(), now)


def open_leg(edge: EdgeState, lease: Lease) -> Leg:
    """Leave the current stream, if any, for a fresh one to the agent of `lease`."""
    leave(edge)
    leg = Leg(lease, edge.limits)
    edge.leg = leg
    edge.actions.append(OpenOrigin(lease))
    return leg


def send_head(edge: EdgeState, leg: Leg, exchange: Exchange) -> None:
    """Send the head as this agent's local service is to see it."""
    head = exchange.head
    host = host_value_for(leg.lease.host_header, head.host_value)
    if head.host_value != edge.provenance_host:
        edge.provenance_host = head.host_value
        edge.provenance = provenance_of(head.host_value, edge.visitor)
    edge.actions.append(SendOrigin(request_bytes(head, edge.provenance, exchange.request_id, host)))


def repeat(edge: EdgeState, leg: Leg, exchange: Exchange, now: Instant) -> bool:
    """Send an unanswered request again, once, when a kept-alive local connection closed under it."""
    if not exchange.may_repeat or leg.has_spoken:
        return False
    exchange.may_repeat = False
    found = edge.table.find(leg.lease.name, now)
    if not isinstance(found, Lease):
        return False
    send_head(edge, open_leg(edge, found), exchange)
    return True


def take_body(edge: EdgeState, exchange: Exchange, data: bytes, now: Instant) -> None:
    """Forward what belongs to the running request; hold what comes after it."""
    body = edge.request.body
    if body is None:
        edge.request.hold(data)
        return
    taken = body.receive(data)
    if not isinstance(taken, Success):
        fail(edge, problem_of(error_of(taken)), "", now)
        return
    exchange.bytes_up = body.received
    framed = value_of(taken)
    if framed:
        edge.actions.append(SendOrigin(framed))
    if body.is_done:
        exchange.request_is_complete = True
        edge.origin_is_owed = False
        edge.request.body = None
        edge.request.hold(body.take_rest())
        if exchange.is_answered:
            edge.origin_may_read_on = True
            finish(edge, exchange, "ok", now)


def end_requests(edge: EdgeState, now: Instant) -> None:
    """The visitor has ended its side: what is missing will not come; what is whole still gets its answer."""
    exchange = edge.exchange
    if exchange is not None:
        if not exchange.request_is_complete:
            fail(edge, REQUEST_CUT_SHORT, "", now)
    elif edge.phase is Phase.LINGERING:
        close(edge, abort=False)
    elif edge.phase is Phase.BETWEEN and not edge.request.ahead_bytes:
        if edge.request.has_part_of_head:
            refuse(edge, REQUEST_CUT_SHORT)
        else:
            close(edge, abort=False)
