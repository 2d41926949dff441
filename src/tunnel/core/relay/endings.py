"""Ends: answers of our own, visible cuts, lingering and closing."""

from tunnel.core.base.ids import Instant
from tunnel.core.base.partial import utf8_bytes
from tunnel.core.base.problem import Hop, Problem
from tunnel.core.http.errors import BodyError, RequestError, code_of, describe, status_of
from tunnel.core.relay.actions import CloseVisitor, EndVisitor, LeaveOrigin, Report, SendVisitor
from tunnel.core.relay.answer import problem_response, redirect_response, wants_page
from tunnel.core.relay.exchange import Exchange
from tunnel.core.relay.state import EdgeState, Phase


def finish(edge: EdgeState, exchange: Exchange, outcome: str, now: Instant) -> None:
    """The answer is out: on to the next request, or to the end of the connection."""
    report(edge, exchange, outcome, now)
    edge.phase = Phase.BETWEEN
    head = exchange.head
    if not exchange.request_is_complete:
        linger(edge)
    elif exchange.must_close:
        # A visitor that did not ask for the end may have its next request on the way already.
        if edge.request.ahead_bytes or (head.keep_alive and head.minor > 0):
            linger(edge)
        else:
            close(edge, abort=False)


def fail(edge: EdgeState, problem: Problem, detail: str, now: Instant) -> None:
    """End the exchange with an answer of our own, or cut the answer that had begun; one that is out stands."""
    exchange = edge.exchange
    if exchange is None:
        refuse(edge, problem)
        return
    leave(edge)
    if exchange.is_answered:
        finish(edge, exchange, "ok", now)
        return
    if exchange.answering is not None:
        cut(edge, exchange, problem.code, now)
        return
    exchange.must_close |= not exchange.request_is_complete
    exchange.status = problem.status
    head = exchange.head
    accept = b",".join([value for name, value in head.fields if name.lower() == b"accept"])
    whole = problem_response(
        problem,
        detail,
        exchange.request_id,
        page=wants_page(accept),
        close=exchange.must_close,
        without_body=head.method == b"HEAD",
    )
    edge.actions.append(SendVisitor(whole))
    finish(edge, exchange, problem.code, now)


def redirect(edge: EdgeState, exchange: Exchange, port: str, now: Instant) -> None:
    """Send the visitor to the same target at https, and ask nobody before: a password would come in the clear."""
    leave(edge)
    exchange.must_close |= not exchange.request_is_complete
    exchange.status = 308
    target = exchange.head.target
    place = utf8_bytes(f"https://{edge.name}.{edge.zone}{port}") + (target if target.startswith(b"/") else b"/")
    edge.actions.append(SendVisitor(redirect_response(place, exchange.request_id, close=exchange.must_close)))
    finish(edge, exchange, "redirected", now)


def refuse(edge: EdgeState, problem: Problem) -> None:
    """Answer what did not become a request, and read no other: where the next would begin, nobody knows."""
    request_id = edge.next_request_id()
    whole = problem_response(problem, "", request_id, page=False, close=True, without_body=False)
    edge.actions.append(SendVisitor(whole))
    edge.actions.append(Report(request_id, "", b"", b"", problem.status, 0.0, problem.code, 0, 0))
    linger(edge)


def cut(edge: EdgeState, exchange: Exchange, outcome: str, now: Instant) -> None:
    """A response that cannot go on ends visibly: no last chunk, and a reset where only the close marks the end."""
    report(edge, exchange, outcome, now)
    close(edge, abort=exchange.answering is not None and exchange.answering.ends_by_close)


def abandon(edge: EdgeState, outcome: str, now: Instant) -> None:
    """Be rid of a visitor that does not keep its side: what waits for it is dropped."""
    if edge.exchange is not None:
        report(edge, edge.exchange, outcome, now)
    close(edge, abort=True)


def report(edge: EdgeState, exchange: Exchange, outcome: str, now: Instant) -> None:
    """The exchange has reached its one end."""
    head, lease = exchange.head, exchange.lease
    edge.exchange = None
    if lease is not None:
        lease.outstanding -= 1
        lease.toll.note(exchange.bytes_up + exchange.bytes_down)
    if exchange.entry is not None:
        edge.door.leave(exchange.entry)
    edge.actions.append(
        Report(
            exchange.request_id,
            exchange.name,
            head.method,
            head.target,
            exchange.status,
            now - exchange.marks.started_at,
            outcome,
            exchange.bytes_up,
            exchange.bytes_down,
            0 if lease is None else lease.session,
            None if lease is None else lease.account,
            exchange.marks.hops(now),
        )
    )


def leave(edge: EdgeState) -> None:
    """Have no more to do with the current stream: a reset, unless both sides have said all they had to say."""
    leg = edge.leg
    if leg is not None:
        is_over = leg.has_ended or edge.origin_may_read_on
        edge.actions.append(LeaveOrigin(reset=edge.origin_is_owed or not is_over))
        edge.forget_leg()


def linger(edge: EdgeState) -> None:
    """Half-close and read on for a moment: closing over unread bytes would reset away our answer."""
    if edge.visitor_has_ended:
        close(edge, abort=False)
        return
    leave(edge)
    edge.request.forget()
    edge.phase = Phase.LINGERING
    edge.actions.append(EndVisitor())


def close(edge: EdgeState, *, abort: bool) -> None:
    """Close the connection: now, or once the visitor has taken what waits for it."""
    leave(edge)
    edge.request.forget()
    edge.phase = Phase.CLOSED if abort else Phase.CLOSING
    edge.actions.append(CloseVisitor(abort=abort))


def problem_of(error: RequestError | BodyError) -> Problem:
    """The refusal of a message as a failure answer."""
    return Problem(code_of(error), status_of(error), Hop.VISITOR, "The request was refused", describe(error))
