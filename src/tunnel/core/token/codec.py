"""The 240 bytes of a token (spec/token.md): encoded and signed, decoded and checked, written as text and read back.

    0  version 1 | kinds 1 | names 2 | streams 2 | sessions 2 | key ID 8
   16  token ID 16 | account 16 | not before 8 | expiry 8
   64  name pattern 64, padded with zeros
  128  reserved 48, zeros: room for the parent and the key of a narrowing chain (version 2)
  176  Ed25519 signature 64, over CONTEXT and the 176 bytes before it

All numbers are big-endian. There is one encoding per token and one text per encoding.
"""

from typing import Final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import (
    ascii_bytes,
    ascii_text,
    base64url_bytes,
    base64url_text,
    public_key_of,
    sha256_digest,
    signature_of,
    uint_at,
    uint_bytes,
)
from tunnel.core.token.errors import KeyUnusable, MintError, PartUnfit, TokenMalformed, TokenPart
from tunnel.core.token.rights import pattern_of
from tunnel.core.token.token import (
    ACCOUNT_BYTES,
    ENDPOINT_KINDS,
    EXPIRY_MAX,
    KEY_ID_BYTES,
    LIMIT_MAX,
    TEXT_PREFIX,
    TOKEN_BYTES,
    TOKEN_ID_BYTES,
    TOKEN_TEXT_CHARS,
    AccountId,
    KeyId,
    NamePattern,
    Token,
    TokenId,
)

TOKEN_VERSION: Final = 1
SIGNED_BYTES: Final = 176
CONTEXT: Final = b"tunnel/token/1\x00"
"""Signed in front of every token, so that no signature of this key over anything else is ever one over a token."""

_PATTERN_AT: Final = 64
_RESERVED_AT: Final = 128
_RESERVED: Final = uint_bytes(0, 48)
_KIND_BITS: Final = 7


def key_id_of(public_key: bytes) -> KeyId:
    """The first 8 bytes of the SHA-256 of a public key."""
    return KeyId(sha256_digest(public_key)[:KEY_ID_BYTES])


def signed_part(raw: bytes) -> bytes:
    """What the signature of a token is made over."""
    return CONTEXT + raw[:SIGNED_BYTES]


def encode_token(token: Token, private_key: bytes) -> Outcome[bytes, MintError]:
    """The signed 240 bytes of `token`; `decode_token` gives back an equal token."""
    body = _body(token)
    public_key = public_key_of(private_key)
    signature = signature_of(private_key, signed_part(body))
    if public_key is None or signature is None:
        return Failure(KeyUnusable(len(private_key)))
    unfit = _unfit_part(token)
    if unfit is not None:
        return Failure(PartUnfit(unfit))
    if token.key_id != key_id_of(public_key):
        return Failure(PartUnfit(TokenPart.KEY_ID))
    return Success(body + signature)


def decode_token(raw: bytes) -> Outcome[Token, TokenMalformed]:
    """The token that the bytes say; nothing is proved until `verify.verify_token` has looked at the signature."""
    if len(raw) != TOKEN_BYTES:
        return Failure(TokenMalformed(TokenPart.LENGTH, len(raw)))
    version = uint_at(raw, 0, 1)
    if version != TOKEN_VERSION:
        return Failure(TokenMalformed(TokenPart.VERSION, version))
    bits = uint_at(raw, 1, 1)
    if bits & ~_KIND_BITS:
        return Failure(TokenMalformed(TokenPart.KINDS, bits))
    if raw[_RESERVED_AT:SIGNED_BYTES] != _RESERVED:
        return Failure(TokenMalformed(TokenPart.RESERVED, 1))
    token = _token(raw, bits)
    unfit = _unfit_part(token)
    if unfit is not None:
        return Failure(TokenMalformed(unfit, 0))
    return Success(token)


def token_text(raw: bytes) -> str:
    """The text form of an encoded token: one word, 325 characters, safe in a shell, a URL and an environment."""
    return TEXT_PREFIX + base64url_text(raw)


def token_raw(text: str) -> Outcome[bytes, TokenMalformed]:
    """The bytes of a token's text. The whole text, nothing around it: the caller strips the newline of a file."""
    if not text.startswith(TEXT_PREFIX):
        return Failure(TokenMalformed(TokenPart.TEXT_PREFIX, len(text)))
    if len(text) != TOKEN_TEXT_CHARS:
        return Failure(TokenMalformed(TokenPart.TEXT_LENGTH, len(text)))
    raw = base64url_bytes(text[len(TEXT_PREFIX) :])
    return Failure(TokenMalformed(TokenPart.TEXT_ALPHABET, len(text))) if raw is None else Success(raw)


def _body(token: Token) -> bytes:
    """The first 176 bytes; numbers out of range are clamped here and refused by `_unfit_part`."""
    bits = sum([kind.value for kind in token.kinds])
    pattern = (ascii_bytes(token.pattern) or b"")[: _RESERVED_AT - _PATTERN_AT]
    return b"".join(
        [
            uint_bytes(TOKEN_VERSION, 1),
            uint_bytes(bits, 1),
            uint_bytes(token.names_max, 2),
            uint_bytes(token.streams_max, 2),
            uint_bytes(token.sessions_max, 2),
            token.key_id,
            token.token_id,
            token.account,
            uint_bytes(token.not_before, 8),
            uint_bytes(token.expiry, 8),
            pattern,
            uint_bytes(0, _RESERVED_AT - _PATTERN_AT - len(pattern)),
            _RESERVED,
        ]
    )


def _token(raw: bytes, bits: int) -> Token:
    """The fields as they stand in 240 bytes; what cannot be right is for `_unfit_part` to find."""
    return Token(
        key_id=KeyId(raw[8:16]),
        token_id=TokenId(raw[16:32]),
        account=AccountId(raw[32:48]),
        pattern=NamePattern(ascii_text(raw[_PATTERN_AT:_RESERVED_AT].rstrip(b"\x00")) or ""),
        kinds=frozenset([kind for kind in ENDPOINT_KINDS if kind.value & bits]),
        names_max=uint_at(raw, 2, 2),
        streams_max=uint_at(raw, 4, 2),
        sessions_max=uint_at(raw, 6, 2),
        not_before=UnixSeconds(uint_at(raw, 48, 8)),
        expiry=UnixSeconds(uint_at(raw, 56, 8)),
    )


def _unfit_part(token: Token) -> TokenPart | None:
    """The first part that no token may have like this; asked when encoding and when decoding, so that both agree."""
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
