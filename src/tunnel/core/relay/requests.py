"""Requests: heads find their origin, bodies follow; one function per step over the state of the connection."""

from tunnel.core.base.ids import Instant, Label, RequestId
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.problem import AGENT_OFFLINE, UNKNOWN_NAME, WRONG_HOST
from tunnel.core.http.errors import BodyTooLong, describe
from tunnel.core.http.forward import request_bytes
from tunnel.core.http.request import RequestHead
from tunnel.core.relay.actions import OpenOrigin, SendOrigin
from tunnel.core.relay.endings import fail, leave, problem_of, refuse
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
        refuse(edge, error_of(read), now)
        return
    head = value_of(read)
    if head is not None:
        begin(edge, head, now)


def begin(edge: EdgeState, head: RequestHead, now: Instant) -> None:
    """Start an exchange: find who answers, and send the head there."""
    edge.count += 1
    exchange = Exchange(head, RequestId(f"{edge.id_prefix}{edge.count:08x}"), now)
    exchange.must_close |= edge.is_draining
    exchange.request_is_complete = head.length == 0
    edge.exchange = exchange
    edge.phase = Phase.EXCHANGE
    if head.length != 0:
        edge.request.begin_body(head.length)
    label = name_in_zone(head.host, edge.zone)
    if not isinstance(label, Success):
        fail(edge, WRONG_HOST if isinstance(error_of(label), NotInZone) else UNKNOWN_NAME, "", now)
        return
    route(edge, value_of(label), exchange, now)


def route(edge: EdgeState, name: Label, exchange: Exchange, now: Instant) -> None:
    """Find the agent that holds the name now, and send it the head."""
    exchange.name = name
    found = edge.table.find(name, now)
    if not isinstance(found, Lease):
        fail(edge, UNKNOWN_NAME if found is None else AGENT_OFFLINE, "", now)
        return
    head = exchange.head
    if head.length > edge.limits.request_body_bytes_max:
        fail(edge, problem_of(BodyTooLong(edge.limits.request_body_bytes_max)), "", now)
        return
    host = host_value_for(found.host_header, head.host_value)
    forwarded = request_bytes(head, edge.visitor, exchange.request_id, host)
    leg = edge.leg
    if leg is None or leg.lease is not found or leg.has_ended or not is_repeatable(head):
        # A request that may not be sent twice gets a fresh stream (ADR 0015): a local service that closes
        # its idle connection at this very moment then costs the visitor nothing.
        open_leg(edge, found)
    else:
        exchange.replay = forwarded
    edge.actions.append(SendOrigin(forwarded))
    if head.length != 0:
        take_body(edge, edge.request.take_ahead(), now)


def open_leg(edge: EdgeState, lease: Lease) -> None:
    """Leave the current stream, if any, for a fresh one to the agent of `lease`."""
    leave(edge, reset=True)
    edge.leg = Leg(lease, edge.limits)
    edge.origin_is_stuck = False
    edge.actions.append(OpenOrigin(lease))


def repeat(edge: EdgeState, leg: Leg, exchange: Exchange, now: Instant) -> bool:
    """Send an unanswered request again, once, when a kept-alive local connection closed under it."""
    if not exchange.replay or leg.has_spoken:
        return False
    replay, exchange.replay = exchange.replay, b""
    found = edge.table.find(leg.lease.name, now)
    if not isinstance(found, Lease):
        return False
    open_leg(edge, found)
    edge.actions.append(SendOrigin(replay))
    return True


def take_body(edge: EdgeState, data: bytes, now: Instant) -> None:
    """Forward what belongs to the running request; hold what comes after it."""
    exchange = edge.exchange
    if exchange is None or exchange.request_is_complete:
        edge.request.hold(data)
        return
    taken = edge.request.receive_body(data)
    if not isinstance(taken, Success):
        fail(edge, problem_of(error_of(taken)), describe(error_of(taken)), now)
        return
    payload = value_of(taken)
    exchange.bytes_up += len(payload)
    if payload:
        edge.actions.append(SendOrigin(payload))
    exchange.request_is_complete = edge.request.body_is_done
