"""Live sessions and endpoints: what the data plane holds now; ending a session, and letting one run out."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.api.pages import figures
from tunnel.api.pages.desk import Desk
from tunnel.api.pages.feed_view import (
    Exchange,
    LiveEndpoint,
    LiveSession,
    live_endpoints,
    live_sessions,
    recent_exchanges,
)
from tunnel.api.pages.visit import FEED_AWAY, NOT_FOUND, Answer, Moved, Page, Trouble, Visit, trouble_of
from tunnel.core.audit.entry import AuditFacts
from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.name import LeaseRecord, NameRecord
from tunnel.core.token.token import AccountId
from tunnel.store.errors import NotFound

_REASON: Final = "ended at the dashboard"
_PARTS: Final = (("edge", "s-edge"), ("link", "s-link"), ("local", "s-local"), ("body", "s-body"))
_WHOLE: Final = 100.0


@final
@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions that this viewer may see."""

    sessions: tuple[LiveSession, ...]
    now: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints that this viewer may see."""

    endpoints: tuple[LiveEndpoint, ...]
    now: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class HopPart:
    """One hop's part of an exchange, on a bar of a hundred."""

    style: str
    x: float
    width: float
    title: str


@final
@dataclass(frozen=True, slots=True)
class HopBar:
    """Where the time of an exchange went, drawn and in words."""

    parts: tuple[HopPart, ...]
    words: str


@final
@dataclass(frozen=True, slots=True)
class Shown:
    """One exchange and its bar."""

    exchange: Exchange
    bar: HopBar


@final
@dataclass(frozen=True, slots=True)
class Endpoint:
    """One name: who answers for it, who owns it, and what came through last."""

    name: str
    members: tuple[LiveEndpoint, ...]
    owner: NameRecord | None
    lapsed: tuple[LeaseRecord, ...]
    exchanges: tuple[Shown, ...]
    now: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class Question:
    """An action that is asked about once more: what it does to what, and where its form goes."""

    sentence: str
    detail: str
    action: str
    button: str
    back: str


def is_seen(visit: Visit, account: str) -> bool:
    """Whether what belongs to this account (in hexadecimal) is this viewer's to see."""
    return account == visit.account.account.hex() if visit.account is not None else visit.viewer.is_operator


def _account(visit: Visit) -> str:
    return "" if visit.account is None else visit.account.account.hex()


async def sessions(desk: Desk, visit: Visit) -> Answer:
    """All sessions."""
    told = await live_sessions(desk.plane.feed, account=_account(visit))
    if not isinstance(told, Success):
        return FEED_AWAY
    seen = tuple(each for each in value_of(told) if is_seen(visit, each.account))
    return Page("sessions.html", "Sessions", Sessions(seen, visit.now))


async def endpoints(desk: Desk, visit: Visit) -> Answer:
    """All endpoints."""
    told = await live_endpoints(desk.plane.feed, account=_account(visit))
    if not isinstance(told, Success):
        return FEED_AWAY
    seen = tuple(each for each in value_of(told) if is_seen(visit, each.account))
    return Page("endpoints.html", "Endpoints", Endpoints(seen, visit.now))


async def endpoint(desk: Desk, visit: Visit) -> Answer:
    """One name's page: also of one that is reserved and has nobody to answer for it."""
    name = visit.names["name"]
    told = await live_endpoints(desk.plane.feed, account=_account(visit), name=name)
    recent = await recent_exchanges(desk.plane.feed, name)
    if not isinstance(told, Success) or not isinstance(recent, Success):
        return FEED_AWAY
    members = tuple(each for each in value_of(told) if each.name == name and is_seen(visit, each.account))
    held = await desk.plane.store.name_holder(Label(name))
    if not isinstance(held, Success) and not isinstance(error_of(held), NotFound):
        return trouble_of(error_of(held))
    owner = value_of(held) if isinstance(held, Success) else None
    if owner is not None and not is_seen(visit, owner.account.hex()):
        owner = None
    if not members and owner is None:
        return NOT_FOUND
    leases = await desk.plane.store.leases_of(Label(name))
    if not isinstance(leases, Success):
        return trouble_of(error_of(leases))
    lapsed = tuple(each for each in value_of(leases) if is_seen(visit, each.account.hex())) if not members else ()
    # A name may have been another account's an hour ago: only what its present sessions answered is shown.
    seen = {each.session for each in members}
    shown = tuple(Shown(each, hop_bar(each)) for each in value_of(recent) if each.session in seen)
    return Page("endpoint.html", name, Endpoint(name, members, owner, lapsed, shown, visit.now))


