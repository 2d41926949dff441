"""Members and API keys of an account: who may sign in and as what; a key is shown once."""

from dataclasses import dataclass, field
from typing import Final, final

from tunnel.api.pages.desk import Desk
from tunnel.api.pages.live_sessions import Question
from tunnel.api.pages.visit import NOT_ALLOWED, NOT_FOUND, Answer, Moved, Page, Trouble, Visit, trouble_of
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.account import Member
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.keys import NEW_KEY_BYTES, new_key
from tunnel.core.control.page import PAGE_ROWS_MAX
from tunnel.core.control.page import Page as StorePage
from tunnel.core.control.roles import Role, Scope, role_of, scopes_of
from tunnel.core.control.ttl import TTL_FORMS, ttl_of
from tunnel.store.errors import AlreadyExists, describe

_IDENTITY_CHARS_MAX: Final = 320
"""The longest e-mail address there is (RFC 3696, erratum 1690); subjects are shorter."""
_LABEL_CHARS_MAX: Final = 100
_OPERATOR: Final = "operator"
_MORE_THAN_OWN: Final = "Nobody gives more rights than they have; choose another role."


@final
@dataclass(frozen=True, slots=True)
class People:
    """The members and keys of an account; without one, the operators' keys and all others."""

    members: tuple[Member, ...]
    keys: tuple[KeyRecord, ...]
    roles: tuple[tuple[str, str], ...]
    own_key: str
    older: str
    now: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class KeyShown:
    """A key just made, which no later page shows again."""

    text: str = field(repr=False)
    role: str
    back: str


async def people(desk: Desk, visit: Visit) -> Answer:
    """Both lists, and the forms for one more of each."""
    return await _list(desk, visit, {}, 200)


async def _list(desk: Desk, visit: Visit, wrong: dict[str, str], status: int) -> Answer:
    account = visit.account.account if visit.account is not None else None
    members: tuple[Member, ...] = ()
    if account is not None:
        told = await desk.plane.store.members(account, StorePage(limit=PAGE_ROWS_MAX))
        if not isinstance(told, Success):
            return trouble_of(error_of(told))
        members = value_of(told).items
    keys = await desk.plane.store.keys(account, StorePage(visit.query.get("after", "")))
    if not isinstance(keys, Success):
        return trouble_of(error_of(keys))
    following = value_of(keys).next
    older = visit.link("/people", after=following) if following else ""
    roles = tuple((role.value, role.value) for role in Role) if account else ((_OPERATOR, _OPERATOR),)
    record = People(members, value_of(keys).items, roles, visit.viewer.key, older, visit.now)
    values = {name: visit.said(name) for name in ("identity", "label", "ttl")}
    values |= {name: visit.said(name) or Role.DEVELOPER.value for name in ("role", "key_role")}
    return Page("people.html", "Members and keys", record, status, wrong, values)


async def add_member(desk: Desk, visit: Visit) -> Answer:
    """One more member."""
    if visit.account is None:
        return Moved("/accounts")
    identity, role = _identity(visit.said("identity")), role_of(visit.said("role"))
    if not identity:
        said = "An e-mail address, or the provider's subject as issuer|subject."
        return await _list(desk, visit, {"identity": said}, 422)
    if role is None:
        return await _list(desk, visit, {"role": "Choose a role."}, 422)
    if not scopes_of(role) <= visit.viewer.scopes:
        return await _list(desk, visit, {"role": _MORE_THAN_OWN}, 422)
    member = Member(visit.account.account, identity, role, visit.now)
    added = await desk.plane.store.add_member(member, visit.act, visit.now)
    if not isinstance(added, Success):
        error = error_of(added)
        if isinstance(error, AlreadyExists):
            return await _list(desk, visit, {"identity": describe(error)}, 422)
        return trouble_of(error)
    return Moved(visit.link("/people", done="member-added"))


def _identity(text: str) -> str:
    """An identity as sign-in knows it: addresses in lower case, subjects as they are; "" when it is neither."""
    if not text.isprintable() or len(text) > _IDENTITY_CHARS_MAX:
        return ""
    issuer, bar, subject = text.partition("|")
    if bar:
        return text if issuer.startswith(("https://", "http://")) and subject else ""
    name, at, host = text.partition("@")
    return text.lower() if name and at and host and " " not in text else ""


