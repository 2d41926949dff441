"""Live sessions and endpoints, as the data plane beside us has them now; ending a session, and letting one run out."""

from typing import Annotated, Final

from fastapi import Path as FromPath
from pydantic import Field

from tunnel.api.calls import (
    COUNT_MAX,
    PLAIN,
    AccountInPath,
    AccountText,
    Call,
    Moment,
    Shape,
    ThisCall,
    account_id,
)
from tunnel.api.nouns import Noun
from tunnel.api.pages.feed_view import LiveEndpoint, LiveSession, live_endpoints, live_sessions
from tunnel.api.problems import NOT_FOUND, SERVER_AWAY, ProblemAnswer
from tunnel.core.audit.entry import AuditFacts, change_text
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.roles import Scope

noun = Noun("sessions")

_REASON_CHARS_MAX: Final = 100

SessionInPath = Annotated[int, FromPath(ge=1, le=COUNT_MAX, description="The number of a session.")]
Reason = Annotated[str, Field(max_length=_REASON_CHARS_MAX, pattern=PLAIN)]


class SessionOut(Shape):
    """One link of one agent; `silent_seconds` is how long it was not heard."""

    session: int
    account: AccountText
    token: str
    peer: str
    host: str
    since: Moment
    silent_seconds: float
    streams: int
    names: list[str]


class SessionList(Shape):
    """The sessions of an account that are live now, by number."""

    items: list[SessionOut]


class EndpointOut(Shape):
    """One name that one session answers for; at `lapses` it is given up unless it is heard again."""

    name: str
    kind: str
    account: AccountText
    session: int
    peer: str
    host: str
    since: Moment
    heartbeat: Moment
    lapses: Moment
    epoch: int
    outstanding: int
    is_healthy: bool


class EndpointList(Shape):
    """The endpoints of an account that are live now, by name."""

    items: list[EndpointOut]


class Kick(Shape):
    """Why the session is ended; its agent is told."""

    reason: Reason = ""


class Ordered(Shape):
    """How many sessions the order reached."""

    count: int


@noun.reads("/accounts/{account}/sessions", Scope.SESSION_READ, SessionList)
async def list_sessions(call: ThisCall, account: AccountInPath) -> SessionList | ProblemAnswer:
    """List the live sessions of an account."""
    told = await live_sessions(call.plane.feed, account=account)
    if not isinstance(told, Success):
        return call.problem(SERVER_AWAY)
    return SessionList(items=[_session_out(each) for each in value_of(told)])


@noun.reads("/sessions", Scope.SESSION_READ, SessionList)
async def list_all_sessions(call: ThisCall) -> SessionList | ProblemAnswer:
    """List the live sessions of every account; for operators."""
    told = await live_sessions(call.plane.feed)
    if not isinstance(told, Success):
        return call.problem(SERVER_AWAY)
    return SessionList(items=[_session_out(each) for each in value_of(told)])


@noun.reads("/accounts/{account}/endpoints", Scope.SESSION_READ, EndpointList)
async def list_endpoints(call: ThisCall, account: AccountInPath) -> EndpointList | ProblemAnswer:
    """List the live endpoints of an account."""
    told = await live_endpoints(call.plane.feed, account=account)
    if not isinstance(told, Success):
        return call.problem(SERVER_AWAY)
    return EndpointList(items=[_endpoint_out(each) for each in value_of(told)])


@noun.reads("/endpoints", Scope.SESSION_READ, EndpointList)
async def list_all_endpoints(call: ThisCall) -> EndpointList | ProblemAnswer:
    """List the live endpoints of every account; for operators."""
    told = await live_endpoints(call.plane.feed)
    if not isinstance(told, Success):
        return call.problem(SERVER_AWAY)
    return EndpointList(items=[_endpoint_out(each) for each in value_of(told)])


@noun.writes("POST", "/accounts/{account}/sessions/{session}/kick", Scope.SESSION_WRITE, Ordered)
async def kick_session(
    call: ThisCall, account: AccountInPath, session: SessionInPath, asked: Kick
) -> Ordered | ProblemAnswer:
    """End a session at once. Its agent is told why; one whose token is still good may dial again."""
    return await _order(call, account, session, "kick", asked.reason)


@noun.writes("POST", "/accounts/{account}/sessions/{session}/drain", Scope.SESSION_WRITE, Ordered)
async def drain_session(call: ThisCall, account: AccountInPath, session: SessionInPath) -> Ordered | ProblemAnswer:
    """Ask the agent of a session to dial again; what runs on it may finish."""
    return await _order(call, account, session, "drain", "")


async def _order(call: Call, account: str, session: int, order: str, reason: str) -> Ordered | ProblemAnswer:
    """Give an order about a session of this account, and put it into the audit trail first."""
    told = await live_sessions(call.plane.feed, account=account, session=str(session))
    if not isinstance(told, Success):
        return call.problem(SERVER_AWAY)
    if not value_of(told):
        return call.problem(NOT_FOUND, f"There is no session {session}.")
    said = change_text((("reason", reason),)) if reason else ""
    act, now = call.actor.act, call.now
    facts = AuditFacts(act, f"session.{order}", f"session {session}", account_id(account), "", said, now)
    noted = await call.store.note_audit(facts)
    if not isinstance(noted, Success):
        return call.refused(error_of(noted))
    done = await call.plane.feed.ask(order, session=session, reason=reason)
    if not isinstance(done, Success):
        return call.problem(SERVER_AWAY)
    count = value_of(done).get("count")
    return Ordered(count=count if isinstance(count, int) else 0)


def _session_out(session: LiveSession) -> SessionOut:
    return SessionOut(
        session=session.session,
        account=session.account,
        token=session.token,
        peer=session.peer,
        host=session.host,
        since=session.since,
        silent_seconds=session.silent,
        streams=session.streams,
        names=list(session.names),
    )


def _endpoint_out(endpoint: LiveEndpoint) -> EndpointOut:
    return EndpointOut(
        name=endpoint.name,
        kind=endpoint.kind,
        account=endpoint.account,
        session=endpoint.session,
        peer=endpoint.peer,
        host=endpoint.host,
        since=endpoint.since,
        heartbeat=endpoint.heartbeat,
        lapses=endpoint.lapses,
        epoch=endpoint.epoch,
        outstanding=endpoint.outstanding,
        is_healthy=endpoint.is_healthy,
    )
