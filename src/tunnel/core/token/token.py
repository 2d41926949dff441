"""A capability token as a value: who may expose which names, how much of it, and from when to when."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NewType, final

from tunnel.core.base.ids import UnixSeconds

TOKEN_BYTES: Final = 801
"""Every token has this length, narrowed or not; a multiple of three, so that its text has no spare bits."""
TEXT_PREFIX: Final = "tnl2_"
"""What a secret scanner looks for, and what tells a person that this is a token of ours."""
TOKEN_TEXT_CHARS: Final = 1073
"""The prefix and 1068 characters of base64url (RFC 4648 section 5)."""
STEPS_MAX: Final = 3
"""Narrowings of one token: an operator's for a team, the team's for a person, the person's for a job (ADR 0061)."""

KEY_ID_BYTES: Final = 8
TOKEN_ID_BYTES: Final = 16
ACCOUNT_BYTES: Final = 16
LIMIT_MAX: Final = 0xFFFF
"""The largest limit that its two bytes can say."""
EXPIRY_MAX: Final = 253_402_300_799
"""9999-12-31T23:59:59Z; a later moment is a mistake of whoever minted, and has no calendar date in most tools."""

KeyId = NewType("KeyId", bytes)
"""Which signing key, 8 bytes; made from the public key by `codec.key_id_of`."""
TokenId = NewType("TokenId", bytes)
"""Which token: the identity that takes its own names back, and what a revocation list holds.

16 random bytes of a minted one; of a narrowed one the digest of all that was signed for it (TOKEN-CHAIN-006).
"""
AccountId = NewType("AccountId", bytes)
"""Whose token, 16 bytes; tokens of one account may follow each other on a name."""
NamePattern = NewType("NamePattern", str)
"""Which names: one label, `*`, `*-suffix` or `prefix-*`, in lower case; made by `rights.pattern_of` only."""


@final
class EndpointKind(Enum):
    """What is exposed; the value is also its bit in a token and its byte on the link."""

    HTTP = 1
    TCP = 2
    TLS = 4


ENDPOINT_KINDS: Final[tuple[EndpointKind, ...]] = (EndpointKind.HTTP, EndpointKind.TCP, EndpointKind.TLS)
"""All kinds in the order of their bits."""


@final
@dataclass(frozen=True, slots=True)
class Bound:
    """How much may be used at once by a token and all that was narrowed from it, together (TOKEN-RIGHT-004)."""

    token_id: TokenId
    names_max: int
    streams_max: int
    sessions_max: int


@final
@dataclass(frozen=True, slots=True)
class Token:
    """The rights that a token grants; neither its signatures nor its secret are part of it, so this may be logged.

    `names_max`, `streams_max` and `sessions_max` are 1 to 65,535: names held, streams open and links open at once
    by this token. The server's own limits apply too; the smaller number counts. It is valid from `not_before`
    (inclusive) to `expiry` (exclusive).

    A narrowed token is this too: the rights are those that are left, `token_id` is its own, and `ancestors` are the
    tokens that it was narrowed from, the minted one first.
    """

    key_id: KeyId
    token_id: TokenId
    account: AccountId
    pattern: NamePattern
    kinds: frozenset[EndpointKind]
    names_max: int
    streams_max: int
    sessions_max: int
    not_before: UnixSeconds
    expiry: UnixSeconds
    ancestors: tuple[Bound, ...] = ()


def bounds_of(token: Token) -> tuple[Bound, ...]:
    """What counts for the token: the bounds of all of its chain, its own last."""
    return (*token.ancestors, Bound(token.token_id, token.names_max, token.streams_max, token.sessions_max))


def ids_of(token: Token) -> tuple[TokenId, ...]:
    """The IDs of its chain, its own last: it is revoked when any of them is (TOKEN-CHAIN-006)."""
    return (*[each.token_id for each in token.ancestors], token.token_id)