def hop_bar(exchange: Exchange) -> HopBar:
    """Each hop's share of the time; what no hop accounts for stays empty."""
    times = tuple(max(hop, 0.0) for hop in (exchange.edge, exchange.link, exchange.local, exchange.body))
    whole = max(exchange.total, sum(times), 0.001)
    parts: list[HopPart] = []
    at = 0.0
    for (word, style), amount in zip(_PARTS, times, strict=True):
        width = _WHOLE * amount / whole
        if width > 0:
            parts.append(HopPart(style, round(at, 2), round(width, 2), f"{word}: {figures.milliseconds(amount)}"))
        at += width
    said = ", ".join(part.title for part in parts) or "not measured"
    return HopBar(tuple(parts), f"{figures.milliseconds(exchange.total)} in all; {said}")


async def _found(desk: Desk, visit: Visit) -> Outcome[LiveSession, Trouble]:
    told = await live_sessions(desk.plane.feed, account=_account(visit), session=visit.names["session"])
    if not isinstance(told, Success):
        return Failure(FEED_AWAY)
    for each in value_of(told):
        if str(each.session) == visit.names["session"] and is_seen(visit, each.account):
            return Success(each)
    return Failure(NOT_FOUND)


async def ask_kick(desk: Desk, visit: Visit) -> Answer:
    """The question before a session is ended."""
    found = await _found(desk, visit)
    if not isinstance(found, Success):
        return error_of(found)
    each = value_of(found)
    question = Question(
        f"End session {each.session} now?",
        "Requests that it is serving are cut off, and its names are free at once. The agent may connect again; "
        "revoke its token to keep it out.",
        f"/sessions/{each.session}/kick",
        "End the session",
        "/sessions",
    )
    return Page("confirm.html", "End a session", question)


async def ask_drain(desk: Desk, visit: Visit) -> Answer:
    """The question before a session is let run out."""
    found = await _found(desk, visit)
    if not isinstance(found, Success):
        return error_of(found)
    each = value_of(found)
    question = Question(
        f"Let session {each.session} run out?",
        "It takes no new visitors; those it is serving are served to their end, then it ends.",
        f"/sessions/{each.session}/drain",
        "Drain the session",
        "/sessions",
    )
    return Page("confirm.html", "Drain a session", question)


async def kick(desk: Desk, visit: Visit) -> Answer:
    """A session ended."""
    return await _order(desk, visit, "kick", "session-kicked")


async def drain(desk: Desk, visit: Visit) -> Answer:
    """A session on its way out."""
    return await _order(desk, visit, "drain", "session-drained")


async def _order(desk: Desk, visit: Visit, order: str, done: str) -> Answer:
    """The order is written into the audit trail before it is given: what cannot be written down is not done."""
    found = await _found(desk, visit)
    if not isinstance(found, Success):
        return error_of(found)
    each = value_of(found)
    account = AccountId(bytes.fromhex(each.account))
    facts = AuditFacts(visit.act, f"session.{order}", f"session {each.session}", account, "", "", visit.now)
    noted = await desk.plane.store.note_audit(facts)
    if not isinstance(noted, Success):
        return trouble_of(error_of(noted))
    more = {"reason": _REASON} if order == "kick" else {}
    told = await desk.plane.feed.ask(order, session=each.session, **more)
    if not isinstance(told, Success):
        return FEED_AWAY
    return Moved(visit.link("/sessions", done=done)) if value_of(told).get("count") else NOT_FOUND
