"""Tokens: minted and shown once, narrowed and explained from what was pasted, revoked by their row or by themselves."""

from dataclasses import dataclass, field
from typing import Final, final

from tunnel.api.pages.desk import Desk
from tunnel.api.pages.live_sessions import Question, is_seen
from tunnel.api.pages.visit import NOT_FOUND, Answer, Moved, Page, Trouble, Visit, trouble_of
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.control.credential import TokenRecord
from tunnel.core.control.minting import MintAsked
from tunnel.core.control.page import Page as StorePage
from tunnel.core.control.roles import Scope
from tunnel.core.control.ttl import TTL_FORMS, ttl_of
from tunnel.core.token.codec import decode_token, key_id_of, token_raw, token_text
from tunnel.core.token.errors import TokenMalformed
from tunnel.core.token.explain import describe as describe_token
from tunnel.core.token.explain import explain_raw
from tunnel.core.token.narrow import Narrowing, narrow_token
from tunnel.core.token.rights import pattern_of
from tunnel.core.token.token import ENDPOINT_KINDS, EndpointKind, NamePattern, Token, TokenId
from tunnel.core.token.verify import verify_to_revoke
from tunnel.store.errors import (
    AlreadyExists,
    Conflict,
    NotFound,
    QuotaExceeded,
    StoreUnavailable,
    Unstorable,
)
from tunnel.store.minting import describe as describe_mint
from tunnel.store.minting import mint_token, revoke

_STORE_ERRORS: Final = (NotFound, AlreadyExists, Conflict, QuotaExceeded, Unstorable, StoreUnavailable)
_SEED_BYTES: Final = 32
_LIMITS: Final = ("names", "streams", "sessions")
_PATTERN_WRONG: Final = "A name (a-z, 0-9, inner hyphens), `*`, `*-suffix` or `prefix-*`."


@final
@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens minted here, newest first."""

    tokens: tuple[TokenRecord, ...]
    kinds: tuple[EndpointKind, ...]
    can_mint: bool
    older: str
    now: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class Shown:
    """A token just made, which no later page shows again, and what it allows."""

    text: str = field(repr=False)
    lines: tuple[str, ...]
    back: str


@final
@dataclass(frozen=True, slots=True)
class Explained:
    """What a pasted token allows; `can_revoke` when it is the viewer's to revoke and was not revoked by its row."""

    lines: tuple[str, ...]
    token: str
    can_revoke: bool
    kinds: tuple[EndpointKind, ...]


async def tokens(desk: Desk, visit: Visit) -> Answer:
    """The list, and the form for a new one."""
    return await _list(desk, visit, {}, 200)


async def _list(desk: Desk, visit: Visit, wrong: dict[str, str], status: int) -> Answer:
    account = visit.account.account if visit.account is not None else None
    told = await desk.plane.store.tokens(account, StorePage(visit.query.get("after", "")))
    if not isinstance(told, Success):
        return trouble_of(error_of(told))
    page = value_of(told)
    older = visit.link("/tokens", after=page.next) if page.next else ""
    can_mint = account is not None and bool(desk.plane.settings.signing_key)
    values = {name: visit.said(name) for name in ("label", "pattern", "ttl", *_LIMITS)}
    values |= {f"kind-{kind}": "yes" for kind in visit.form.get("kind", ())}
    return Page(
        "tokens.html", "Tokens", Tokens(page.items, ENDPOINT_KINDS, can_mint, older, visit.now), status, wrong, values
    )


async def mint(desk: Desk, visit: Visit) -> Answer:
    """A new token, shown this once."""
    if visit.account is None:
        return Moved("/accounts")
    wrong: dict[str, str] = {}
    asked = MintAsked(
        pattern=visit.said("pattern"),
        kinds=_kinds(visit),
        ttl_seconds=_ttl(visit, wrong),
        names_max=_limit(visit, "names", wrong),
        streams_max=_limit(visit, "streams", wrong),
        sessions_max=_limit(visit, "sessions", wrong),
        label=visit.said("label"),
    )
    if not isinstance(pattern_of(asked.pattern), Success):
        wrong["pattern"] = _PATTERN_WRONG
    if not asked.kinds:
        wrong["kind"] = "Choose at least one kind of endpoint."
    if wrong:
        return await _list(desk, visit, wrong, 422)
    plane = desk.plane
    made = await mint_token(
        plane.store, plane.settings.signing_key, plane.entropy, visit.account.account, asked, visit.act, visit.now
    )
    if not isinstance(made, Success):
        error = error_of(made)
        if isinstance(error, _STORE_ERRORS):
            return trouble_of(error)
        return await _list(desk, visit, {"form": describe_mint(error)}, 422)
    return _shown(value_of(made).raw, value_of(made).text, visit, "Token minted")


def _shown(raw: bytes, text: str, visit: Visit, title: str) -> Answer:
    told = explain_raw(raw, visit.now)
    lines = tuple(value_of(told)[:-1]) if isinstance(told, Success) else ()
    return Page("token_shown.html", title, Shown(text, lines, visit.link("/tokens")))


def _kinds(visit: Visit) -> frozenset[EndpointKind]:
    chosen = visit.form.get("kind", ())
    return frozenset(kind for kind in ENDPOINT_KINDS if kind.name.lower() in chosen)


def _ttl(visit: Visit, wrong: dict[str, str]) -> int | None:
    text = visit.said("ttl")
    seconds = ttl_of(text) if text else None
    if text and seconds is None:
        wrong["ttl"] = f"This is not {TTL_FORMS}."
    return seconds


def _limit(visit: Visit, name: str, wrong: dict[str, str]) -> int | None:
    text = visit.said(name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len("65535")):
        wrong[name] = "A whole number, 1 to 65535."
        return None
    return int(text)


