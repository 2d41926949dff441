"""Tokens and their errors in words a person understands; no key is needed, so nothing here proves anything."""

from collections.abc import Mapping
from typing import Final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.token.errors import (
    BadPattern,
    BadSignature,
    Expired,
    KeyUnusable,
    KindNotPermitted,
    MintError,
    NameNotPermitted,
    NotPermitted,
    NotYetValid,
    PartUnfit,
    TokenError,
    TokenMalformed,
    TokenPart,
    UnknownKey,
)
from tunnel.core.token.moments import count_text, duration_text, moment_text
from tunnel.core.token.token import ENDPOINT_KINDS, Token

_PASTE: Final = "copy it again from where it was minted, whole and on one line"
_MALFORMED: Final[Mapping[TokenPart, str]] = {
    TokenPart.TEXT_PREFIX: f"This is no token: tokens begin with `tnl1_`; {_PASTE}.",
    TokenPart.TEXT_LENGTH: f"The token is not 325 characters long, so some of it is missing or added; {_PASTE}.",
    TokenPart.TEXT_ALPHABET: f"The token holds a character that no token has; {_PASTE}.",
    TokenPart.LENGTH: f"The token is not 240 bytes long; {_PASTE}.",
    TokenPart.VERSION: "The token is of a version that this program does not know; use a newer program.",
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


def describe(error: TokenError | NotPermitted | MintError | BadPattern) -> str:
    """What was seen, what was expected and what to do, in a sentence or two."""
    if isinstance(error, (TokenMalformed, UnknownKey, BadSignature)):
        return _describe_unproved(error)
    if isinstance(error, NotYetValid):
        wait = duration_text(error.not_before - error.now)
        return f"The token becomes valid in {wait}, at {moment_text(error.not_before)}; check this machine's clock."
    if isinstance(error, Expired):
        return f"The token expired {duration_text(error.now - error.expiry)} ago; ask for a new one."
    return _describe_refused(error)


def _describe_unproved(error: TokenMalformed | UnknownKey | BadSignature) -> str:
    if isinstance(error, TokenMalformed):
        return _MALFORMED.get(error.part, f"The token's {error.part.value} cannot be right; {_PASTE}.")
    if isinstance(error, UnknownKey):
        return f"The token was signed by key {error.key_id.hex()}, which this server does not know; ask its operator."
    return f"The token was not signed by key {error.key_id.hex()}, so it was altered or damaged; {_PASTE}."


def _describe_refused(error: NotPermitted | MintError | BadPattern) -> str:
    if isinstance(error, KindNotPermitted):
        return f"The token does not allow {error.kind.name} endpoints; ask for one that does."
    if isinstance(error, NameNotPermitted):
        return f"The token does not allow the name `{error.name}`, only {_names(error.pattern)}."
    if isinstance(error, BadPattern):
        return f"`{error.seen}` is no name pattern: a name (a-z, 0-9, inner hyphens), `*`, `*-suffix` or `prefix-*`."
    if isinstance(error, KeyUnusable):
        return f"The signing key is {error.seen_bytes} bytes long instead of 32; restore it from a backup."
    return _describe_unfit(error)


def _describe_unfit(error: PartUnfit) -> str:
    return f"No token can have this {error.part.value}; see spec/token.md for what fits."


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
