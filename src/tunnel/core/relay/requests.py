"""Requests: heads find their origin, bodies follow; one function per step over the state of the connection."""

from typing import Final

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.problem import (
    AGENT_OFFLINE,
    EXPOSURE_OVER,
    LOCAL_UNHEALTHY,
    NOT_HTTP,
    REQUEST_CUT_SHORT,
    UNKNOWN_NAME,
    WRONG_HOST,
    Problem,
)
from tunnel.core.http.request import RequestHead
from tunnel.core.relay.actions import SendOrigin
from tunnel.core.relay.admission import enter, pay
from tunnel.core.relay.attempts import open_leg, send_head
from tunnel.core.relay.endings import close, fail, finish, problem_of, redirect, refuse
from tunnel.core.relay.exchange import Exchange, is_repeatable
from tunnel.core.relay.state import EdgeState, Phase
from tunnel.core.route.name import NotInZone, name_in_zone
from tunnel.core.route.table import Lease, Offline, Unhealthy
from tunnel.core.token.token import EndpointKind

_HTTP: Final = EndpointKind.HTTP


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
            if edge.door.guards_everyone and not enter(edge, exchange, None, now):
                return
            fail(edge, WRONG_HOST if isinstance(error_of(label), NotInZone) else UNKNOWN_NAME, "", now)
            return
        edge.host, edge.name = head.host, value_of(label)
    route(edge, exchange, now)


def route(edge: EdgeState, exchange: Exchange, now: Instant) -> None:
    """Find the agent that holds the name now, and send it the request."""
    exchange.name = edge.name
    if edge.secure_port is not None:
        redirect(edge, exchange, edge.secure_port, now)
        return
    leg = edge.leg
    found = edge.table.find(edge.name, now, None if leg is None else leg.lease)
    lease = found if isinstance(found, Lease) else None
    is_guarded = edge.door.guards_everyone or (lease is not None and lease.policy is not None)
    if is_guarded and not enter(edge, exchange, lease, now):
        return
    if not isinstance(found, Lease):
        fail(edge, _problem_of_absence(found), "", now)
        return
    if found.kind is not _HTTP:
        fail(edge, NOT_HTTP, "", now)
        return
    if found.toll.is_bounded and not pay(edge, found, now):
        return
    if leg is None or leg.lease is not found or not is_repeatable(exchange.head):
        # A request that may not be sent twice gets a fresh stream (ADR 0015): a local service that closes
        # its idle connection at this very moment then costs the visitor nothing.
        leg = open_leg(edge, found)
    else:
        exchange.may_repeat = True
    send_head(edge, leg, exchange, now)
    if not exchange.request_is_complete:
        edge.origin_is_owed = True
        exchange.keeps = edge.table.is_shared(edge.name)
        take_body(edge, exchange, edge.request.take_ahead(), now)


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
        exchange.note_sent(framed, edge.limits.retry_bytes_max)
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


def _problem_of_absence(found: Offline | Unhealthy | None) -> Problem:
    """Why nobody gets the request."""
    if found is None:
        return UNKNOWN_NAME
    if isinstance(found, Unhealthy):
        return LOCAL_UNHEALTHY
    return EXPOSURE_OVER if found.has_lapsed else AGENT_OFFLINE
