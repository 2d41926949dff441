"""Whether a token may be minted for an account, and what it then says: one decision, for command line and API alike.

What it decides over are values: the account, what is asked, and who has reserved the name. Keys, randomness and the
database are the caller's (`store/minting.py`).
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.account import Account
from tunnel.core.control.credential import TokenRecord
from tunnel.core.control.ttl import TTL_SECONDS_MAX, ttl_text
from tunnel.core.token.errors import BadPattern
from tunnel.core.token.explain import describe as describe_token
from tunnel.core.token.rights import pattern_of
from tunnel.core.token.token import LIMIT_MAX, AccountId, EndpointKind, KeyId, NamePattern, Token, TokenId

TTL_DEFAULT: Final = 86_400
"""A day, for an account that says nothing: a forgotten token is over tomorrow."""
SKEW_SECONDS: Final = 60
"""A token is valid from a minute before it was made: the server's clock may be behind."""
LABEL_CHARS_MAX: Final = 100
"""What a person writes beside a token to know it again; a line of a table."""


@final
@dataclass(frozen=True, slots=True)
class MintAsked:
    """What a token is to allow. None leaves a choice to the account, or to the server's own limits."""

    pattern: str
    kinds: frozenset[EndpointKind]
    ttl_seconds: int | None = None
    names_max: int | None = None
    streams_max: int | None = None
    sessions_max: int | None = None
    label: str = ""


@final
@dataclass(frozen=True, slots=True)
class Mint:
    """A token that may be minted: all but its key and its ID."""

    account: AccountId
    pattern: NamePattern
    kinds: frozenset[EndpointKind]
    names_max: int
    streams_max: int
    sessions_max: int
    not_before: UnixSeconds
    expiry: UnixSeconds
    label: str


@final
@dataclass(frozen=True, slots=True)
class Suspended:
    """The account is suspended: nothing new is given out in its name."""

    account: str


@final
@dataclass(frozen=True, slots=True)
class TtlOutside:
    """Asked for a life of `seen` seconds, where the account allows 1 to `limit`."""

    seen: int
    limit: int


@final
@dataclass(frozen=True, slots=True)
class NoKind:
    """A token that allows no kind of endpoint allows nothing."""


@final
@dataclass(frozen=True, slots=True)
class LimitOutside:
    """The limit called `what` is not 1 to `limit`."""

    what: str
    seen: int
    limit: int


@final
@dataclass(frozen=True, slots=True)
class LabelUnfit:
    """The label is too long, or has a character that a table cannot show; `seen` is its length."""

    seen: int


@final
@dataclass(frozen=True, slots=True)
class NameOfAnother:
    """Another account has reserved the one name that the token would allow."""

    name: str


MintRefused: TypeAlias = Suspended | TtlOutside | NoKind | LimitOutside | LabelUnfit | NameOfAnother | BadPattern


def name_of(pattern: str) -> Label | None:
    """The one name that a pattern allows, in lower case, or None when it has a star or is none."""
    read = pattern_of(pattern)
    if not isinstance(read, Success) or "*" in value_of(read):
        return None
    return Label(value_of(read))


def decide_mint(
    account: Account, asked: MintAsked, holder: AccountId | None, limits: Limits, now: UnixSeconds
) -> Outcome[Mint, MintRefused]:
    """The token to mint, or why not. `holder`: the account that has reserved `name_of(asked.pattern)`, if any.

    Nothing that was asked for is made less: a life or a limit beyond what is allowed is refused.
    """
    pattern = pattern_of(asked.pattern)
    if not isinstance(pattern, Success):
        return Failure(error_of(pattern))
    refused = _refused(account, asked, holder)
    if refused is not None:
        return Failure(refused)
    seconds = _life(account) if asked.ttl_seconds is None else asked.ttl_seconds
    longest = account.ttl_max or TTL_SECONDS_MAX
    if not 1 <= seconds <= longest:
        return Failure(TtlOutside(seconds, longest))
    names, streams = asked.names_max, asked.streams_max
    mint = Mint(
        account=account.account,
        pattern=value_of(pattern),
        kinds=asked.kinds,
        names_max=limits.endpoints_per_session_max if names is None else names,
        streams_max=limits.streams_per_session_max if streams is None else streams,
        sessions_max=limits.sessions_per_token_max if asked.sessions_max is None else asked.sessions_max,
        not_before=UnixSeconds(max(now - SKEW_SECONDS, 0)),
        expiry=UnixSeconds(now + seconds),
        label=asked.label,
    )
    return Success(mint)


def token_of(mint: Mint, key_id: KeyId, token_id: TokenId) -> Token:
    """The token as it is signed."""
    return Token(
        key_id,
        token_id,
        mint.account,
        mint.pattern,
        mint.kinds,
        mint.names_max,
        mint.streams_max,
        mint.sessions_max,
        mint.not_before,
        mint.expiry,
    )


def record_of(token: Token, label: str, minted_by: str, now: UnixSeconds) -> TokenRecord:
    """The token as it is remembered."""
    return TokenRecord(
        token.token_id,
        token.account,
        label,
        token.pattern,
        token.kinds,
        token.names_max,
        token.streams_max,
        token.sessions_max,
        token.not_before,
        token.expiry,
        minted_by,
        now,
        None,
    )


def describe(error: MintRefused) -> str:
    """What was seen, what was expected and what to do, in a sentence."""
    if isinstance(error, BadPattern):
        return describe_token(error)
    if isinstance(error, Suspended):
        return f"The account `{error.account}` is suspended; resume it first."
    if isinstance(error, TtlOutside):
        return (
            f"A life of {ttl_text(error.seen)} is not within 1s to {ttl_text(error.limit)}, which the account allows."
        )
    if isinstance(error, NoKind):
        return "A token needs at least one kind of endpoint: http, tcp or tls."
    return _describe_value(error)


def _describe_value(error: LimitOutside | LabelUnfit | NameOfAnother) -> str:
    if isinstance(error, LimitOutside):
        return f"The number of {error.what} is {error.seen}, which is not 1 to {error.limit}."
    if isinstance(error, LabelUnfit):
        return f"The label has {error.seen} characters; it may have {LABEL_CHARS_MAX}, all printable and on one line."
    return f"The name `{error.name}` is reserved by another account; choose another, or have it released."


def _refused(account: Account, asked: MintAsked, holder: AccountId | None) -> MintRefused | None:
    """The first thing that is wrong apart from pattern and life."""
    if account.is_suspended:
        return Suspended(account.name)
    if not asked.kinds:
        return NoKind()
    for what, seen in (("names", asked.names_max), ("streams", asked.streams_max), ("sessions", asked.sessions_max)):
        if seen is not None and not 1 <= seen <= LIMIT_MAX:
            return LimitOutside(what, seen, LIMIT_MAX)
    if len(asked.label) > LABEL_CHARS_MAX or not asked.label.isprintable():
        return LabelUnfit(len(asked.label))
    if holder is not None and holder != account.account:
        return NameOfAnother(asked.pattern.lower())
    return None


def _life(account: Account) -> int:
    """How long a token of the account lives when nobody says."""
    wanted = account.ttl_default or TTL_DEFAULT
    return min(wanted, account.ttl_max) if account.ttl_max > 0 else wanted
