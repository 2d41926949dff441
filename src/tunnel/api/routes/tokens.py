"""Capability tokens: minted, listed, revoked and explained. Narrowing needs no server: `tunnel token narrow`."""

from enum import Enum
from typing import Annotated, Final

from fastapi import Path as FromPath
from pydantic import Field

from tunnel.api.calls import (
    SECONDS_MAX,
    WHOLE,
    AccountInPath,
    AccountText,
    AskedPage,
    Call,
    Listing,
    Moment,
    Shape,
    Text,
    ThisCall,
    account_id,
)
from tunnel.api.nouns import CREATED, Noun
from tunnel.api.problems import CONFLICT, NOT_FOUND, ProblemAnswer
from tunnel.api.scoped import ANY_SCOPE
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.control.credential import TokenRecord
from tunnel.core.control.minting import MintAsked
from tunnel.core.control.roles import Scope
from tunnel.core.token.codec import key_id_of, token_raw
from tunnel.core.token.explain import describe as describe_token
from tunnel.core.token.explain import explain_raw
from tunnel.core.token.token import ENDPOINT_KINDS, LIMIT_MAX, EndpointKind, TokenId
from tunnel.core.token.verify import verify_to_revoke
from tunnel.store import minting
from tunnel.store.errors import AlreadyExists, Conflict, NotFound, QuotaExceeded, StoreUnavailable, Unstorable

noun = Noun("tokens")

_TEXT_CHARS_MAX: Final = 4096

TokenInPath = Annotated[str, FromPath(pattern="^[0-9a-f]{32}$", description="The ID of a token.")]
Lifetime = Annotated[int, Field(strict=True, ge=1, le=SECONDS_MAX), WHOLE]
AtOnce = Annotated[int, Field(strict=True, ge=1, le=LIMIT_MAX), WHOLE]
TokenText = Annotated[
    str, Field(max_length=_TEXT_CHARS_MAX, pattern=r"^\s*tnl[0-9]_[A-Za-z0-9_-]+\s*$", description="A token: a secret.")
]


class Kind(Enum):
    """What a token may expose."""

    HTTP = "http"
    TCP = "tcp"
    TLS = "tls"


class TokenOut(Shape):
    """A token that was minted here: its rights and its story, never the token itself."""

    token: str
    account: AccountText
    label: str
    pattern: str
    kinds: list[Kind]
    names_max: int
    streams_max: int
    sessions_max: int
    not_before: Moment
    expiry: Moment
    minted_by: str
    created: Moment
    revoked: Moment | None


class TokenIn(Shape):
    """A token to be minted. What is left out is as the account, or else the server, has it."""

    pattern: Annotated[Text, Field(min_length=1, description="One name, `*`, `*-suffix` or `prefix-*`.")]
    kinds: Annotated[list[Kind], Field(min_length=1, max_length=3)] = Field(default_factory=lambda: [Kind.HTTP])
    ttl_seconds: Lifetime | None = None
    names_max: AtOnce | None = None
    streams_max: AtOnce | None = None
    sessions_max: AtOnce | None = None
    label: Text = ""


class TokenMinted(Shape):
    """A token just made. `secret` is the token itself, and is shown this once; `explained` says what it allows."""

    token: TokenOut
    secret: str
    explained: list[str]


class TokenPage(Listing[TokenOut]):
    """Tokens, the newest first."""


class TokenShown(Shape):
    """A token that somebody holds, narrowed or not."""

    secret: TokenText


class Explained(Shape):
    """What a token says of itself, in sentences; whether it is signed is not looked at."""

    sentences: list[str]


class Revoked(Shape):
    """The ID that is void from now on, and with it all that was or will be narrowed from it."""

    token: str


@noun.reads("/accounts/{account}/tokens", Scope.TOKEN_READ, TokenPage)
async def list_tokens(call: ThisCall, asked: AskedPage) -> Listing[TokenOut] | ProblemAnswer:
    """List the tokens that were minted for an account."""
    return call.listed(await call.store.tokens(asked.account, asked.page), _out, TokenPage)


