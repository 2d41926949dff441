"""Tokens and their errors in words a person understands; no key is needed, so nothing here proves anything."""

from collections.abc import Mapping
from typing import Final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Outcome, Success, value_of
from tunnel.core.base.partial import item_at
from tunnel.core.token.codec import NO_KEY, decode_chain, next_key
from tunnel.core.token.errors import (
    BadPattern,
    BadSignature,
    BrokenChain,
    Expired,
    KeyUnusable,
    KindNotPermitted,
    MintError,
    NameNotPermitted,
    NarrowError,
    NotPermitted,
    NotYetValid,
    PartUnfit,
    Sealed,
    TokenError,
    TokenMalformed,
    TokenPart,
    UnknownKey,
    WouldWiden,
)
from tunnel.core.token.moments import count_text, duration_text, moment_text
from tunnel.core.token.token import ENDPOINT_KINDS, STEPS_MAX, Token

_PASTE: Final = "copy it again from where it was minted, whole and on one line"
_MALFORMED: Final[Mapping[TokenPart, str]] = {
    TokenPart.TEXT_PREFIX: f"This is no token: tokens begin with `tnl2_`; {_PASTE}.",
    TokenPart.TEXT_LENGTH: f"The token is not 1073 characters long, so some of it is missing or added; {_PASTE}.",
    TokenPart.TEXT_ALPHABET: f"The token holds a character that no token has; {_PASTE}.",
    TokenPart.LENGTH: f"The token is not 801 bytes long; {_PASTE}.",
    TokenPart.VERSION: "The token is of a version that this program does not know; use a newer program.",
    TokenPart.WIDER: "A narrowing of the token adds a right, which none can; ask whoever narrowed it for another.",
}
_WIDER: Final[Mapping[TokenPart, str]] = {
    TokenPart.KINDS: "a kind of endpoint that it does not allow",
    TokenPart.LIMITS: "a limit above its own",
    TokenPart.PATTERN: "names that it does not allow",
    TokenPart.TIMES: "time outside of its own",
}


def explain(token: Token, now: UnixSeconds) -> list[str]:
    """What the token allows, a sentence a line; it ends by saying that the signature was not looked at."""
    kinds = ", ".join([kind.name for kind in ENDPOINT_KINDS if kind in token.kinds])
    names, links = count_text(token.names_max, "name"), count_text(token.sessions_max, "link")
    streams = count_text(token.streams_max, "stream")
    since, until = moment_text(token.not_before), moment_text(token.expiry)
    return [
        f"Allows {kinds} endpoints under {_names(token.pattern)}.",
        f"At once: {names}, {links}, {streams}; the server's own limits apply too.",
        f"Valid from {since} until {until}: {_standing(token, now)}.",
        f"Token {token.token_id.hex()} of account {token.account.hex()}, signed by key {token.key_id.hex()}.",
        "The signature was not checked; only a server that knows the key can do that.",
    ]


def explain_raw(raw: bytes, now: UnixSeconds) -> Outcome[list[str], TokenMalformed]:
    """As `explain`, with how a narrowed token came to be, step by step, and whether it can be narrowed on."""
    decoded = decode_chain(raw)
    if not isinstance(decoded, Success):
        return decoded
    chain = value_of(decoded)
    rights, steps = explain(chain.token, now), len(chain.before)
    became: list[str] = []
    outer: Token | None = None
    for token in [*chain.before, chain.token] if steps else []:
        became.append(_minted_line(token) if outer is None else _step_line(outer, token))
        outer = token
    return Success([*rights[:4], *became, _future(steps, is_sealed=next_key(raw, steps) == NO_KEY), *rights[4:]])


def describe(error: TokenError | NotPermitted | NarrowError | BadPattern) -> str:
    """What was seen, what was expected and what to do, in a sentence or two."""
    if isinstance(error, (TokenMalformed, UnknownKey, BadSignature, BrokenChain)):
        return _describe_unproved(error)
    if isinstance(error, NotYetValid):
        wait = duration_text(error.not_before - error.now)
        return f"The token becomes valid in {wait}, at {moment_text(error.not_before)}; check this machine's clock."
    if isinstance(error, Expired):
        return f"The token expired {duration_text(error.now - error.expiry)} ago; ask for a new one."
    return _describe_refused(error)