async def _own(desk: Desk, visit: Visit) -> Outcome[TokenRecord, Trouble]:
    try:
        token = TokenId(bytes.fromhex(visit.names["token"]))
    except ValueError:
        return Failure(NOT_FOUND)
    found = await desk.plane.store.token(token)
    if not isinstance(found, Success):
        return Failure(trouble_of(error_of(found)))
    record = value_of(found)
    return Success(record) if is_seen(visit, record.account.hex()) else Failure(NOT_FOUND)


async def ask_revoke(desk: Desk, visit: Visit) -> Answer:
    """The question before a token is revoked."""
    found = await _own(desk, visit)
    if not isinstance(found, Success):
        return error_of(found)
    record = value_of(found)
    question = Question(
        f"Revoke the token “{record.label or record.token.hex()}”?",
        "Its sessions end within a second, and so do those of every token that was narrowed from it. "
        "It cannot be taken back; mint another one instead.",
        f"/tokens/{record.token.hex()}/revoke",
        "Revoke the token",
        "/tokens",
    )
    return Page("confirm.html", "Revoke a token", question)


async def revoke_one(desk: Desk, visit: Visit) -> Answer:
    """The token of a row, revoked."""
    found = await _own(desk, visit)
    if not isinstance(found, Success):
        return error_of(found)
    revoked = await desk.plane.store.revoke_token(value_of(found).token, visit.act, visit.now)
    if not isinstance(revoked, Success):
        return trouble_of(error_of(revoked))
    return Moved(visit.link("/tokens", done="token-revoked"))


async def inspect(_desk: Desk, _visit: Visit) -> Answer:
    """The form for a token that somebody holds: to explain it, to narrow it, to revoke it."""
    return Page("token_inspect.html", "Inspect a token", Explained((), "", can_revoke=False, kinds=ENDPOINT_KINDS))


def _pasted(visit: Visit) -> Outcome[tuple[bytes, Token], TokenMalformed]:
    raw = token_raw(visit.said("token"))
    if not isinstance(raw, Success):
        return raw
    token = decode_token(value_of(raw))
    return Success((value_of(raw), value_of(token))) if isinstance(token, Success) else token


def _wrong_token(said: str, wrong: dict[str, str] | None = None, text: str = "") -> Answer:
    explained = Explained((), text, can_revoke=False, kinds=ENDPOINT_KINDS)
    errors = {"token": said} if said else dict(wrong or {})
    return Page("token_inspect.html", "Inspect a token", explained, 422, errors)


async def explain(_desk: Desk, visit: Visit) -> Answer:
    """What the pasted token allows. It is not kept, and stands in the page only for the form that goes on with it."""
    pasted = _pasted(visit)
    if not isinstance(pasted, Success):
        return _wrong_token(describe_token(error_of(pasted)))
    raw, token = value_of(pasted)
    told = explain_raw(raw, visit.now)
    if not isinstance(told, Success):
        return _wrong_token(describe_token(error_of(told)))
    can_revoke = visit.viewer.may(Scope.TOKEN_WRITE) and is_seen(visit, token.account.hex())
    record = Explained(tuple(value_of(told)), visit.said("token"), can_revoke=can_revoke, kinds=ENDPOINT_KINDS)
    return Page("token_inspect.html", "Inspect a token", record)


async def narrow(desk: Desk, visit: Visit) -> Answer:
    """A weaker token, made from the pasted one alone; the server's key is not used."""
    pasted = _pasted(visit)
    if not isinstance(pasted, Success):
        return _wrong_token(describe_token(error_of(pasted)))
    raw, _ = value_of(pasted)
    wrong: dict[str, str] = {}
    ttl = _ttl(visit, wrong)
    asked = Narrowing(
        pattern=_pattern(visit, wrong),
        kinds=_kinds(visit) or None,
        names_max=_limit(visit, "names", wrong),
        streams_max=_limit(visit, "streams", wrong),
        sessions_max=_limit(visit, "sessions", wrong),
        expiry=UnixSeconds(visit.now + ttl) if ttl is not None else None,
    )
    if wrong:
        return _wrong_token("", wrong, visit.said("token"))
    seed = None if visit.said("sealed") else desk.plane.entropy.random_bytes(_SEED_BYTES)
    made = narrow_token(raw, asked, seed)
    if not isinstance(made, Success):
        return _wrong_token("", {"form": describe_token(error_of(made))}, visit.said("token"))
    return _shown(value_of(made), token_text(value_of(made)), visit, "Token narrowed")


def _pattern(visit: Visit, wrong: dict[str, str]) -> NamePattern | None:
    text = visit.said("pattern")
    if not text:
        return None
    read = pattern_of(text)
    if isinstance(read, Success):
        return value_of(read)
    wrong["pattern"] = _PATTERN_WRONG
    return None


async def revoke_pasted(desk: Desk, visit: Visit) -> Answer:
    """The pasted token, revoked: also one that was narrowed elsewhere and stands in no list of ours."""
    pasted = _pasted(visit)
    if not isinstance(pasted, Success):
        return _wrong_token(describe_token(error_of(pasted)))
    raw, token = value_of(pasted)
    if not is_seen(visit, token.account.hex()):
        return NOT_FOUND
    # What is not signed can say of any token's ID that it is of this account.
    public = public_key_of(desk.plane.settings.signing_key) or b""
    verified = verify_to_revoke(raw, {key_id_of(public): public}, visit.now)
    if not isinstance(verified, Success):
        return _wrong_token(describe_token(error_of(verified)))
    revoked = await revoke(desk.plane.store, token, visit.act, visit.now)
    if not isinstance(revoked, Success):
        return trouble_of(error_of(revoked))
    return Moved(visit.link("/tokens", done="token-revoked"))
