"""The rights of one block of a token: 86 bytes that say what is allowed, encoded, decoded and compared.

     0  kinds 1 | names 2 | streams 2 | sessions 2
     7  not before 8 | expiry 8
    23  name pattern 63, padded with zeros

All numbers are big-endian. What may stand in a block is one function, asked when encoding and when decoding.
"""

from typing import Final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.base.partial import ascii_bytes, ascii_text, uint_at, uint_bytes
from tunnel.core.token.errors import TokenMalformed, TokenPart
from tunnel.core.token.rights import PATTERN_CHARS_MAX, covers, pattern_of
from tunnel.core.token.token import (
    ACCOUNT_BYTES,
    ENDPOINT_KINDS,
    EXPIRY_MAX,
    KEY_ID_BYTES,
    LIMIT_MAX,
    TOKEN_ID_BYTES,
    AccountId,
    Bound,
    KeyId,
    NamePattern,
    Token,
    TokenId,
)

RIGHTS_BYTES: Final = 86

_PATTERN_AT: Final = 23
_KIND_BITS: Final = 7


def rights_bytes(token: Token) -> bytes:
    """The 86 bytes; numbers out of range are clamped here and refused by `unfit_part`."""
    bits = sum([kind.value for kind in token.kinds])
    pattern = (ascii_bytes(token.pattern) or b"")[:PATTERN_CHARS_MAX]
    return b"".join(
        [
            uint_bytes(bits, 1),
            uint_bytes(token.names_max, 2),
            uint_bytes(token.streams_max, 2),
            uint_bytes(token.sessions_max, 2),
            uint_bytes(token.not_before, 8),
            uint_bytes(token.expiry, 8),
            pattern,
            uint_bytes(0, PATTERN_CHARS_MAX - len(pattern)),
        ]
    )


def token_at(
    rights: bytes, key_id: KeyId, token_id: TokenId, account: AccountId, ancestors: tuple[Bound, ...]
) -> Token | TokenMalformed:
    """The token whose own rights are these 86 bytes, or which part of them no token has."""
    bits = uint_at(rights, 0, 1)
    if bits & ~_KIND_BITS:
        return TokenMalformed(TokenPart.KINDS, bits)
    token = Token(
        key_id=key_id,
        token_id=token_id,
        account=account,
        pattern=NamePattern(ascii_text(rights[_PATTERN_AT:].rstrip(b"\x00")) or ""),
        kinds=frozenset([kind for kind in ENDPOINT_KINDS if kind.value & bits]),
        names_max=uint_at(rights, 1, 2),
        streams_max=uint_at(rights, 3, 2),
        sessions_max=uint_at(rights, 5, 2),
        not_before=UnixSeconds(uint_at(rights, 7, 8)),
        expiry=UnixSeconds(uint_at(rights, 15, 8)),
        ancestors=ancestors,
    )
    unfit = unfit_part(token)
    return token if unfit is None else TokenMalformed(unfit, 0)


def unfit_part(token: Token) -> TokenPart | None:
    """The first part that no token may have like this."""
    pattern = pattern_of(token.pattern)
    smallest = min(token.names_max, token.streams_max, token.sessions_max)
    largest = max(token.names_max, token.streams_max, token.sessions_max)
    if len(token.key_id) != KEY_ID_BYTES:
        return TokenPart.KEY_ID
    if len(token.token_id) != TOKEN_ID_BYTES:
        return TokenPart.IDENTITY
    if len(token.account) != ACCOUNT_BYTES:
        return TokenPart.ACCOUNT
    if not token.kinds:
        return TokenPart.KINDS
    if smallest < 1 or largest > LIMIT_MAX:
        return TokenPart.LIMITS
    if not isinstance(pattern, Success) or value_of(pattern) != token.pattern:
        return TokenPart.PATTERN
    if not 0 <= token.not_before < token.expiry <= EXPIRY_MAX:
        return TokenPart.TIMES
    return None


def widened_part(outer: Token, inner: Token) -> TokenPart | None:
    """The first part of which `inner` allows anything that `outer` does not; None when it adds no right."""
    if not inner.kinds <= outer.kinds:
        return TokenPart.KINDS
    is_within = (
        inner.names_max <= outer.names_max
        and inner.streams_max <= outer.streams_max
        and inner.sessions_max <= outer.sessions_max
    )
    if not is_within:
        return TokenPart.LIMITS
    if not covers(outer.pattern, inner.pattern):
        return TokenPart.PATTERN
    if inner.not_before < outer.not_before or inner.expiry > outer.expiry:
        return TokenPart.TIMES
    return None
