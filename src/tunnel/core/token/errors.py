"""What can be wrong with a token, a pattern or a request to mint one: facts, without any byte of a secret."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.token.token import EndpointKind, KeyId


@final
class TokenPart(Enum):
    """The part of a token that breaks its format; the value is its name for people."""

    TEXT_PREFIX = "prefix"
    TEXT_LENGTH = "length of the text"
    TEXT_ALPHABET = "alphabet"
    LENGTH = "length"
    VERSION = "version"
    KINDS = "endpoint kinds"
    LIMITS = "limits"
    PATTERN = "name pattern"
    TIMES = "validity period"
    STEPS = "chain of narrowings"
    WIDER = "narrowing"
    SEED = "secret"
    KEY_ID = "key ID"
    IDENTITY = "token ID"
    ACCOUNT = "account"


@final
@dataclass(frozen=True, slots=True)
class TokenMalformed:
    """Not a token at all, or not one of this version.

    `seen`: a length in bytes or characters, the number there, or of STEPS and WIDER which narrowing, counted from 1.
    """

    part: TokenPart
    seen: int


@final
@dataclass(frozen=True, slots=True)
class UnknownKey:
    """Signed, it says, by a key that this server does not know."""

    key_id: KeyId


@final
@dataclass(frozen=True, slots=True)
class BadSignature:
    """The named key did not sign these bytes: altered, forged or damaged."""

    key_id: KeyId


@final
@dataclass(frozen=True, slots=True)
class BrokenChain:
    """A narrowing was altered, removed, moved or taken from another token, or the secret at the end is another's.

    `step` is the narrowing whose signature does not hold, counted from 1; the secret counts as one after the last.
    """

    step: int


@final
@dataclass(frozen=True, slots=True)
class Sealed:
    """Nobody may narrow this token: it was sealed, or its `steps` narrowings are all that there is room for."""

    steps: int


@final
@dataclass(frozen=True, slots=True)
class WouldWiden:
    """Asked for more than the token has; `part` says of what."""

    part: TokenPart


@final
@dataclass(frozen=True, slots=True)
class NotYetValid:
    """Used before its time, or by a machine whose clock is wrong."""

    not_before: UnixSeconds
    now: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class Expired:
    """Used after its time."""

    expiry: UnixSeconds
    now: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class KindNotPermitted:
    """The token does not allow this kind of endpoint."""

    kind: EndpointKind


@final
@dataclass(frozen=True, slots=True)
class NameNotPermitted:
    """The token does not allow this name. `pattern` is what it allows."""

    name: Label
    pattern: str


@final
@dataclass(frozen=True, slots=True)
class BadPattern:
    """Neither a label, nor `*`, `*-suffix` or `prefix-*`; `seen` is cut to 64 characters."""

    seen: str


@final
@dataclass(frozen=True, slots=True)
class KeyUnusable:
    """A private key that is not 32 bytes long."""

    seen_bytes: int


@final
@dataclass(frozen=True, slots=True)
class PartUnfit:
    """A value that the named part of a token cannot hold, or a key ID that is not that of the signing key."""

    part: TokenPart


TimeError: TypeAlias = NotYetValid | Expired
TokenError: TypeAlias = TokenMalformed | UnknownKey | BadSignature | BrokenChain | TimeError
NotPermitted: TypeAlias = KindNotPermitted | NameNotPermitted
MintError: TypeAlias = KeyUnusable | PartUnfit
NarrowError: TypeAlias = TokenMalformed | Sealed | BrokenChain | WouldWiden | MintError