def _describe_unproved(error: TokenMalformed | UnknownKey | BadSignature | BrokenChain) -> str:
    if isinstance(error, TokenMalformed):
        return _MALFORMED.get(error.part, f"The token's {error.part.value} cannot be right; {_PASTE}.")
    if isinstance(error, UnknownKey):
        return f"The token was signed by key {error.key_id.hex()}, which this server does not know; ask its operator."
    if isinstance(error, BrokenChain):
        return f"Narrowing {error.step} of the token was altered, moved or cut off; ask whoever gave it to you again."
    return f"The token was not signed by key {error.key_id.hex()}, so it was altered or damaged; {_PASTE}."


def _describe_refused(error: NotPermitted | Sealed | WouldWiden | MintError | BadPattern) -> str:
    if isinstance(error, KindNotPermitted):
        return f"The token does not allow {error.kind.name} endpoints; ask for one that does."
    if isinstance(error, NameNotPermitted):
        return f"The token does not allow the name `{error.name}`, only {_names(error.pattern)}."
    if isinstance(error, (Sealed, WouldWiden)):
        return _describe_unnarrowed(error)
    if isinstance(error, BadPattern):
        return f"`{error.seen}` is no name pattern: a name (a-z, 0-9, inner hyphens), `*`, `*-suffix` or `prefix-*`."
    if isinstance(error, KeyUnusable):
        return f"The signing key is {error.seen_bytes} bytes long instead of 32; restore it from a backup."
    return _describe_unfit(error)


def _describe_unnarrowed(error: Sealed | WouldWiden) -> str:
    if isinstance(error, WouldWiden):
        wanted = _WIDER.get(error.part, error.part.value)
        return f"A narrowed token cannot have {wanted}: narrowing takes away only; `token explain` says what is there."
    if error.steps < STEPS_MAX:
        return "The token is sealed: whoever made it wanted nobody to narrow it; ask them for one that is not."
    return f"The token was narrowed {error.steps} times, which is the most; narrow the one that it was made from."


def _describe_unfit(error: PartUnfit) -> str:
    return f"No token can have this {error.part.value}; see spec/token.md for what fits."


def _minted_line(token: Token) -> str:
    return f"Minted as token {token.token_id.hex()}: {'; '.join(_parts(token))}."


def _step_line(outer: Token, inner: Token) -> str:
    """What a narrowing took away."""
    before = _parts(outer)
    left = [part for at, part in enumerate(_parts(inner)) if part != item_at(before, at)] or ["all as before"]
    return f"Narrowed, step {len(inner.ancestors)}, to token {inner.token_id.hex()}: {'; '.join(left)}."


def _parts(token: Token) -> list[str]:
    kinds = ", ".join([kind.name for kind in ENDPOINT_KINDS if kind in token.kinds])
    return [
        kinds,
        _names(token.pattern),
        count_text(token.names_max, "name"),
        count_text(token.sessions_max, "link"),
        count_text(token.streams_max, "stream"),
        f"from {moment_text(token.not_before)}",
        f"until {moment_text(token.expiry)}",
    ]


def _future(steps: int, *, is_sealed: bool) -> str:
    if not is_sealed:
        return f"Its holder can narrow it {count_text(STEPS_MAX - steps, 'more time')}, without the server."
    return "It is sealed: nobody can narrow it."


def _names(pattern: str) -> str:
    if pattern == "*":
        return "any one name"
    if pattern.startswith("*"):
        return f"any name that ends in `{pattern[1:]}`"
    if pattern.endswith("*"):
        return f"any name that begins with `{pattern[:-1]}`"
    return f"the name `{pattern}`"


def _standing(token: Token, now: UnixSeconds) -> str:
    if now < token.not_before:
        return f"valid in {duration_text(token.not_before - now)}"
    if now < token.expiry:
        return f"expires in {duration_text(token.expiry - now)}"
    return f"expired {duration_text(now - token.expiry)} ago"
