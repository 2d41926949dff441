"""Responses: what the stream brings, joined to the running exchange."""

from typing import Final

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.problem import LINK_BROKE_PROTOCOL, LOCAL_BROKE_PROTOCOL, LOCAL_CLOSED_EARLY
from tunnel.core.relay.actions import EndOrigin, EndVisitor, SendOrigin, SendVisitor
from tunnel.core.relay.endings import fail, finish, leave
from tunnel.core.relay.exchange import Exchange
from tunnel.core.relay.leg import Leg
from tunnel.core.relay.replies import problem_of_reply
from tunnel.core.relay.response_side import Progress, end_response, read_response
from tunnel.core.relay.state import EdgeState, Phase

_SWITCHING: Final = 101


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
    if problem is not None:
        fail(edge, problem, "", now)
        return
    leg.has_replied = True
    rest = leg.reply.take_rest()
    if rest:
        take_response(edge, leg, rest, now)


def take_response(edge: EdgeState, leg: Leg, data: bytes, now: Instant) -> None:
    """Read on in the running response."""
    exchange = edge.exchange
    if exchange is None:
        # Bytes nobody asked for must never become the next visitor's answer (response-queue poisoning).
        leave(edge, reset=True)
        return
    leg.has_spoken = True
    read = read_response(leg, exchange, data, edge.limits)
    if not isinstance(read, Success):
        fail(edge, LOCAL_BROKE_PROTOCOL, error_of(read).detail, now)
        return
    proceed(edge, leg, exchange, value_of(read), now)


def close_response(edge: EdgeState, leg: Leg, exchange: Exchange, now: Instant) -> None:
    """Conclude the running response: its local connection has ended."""
    ended = end_response(leg, exchange)
    if isinstance(ended, Success):
        proceed(edge, leg, exchange, value_of(ended), now)
    else:
        fail(edge, LOCAL_CLOSED_EARLY, error_of(ended).detail, now)


def proceed(edge: EdgeState, leg: Leg, exchange: Exchange, progress: Progress, now: Instant) -> None:
    """Hand on what was read, and conclude the exchange when it is whole."""
    if progress.out:
        edge.actions.append(SendVisitor(progress.out))
    if not progress.is_complete:
        return
    if exchange.status == _SWITCHING:
        upgrade(edge, leg, progress.rest)
        return
    response = exchange.response
    leg.body = None
    leg.has_spoken = False
    leg.exchanges += 1
    reusable = response is not None and response.keep_alive and exchange.request_is_complete
    if not reusable or progress.rest or leg.has_ended:
        leave(edge, reset=True)
    finish(edge, exchange, "ok", now)


def upgrade(edge: EdgeState, leg: Leg, rest: bytes) -> None:
    """From here on bytes pass untouched; what the visitor sent ahead of the 101 goes first."""
    edge.phase = Phase.UPGRADED
    ahead = edge.request.take_ahead()
    if ahead:
        edge.actions.append(SendOrigin(ahead))
    if rest:
        edge.actions.append(SendVisitor(rest))
    if edge.visitor_has_ended:
        edge.actions.append(EndOrigin())
    if leg.has_ended:
        edge.actions.append(EndVisitor())