async def change_member(desk: Desk, visit: Visit) -> Answer:
    """Another role, or no membership any more."""
    if visit.account is None:
        return NOT_FOUND
    identity, role = visit.said("identity"), role_of(visit.said("role"))
    account, store = visit.account.account, desk.plane.store
    if visit.said("remove"):
        removed = await store.remove_member(account, identity, visit.act, visit.now)
        if not isinstance(removed, Success):
            return trouble_of(error_of(removed))
        return Moved(visit.link("/people", done="member-removed"))
    if role is None:
        return NOT_FOUND
    if not scopes_of(role) <= visit.viewer.scopes:
        return NOT_ALLOWED
    changed = await store.change_member(account, identity, role, visit.act, visit.now)
    if not isinstance(changed, Success):
        return trouble_of(error_of(changed))
    return Moved(visit.link("/people", done="member-changed"))


async def mint_key(desk: Desk, visit: Visit) -> Answer:
    """A new key, shown this once."""
    label, ttl, chosen = visit.said("label"), visit.said("ttl"), visit.said("key_role")
    role = role_of(chosen)
    seconds = ttl_of(ttl) if ttl else None
    is_operators = visit.account is None and visit.viewer.is_operator and chosen == _OPERATOR
    wanted = frozenset(Scope) if is_operators else scopes_of(role or Role.AUDITOR)
    wrong: dict[str, str] = {}
    if not label or len(label) > _LABEL_CHARS_MAX or not label.isprintable():
        wrong["label"] = f"One line of 1 to {_LABEL_CHARS_MAX} characters, to know the key by."
    if ttl and seconds is None:
        wrong["ttl"] = f"This is not {TTL_FORMS}."
    if role is None and not is_operators:
        wrong["key_role"] = "Choose a role."
    elif not wanted <= visit.viewer.scopes:
        wrong["key_role"] = _MORE_THAN_OWN
    if wrong:
        return await _list(desk, visit, wrong, 422)
    made = new_key(desk.plane.entropy.random_bytes(NEW_KEY_BYTES))
    record = KeyRecord(
        key=made.key,
        account=None if visit.account is None else visit.account.account,
        label=label,
        role=role or Role.OWNER,
        scopes=wanted,
        secret_hash=made.secret_hash,
        created=visit.now,
        expires=None if seconds is None else UnixSeconds(visit.now + seconds),
        revoked=None,
        last_used=None,
    )
    minted = await desk.plane.store.mint_key(record, visit.act, visit.now)
    if not isinstance(minted, Success):
        return trouble_of(error_of(minted))
    shown = KeyShown(made.text, _OPERATOR if is_operators else record.role.value, visit.link("/people"))
    return Page("key_shown.html", "Key made", shown)


async def _own(desk: Desk, visit: Visit) -> Outcome[KeyRecord, Trouble]:
    found = await desk.plane.store.key(visit.names["key"])
    if not isinstance(found, Success):
        return Failure(trouble_of(error_of(found)))
    record = value_of(found)
    is_theirs = visit.viewer.is_operator or record.account == visit.viewer.account
    return Success(record) if is_theirs else Failure(NOT_FOUND)


async def ask_revoke_key(desk: Desk, visit: Visit) -> Answer:
    """The question before a key is revoked."""
    found = await _own(desk, visit)
    if not isinstance(found, Success):
        return error_of(found)
    record = value_of(found)
    about = (
        " It is the key that you are signed in with: you will be signed out." if record.key == visit.viewer.key else ""
    )
    question = Question(
        f"Revoke the key “{record.label or record.key}”?",
        f"Programs that use it are refused from their next request on.{about} It cannot be taken back.",
        f"/people/keys/{record.key}/revoke",
        "Revoke the key",
        "/people",
    )
    return Page("confirm.html", "Revoke a key", question)


async def revoke_key(desk: Desk, visit: Visit) -> Answer:
    """A key revoked."""
    found = await _own(desk, visit)
    if not isinstance(found, Success):
        return error_of(found)
    revoked = await desk.plane.store.revoke_key(value_of(found).key, visit.act, visit.now)
    if not isinstance(revoked, Success):
        return trouble_of(error_of(revoked))
    return Moved(visit.link("/people", done="key-revoked"))
