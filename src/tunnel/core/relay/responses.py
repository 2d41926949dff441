"""Responses: what the stream brings, joined to the running exchange."""

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.base.problem import LINK_BROKE_PROTOCOL, LOCAL_BROKE_PROTOCOL, LOCAL_CLOSED_EARLY
from tunnel.core.http.response import SWITCHING_PROTOCOLS
from tunnel.core.link.preface import StreamReply
from tunnel.core.relay.actions import EndOrigin, SendOrigin, SendVisitor
from tunnel.core.relay.attempts import note_failed, note_stood, try_another
from tunnel.core.relay.endings import fail, finish, leave
from tunnel.core.relay.exchange import Exchange
from tunnel.core.relay.leg import Leg
from tunnel.core.relay.replies import problem_of_reply
from tunnel.core.relay.response_side import Progress, end_response, read_response
from tunnel.core.relay.state import EdgeState, Phase
from tunnel.core.route.group import Spent


def take_reply(edge: EdgeState, leg: Leg, data: bytes, now: Instant) -> None:
    """Read the agent's one-time reply; only a standing local connection goes on."""
    read = leg.reply.receive(data)
    if not isinstance(read, Success):
        fail(edge, LINK_BROKE_PROTOCOL, "the agent's reply on the stream is not one of tunnel/1", now)
        return
    code = value_of(read)
    if code is None:
        return
    problem = problem_of_reply(code)
    exchange = edge.exchange
    if problem is not None:
        spent: Spent = leg.lease
        if code is not StreamReply.UNKNOWN_ENDPOINT:
            note_failed(edge, leg.lease, now)
            spent = leg.lease.health
        if exchange is None or not try_another(edge, exchange, spent, now):
            fail(edge, problem, "", now)
        return
    leg.has_replied = True
    if exchange is not None and exchange.on_replied(now):
        exchange.forget_kept()
    if leg.lease.health.failures:
        note_stood(edge, leg.lease)
    rest = leg.reply.take_rest()
    if rest:
        take_response(edge, leg, rest, now)


def take_response(edge: EdgeState, leg: Leg, data: bytes, now: Instant) -> None:
    """Read on in the running response."""
    exchange = edge.exchange
    if exchange is None:
        # Bytes nobody asked for must never become the next request's answer (response-queue poisoning).
        leave(edge)
        return
    if exchange.is_answered:
        fail(edge, LOCAL_BROKE_PROTOCOL, "", now)
        return
    leg.has_spoken = True
    read = read_response(leg, exchange, data, edge.limits)
    if exchange.status:
        exchange.marks.on_spoken(now)
    if isinstance(read, Progress):
        proceed(edge, leg, exchange, read, now)
    else:
        fail(edge, LOCAL_BROKE_PROTOCOL, read.detail, now)


def close_response(edge: EdgeState, leg: Leg, exchange: Exchange, now: Instant) -> None:
    """Conclude the running response: its local connection has ended."""
    ended = end_response(exchange)
    if isinstance(ended, Progress):
        proceed(edge, leg, exchange, ended, now)
    else:
        fail(edge, LOCAL_CLOSED_EARLY, ended.detail, now)


def proceed(edge: EdgeState, leg: Leg, exchange: Exchange, progress: Progress, now: Instant) -> None:
    """Hand on what was read, and conclude the exchange when it is whole."""
    if progress.out:
        edge.actions.append(SendVisitor(progress.out))
    if not progress.is_complete:
        return
    if exchange.status == SWITCHING_PROTOCOLS:
        upgrade(edge, exchange, progress.rest)
        return
    leg.has_spoken = False
    edge.origin_may_read_on = exchange.is_early and exchange.request_is_complete and not progress.rest
    if progress.rest or leg.has_ended or (exchange.request_is_complete and not exchange.local_keeps_alive):
        leave(edge)
    elif still_takes(exchange):
        exchange.answering = None
        exchange.is_answered = True
        return
    finish(edge, exchange, "ok", now)


def still_takes(exchange: Exchange) -> bool:
    """Whether the rest of a request goes on to a local service that has answered already, as it may read it yet.

    Not when the visitor waits for the end of the connection, or for a 100 that will not come any more.
    """
    if exchange.request_is_complete or (exchange.answering is not None and exchange.answering.ends_by_close):
        return False
    return exchange.bytes_up > 0 or not exchange.head.expects_continue


def upgrade(edge: EdgeState, exchange: Exchange, rest: bytes) -> None:
    """From here on bytes pass untouched; what the visitor sent ahead of the 101 goes first."""
    edge.phase = Phase.UPGRADED
    edge.origin_is_owed = True
    ahead = edge.request.take_ahead()
    if ahead:
        pass_up(edge, exchange, ahead)
    if rest:
        pass_down(edge, exchange, rest)
    if edge.visitor_has_ended:
        end_up(edge)


def pass_up(edge: EdgeState, exchange: Exchange, data: bytes) -> None:
    """Bytes of the visitor in an upgraded connection."""
    exchange.bytes_up += len(data)
    edge.actions.append(SendOrigin(data))


def pass_down(edge: EdgeState, exchange: Exchange, data: bytes) -> None:
    """Bytes of the local service in an upgraded connection."""
    exchange.bytes_down += len(data)
    edge.actions.append(SendVisitor(data))


def end_up(edge: EdgeState) -> None:
    """The visitor ended its side of an upgraded connection; the other side may go on."""
    edge.origin_is_owed = False
    edge.actions.append(EndOrigin())
