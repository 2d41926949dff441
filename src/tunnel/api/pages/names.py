"""Names: what the account reserved, reserving and releasing, and who answers for each at this time."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.api.pages.desk import Desk
from tunnel.api.pages.feed_view import LiveEndpoint, live_endpoints
from tunnel.api.pages.live_sessions import Question, is_seen
from tunnel.api.pages.visit import NOT_FOUND, Answer, Moved, Page, Visit, path_part, trouble_of
from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.name import NameRecord
from tunnel.core.control.page import Page as StorePage
from tunnel.core.token.rights import pattern_of
from tunnel.store.errors import AlreadyExists, QuotaExceeded, describe

_NOTE_CHARS_MAX: Final = 200


@final
@dataclass(frozen=True, slots=True)
class Reserved:
    """One reserved name, and who answers for it now; the account is shown where there are several."""

    record: NameRecord
    holders: tuple[LiveEndpoint, ...]


@final
@dataclass(frozen=True, slots=True)
class Names:
    """The reserved names, by name; `is_live` says whether who answers for them could be asked."""

    names: tuple[Reserved, ...]
    is_live: bool
    older: str
    now: UnixSeconds


async def names(desk: Desk, visit: Visit) -> Answer:
    """The list, and the form for one more."""
    return await _list(desk, visit, {}, 200)


async def _list(desk: Desk, visit: Visit, wrong: dict[str, str], status: int) -> Answer:
    account = visit.account.account if visit.account is not None else None
    told = await desk.plane.store.names(account, StorePage(visit.query.get("after", "")))
    if not isinstance(told, Success):
        return trouble_of(error_of(told))
    live = await live_endpoints(desk.plane.feed, account="" if account is None else account.hex())
    # An agent of who had the name before may still answer for it: who that is is not this account's to know.
    endpoints = [each for each in value_of(live) if is_seen(visit, each.account)] if isinstance(live, Success) else []
    rows = tuple(
        Reserved(record, tuple(each for each in endpoints if each.name == record.name))
        for record in value_of(told).items
    )
    following = value_of(told).next
    older = visit.link("/names", after=following) if following else ""
    values = {name: visit.said(name) for name in ("name", "note")}
    record = Names(rows, isinstance(live, Success), older, visit.now)
    return Page("names.html", "Names", record, status, wrong, values)


async def reserve(desk: Desk, visit: Visit) -> Answer:
    """A name that is the account's from now on."""
    if visit.account is None:
        return Moved("/accounts")
    text, note = visit.said("name").lower(), visit.said("note")
    if "*" in text or not isinstance(pattern_of(text), Success):
        return await _list(desk, visit, {"name": "A name has a-z, 0-9 and inner hyphens, 63 at most."}, 422)
    if len(note) > _NOTE_CHARS_MAX or not note.isprintable():
        return await _list(desk, visit, {"note": f"One line, {_NOTE_CHARS_MAX} characters at most."}, 422)
    record = NameRecord(Label(text), visit.account.account, visit.now, note)
    reserved = await desk.plane.store.reserve_name(record, visit.act, visit.now)
    if not isinstance(reserved, Success):
        error = error_of(reserved)
        if isinstance(error, (AlreadyExists, QuotaExceeded)):
            return await _list(desk, visit, {"name": describe(error)}, 422)
        return trouble_of(error)
    return Moved(visit.link("/names", done="name-reserved"))


async def ask_release(desk: Desk, visit: Visit) -> Answer:
    """The question before a name is given up."""
    found = await desk.plane.store.name_holder(Label(visit.names["name"]))
    if not isinstance(found, Success):
        return trouble_of(error_of(found))
    record = value_of(found)
    if not is_seen(visit, record.account.hex()):
        return NOT_FOUND
    question = Question(
        f"Release the name “{record.name}”?",
        "Whoever asks for it first gets it then, also somebody of another account. An agent that answers for it now "
        "goes on.",
        f"/names/{path_part(record.name)}/release",
        "Release the name",
        "/names",
    )
    return Page("confirm.html", "Release a name", question)


async def release(desk: Desk, visit: Visit) -> Answer:
    """A name given up."""
    account = visit.account.account if visit.account is not None else None
    released = await desk.plane.store.release_name(Label(visit.names["name"]), account, visit.act, visit.now)
    if not isinstance(released, Success):
        return trouble_of(error_of(released))
    return Moved(visit.link("/names", done="name-released"))
