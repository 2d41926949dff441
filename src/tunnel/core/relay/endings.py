"""Ends: answers of our own, visible cuts, lingering and closing."""

from tunnel.core.base.ids import Instant
from tunnel.core.base.problem import Hop, Problem
from tunnel.core.http.errors import BodyError, RequestError, code_of, describe, status_of
from tunnel.core.relay.actions import CloseVisitor, EndVisitor, LeaveOrigin, Report, SendVisitor
from tunnel.core.relay.answer import problem_response, wants_page
from tunnel.core.relay.exchange import Exchange
from tunnel.core.relay.state import EdgeState, Phase


def finish(edge: EdgeState, exchange: Exchange, outcome: str, now: Instant) -> None:
    """The answer is out: on to the next request, or to the end of the connection."""
    report(edge, exchange, outcome, now)
    edge.phase = Phase.BETWEEN
    if not exchange.request_is_complete:
        linger(edge)
    elif exchange.must_close or edge.is_draining:
        if edge.request.ahead_bytes:
            linger(edge)
        else:
            close(edge, abort=False)


def finish_upgraded(edge: EdgeState, now: Instant, outcome: str, *, abort: bool = False) -> None:
    """End an upgraded connection."""
    if edge.exchange is not None:
        report(edge, edge.exchange, outcome, now)
    close(edge, abort=abort)


def fail(edge: EdgeState, problem: Problem, detail: str, now: Instant) -> None:
    """End the exchange with an answer of our own, or cut the answer that had begun."""
    exchange = edge.exchange
    if exchange is None:
        answer(edge, problem, detail, "", None)
        linger(edge)
        return
    leave(edge, reset=True)
    if exchange.response is not None:
        cut(edge, problem.code, now)
        return
    exchange.must_close |= not exchange.request_is_complete
    exchange.status = problem.status
    answer(edge, problem, detail, exchange.request_id, exchange)
    finish(edge, exchange, problem.code, now)


def refuse(edge: EdgeState, error: RequestError, now: Instant) -> None:
    """The head is not one request to every reader: answer and close."""
    fail(edge, problem_of(error), describe(error), now)


def answer(edge: EdgeState, problem: Problem, detail: str, request_id: str, exchange: Exchange | None) -> None:
    """Give an answer of our own in the form the visitor asked for."""
    accept = b""
    if exchange is not None:
        accept = b",".join(value for name, value in exchange.head.fields if name.lower() == b"accept")
    whole = problem_response(
        problem,
        detail,
        request_id,
        page=wants_page(accept),
        close=exchange is None or exchange.must_close,
        without_body=exchange is not None and exchange.head.method == b"HEAD",
    )
    edge.actions.append(SendVisitor(whole))


def cut(edge: EdgeState, outcome: str, now: Instant) -> None:
    """A response that cannot go on ends visibly: no last chunk, and a reset where only the close marks the end."""
    exchange = edge.exchange
    hard = edge.visitor_is_stuck
    if exchange is not None:
        report(edge, exchange, outcome, now)
        response = exchange.response
        hard |= response is not None and response.length < 0 and not exchange.is_chunked_down
    close(edge, abort=hard)


def report(edge: EdgeState, exchange: Exchange, outcome: str, now: Instant) -> None:
    """The exchange has reached its one end."""
    head = exchange.head
    edge.exchange = None
    edge.actions.append(
        Report(
            exchange.request_id,
            exchange.name,
            head.method,
            head.target,
            exchange.status,
            now - exchange.started_at,
            outcome,
            exchange.bytes_up,
            exchange.bytes_down,
        )
    )


def leave(edge: EdgeState, *, reset: bool) -> None:
    """Have no more to do with the current stream."""
    leg = edge.leg
    if leg is not None:
        edge.leg = None
        edge.origin_is_stuck = False
        edge.actions.append(LeaveOrigin(reset=reset and not leg.has_ended))


def linger(edge: EdgeState) -> None:
    """Half-close and read on for a moment: closing over unread bytes would reset away our answer."""
    leave(edge, reset=True)
    edge.request.forget_body()
    edge.request.take_ahead()
    if edge.visitor_has_ended:
        close(edge, abort=False)
    else:
        edge.phase = Phase.LINGERING
        edge.actions.append(EndVisitor())


def close(edge: EdgeState, *, abort: bool) -> None:
    """Close the connection."""
    leave(edge, reset=True)
    edge.phase = Phase.CLOSED
    edge.actions.append(CloseVisitor(abort=abort))


def problem_of(error: RequestError | BodyError) -> Problem:
    """The refusal of a message as a failure answer."""
    return Problem(code_of(error), status_of(error), Hop.VISITOR, "The request was refused", describe(error))