@noun.writes("POST", "/accounts/{account}/tokens", Scope.TOKEN_WRITE, TokenMinted, CREATED)
async def mint_token(call: ThisCall, account: AccountInPath, asked: TokenIn) -> TokenMinted | ProblemAnswer:
    """Mint a token for an account; it is in this answer and nowhere else."""
    wanted = MintAsked(
        asked.pattern,
        frozenset(EndpointKind[each.name] for each in asked.kinds),
        asked.ttl_seconds,
        asked.names_max,
        asked.streams_max,
        asked.sessions_max,
        asked.label,
    )
    plane = call.plane
    key, entropy = plane.settings.signing_key, plane.entropy
    act, now = call.actor.act, call.now
    signed = await minting.sign_token(plane.store, key, entropy, account_id(account), wanted, act, now)
    if not isinstance(signed, Success):
        return _mint_refused(call, error_of(signed))
    made = value_of(signed)
    explained = explain_raw(made.raw, now)
    sentences = value_of(explained) if isinstance(explained, Success) else []

    def shown(record: TokenRecord) -> TokenMinted:
        return TokenMinted(token=_out(record), secret=made.text, explained=sentences)

    return call.answered(await call.keeping(shown, CREATED).record_token(made.record, act, now), shown)


@noun.reads("/accounts/{account}/tokens/{token}", Scope.TOKEN_READ, TokenOut)
async def show_token(call: ThisCall, account: AccountInPath, token: TokenInPath) -> TokenOut | ProblemAnswer:
    """Show a token."""
    found = await _token_of(call, account, token)
    return _out(found) if isinstance(found, TokenRecord) else found


@noun.writes("DELETE", "/accounts/{account}/tokens/{token}", Scope.TOKEN_WRITE, TokenOut)
async def revoke_token(call: ThisCall, account: AccountInPath, token: TokenInPath) -> TokenOut | ProblemAnswer:
    """Revoke a token, and with it all that was narrowed from it; its live sessions end within a second."""
    found = await _token_of(call, account, token)
    if not isinstance(found, TokenRecord):
        return found
    revoked = await call.keeping(_out).revoke_token(found.token, call.actor.act, call.now)
    return call.answered(revoked, _out)


@noun.writes("POST", "/accounts/{account}/revocations", Scope.TOKEN_WRITE, Revoked)
async def revoke_shown_token(call: ThisCall, account: AccountInPath, asked: TokenShown) -> Revoked | ProblemAnswer:
    """Revoke a token that is shown, also one narrowed offline, of which the server knows nothing. Ours alone."""
    raw = token_raw(asked.secret.strip())
    if not isinstance(raw, Success):
        return call.wrong("body.secret", describe_token(error_of(raw)))
    public = public_key_of(call.plane.settings.signing_key) or b""
    verified = verify_to_revoke(value_of(raw), {key_id_of(public): public}, call.now)
    if not isinstance(verified, Success):
        return call.wrong("body.secret", describe_token(error_of(verified)))
    token = value_of(verified)
    if token.account != account_id(account):
        return call.problem(NOT_FOUND, "The token is of another account.")

    def shown(_: object) -> Revoked:
        return Revoked(token=token.token_id.hex())

    return call.answered(await minting.revoke(call.keeping(shown), token, call.actor.act, call.now), shown)


@noun.asks("/tokens/explain", ANY_SCOPE, Explained)
async def explain_token(call: ThisCall, asked: TokenShown) -> Explained | ProblemAnswer:
    """Say in words what a token allows, narrowing by narrowing."""
    raw = token_raw(asked.secret.strip())
    if not isinstance(raw, Success):
        return call.wrong("body.secret", describe_token(error_of(raw)))
    explained = explain_raw(value_of(raw), call.now)
    if not isinstance(explained, Success):
        return call.wrong("body.secret", describe_token(error_of(explained)))
    return Explained(sentences=value_of(explained))


async def _token_of(call: Call, account: str, token: str) -> TokenRecord | ProblemAnswer:
    """The token of this account; one of another is as good as none."""
    found = await call.store.token(TokenId(bytes.fromhex(token)))
    if not isinstance(found, Success):
        return call.refused(error_of(found))
    record = value_of(found)
    return record if record.account == account_id(account) else call.problem(NOT_FOUND, f"There is no token `{token}`.")


def _mint_refused(call: Call, error: minting.MintFailure) -> ProblemAnswer:
    if isinstance(error, (NotFound, AlreadyExists, Conflict, QuotaExceeded, Unstorable, StoreUnavailable)):
        return call.refused(error)
    return call.problem(CONFLICT, minting.describe(error))


def _out(token: TokenRecord) -> TokenOut:
    return TokenOut(
        token=token.token.hex(),
        account=token.account.hex(),
        label=token.label,
        pattern=token.pattern,
        kinds=[Kind[kind.name] for kind in ENDPOINT_KINDS if kind in token.kinds],
        names_max=token.names_max,
        streams_max=token.streams_max,
        sessions_max=token.sessions_max,
        not_before=token.not_before,
        expiry=token.expiry,
        minted_by=token.minted_by,
        created=token.created,
        revoked=token.revoked,
    )
