"""The 801 bytes of a token (spec/token.md): encoded and signed, decoded and checked, written as text and read back.

      0  version 2 | rights 86 | key ID 8 | token ID 16 | account 16 | next key 32
    159  Ed25519 signature 64 by the server's key, over CONTEXT and the 159 bytes before it
    223  three steps of 182: rights 86 | next key 32 | signature 64 by the next key of the block before it,
         over STEP_CONTEXT and all bytes before it; a step that was not taken is zeros
    769  seed 32: the private key of the last next key; zeros, like that key, in a token that is sealed

There is one encoding per token and one text per encoding.
"""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.base.partial import (
    ED25519_KEY_BYTES,
    base64url_bytes,
    base64url_text,
    public_key_of,
    sha256_digest,
    signature_of,
    uint_at,
    uint_bytes,
)
from tunnel.core.token.block import RIGHTS_BYTES, rights_bytes, token_at, unfit_part, widened_part
from tunnel.core.token.errors import KeyUnusable, MintError, PartUnfit, TokenMalformed, TokenPart
from tunnel.core.token.token import (
    KEY_ID_BYTES,
    STEPS_MAX,
    TEXT_PREFIX,
    TOKEN_BYTES,
    TOKEN_ID_BYTES,
    TOKEN_TEXT_CHARS,
    AccountId,
    KeyId,
    Token,
    TokenId,
    bounds_of,
)

TOKEN_VERSION: Final = 2
SIGNED_BYTES: Final = 159
"""Of the minted block, before its signature."""
MINTED_BYTES: Final = 223
STEP_SIGNED_BYTES: Final = 118
STEP_BYTES: Final = 182
SEED_AT: Final = 769
CONTEXT: Final = b"tunnel/token/2\x00"
"""Signed in front of every token, so that no signature of this key over anything else is ever one over a token."""
STEP_CONTEXT: Final = b"tunnel/narrow/2\x00"
NO_KEY: Final = uint_bytes(0, ED25519_KEY_BYTES)
"""In the place of a next key, and of its seed: the token is sealed."""

_ID_CONTEXT: Final = b"tunnel/token-id/2\x00"
_RIGHTS_AT: Final = 1
_KEY_ID_AT: Final = 87
_TOKEN_ID_AT: Final = 95
_ACCOUNT_AT: Final = 111
_NEXT_KEY_AT: Final = 127
_NO_STEP: Final = uint_bytes(0, STEP_BYTES)


def key_id_of(public_key: bytes) -> KeyId:
    """The first 8 bytes of the SHA-256 of a public key."""
    return KeyId(sha256_digest(public_key)[:KEY_ID_BYTES])


def signed_part(raw: bytes) -> bytes:
    """What the signature of a minted block is made over."""
    return CONTEXT + raw[:SIGNED_BYTES]


def step_signed_part(raw: bytes, at: int) -> bytes:
    """What the signature of the step at `at` is made over: everything before it, so that no step fits elsewhere."""
    return STEP_CONTEXT + raw[: at + STEP_SIGNED_BYTES]


def step_at(step: int) -> int:
    """Where a step begins; the first is 1."""
    return MINTED_BYTES + (step - 1) * STEP_BYTES


def next_key(raw: bytes, steps: int) -> bytes:
    """The public key that the minted block (0) or a step names for whoever narrows next; `NO_KEY` when sealed."""
    at = _NEXT_KEY_AT if steps == 0 else step_at(steps) + RIGHTS_BYTES
    return raw[at : at + ED25519_KEY_BYTES]


def step_id(raw: bytes, at: int) -> TokenId:
    """The ID of the token that the step at `at` made."""
    return TokenId(sha256_digest(_ID_CONTEXT + raw[: at + STEP_SIGNED_BYTES])[:TOKEN_ID_BYTES])


def encode_token(token: Token, private_key: bytes, seed: bytes | None = None) -> Outcome[bytes, MintError]:
    """The signed bytes of a token that is nobody's narrowing; `decode_token` gives back an equal one.

    `seed`: 32 fresh random bytes with which its holder may narrow it; without, it is sealed.
    """
    public_key = public_key_of(private_key)
    holder_key = NO_KEY if seed is None else public_key_of(seed)
    body = _minted_body(token, holder_key or NO_KEY)
    signature = signature_of(private_key, signed_part(body))
    if public_key is None or signature is None:
        return Failure(KeyUnusable(len(private_key)))
    if holder_key is None:
        return Failure(PartUnfit(TokenPart.SEED))
    unfit = TokenPart.STEPS if token.ancestors else unfit_part(token)
    if unfit is not None:
        return Failure(PartUnfit(unfit))
    if token.key_id != key_id_of(public_key):
        return Failure(PartUnfit(TokenPart.KEY_ID))
    return Success(b"".join([body, signature, _NO_STEP, _NO_STEP, _NO_STEP, NO_KEY if seed is None else seed]))


@final
@dataclass(frozen=True, slots=True)
class Chain:
    """A token with those that it was narrowed from, each as it was; the minted one is the first of `before`."""

    before: tuple[Token, ...]
    token: Token


def decode_token(raw: bytes) -> Outcome[Token, TokenMalformed]:
    """The token that the bytes say; nothing is proved until `verify.verify_token` has looked at the signatures."""
    decoded = decode_chain(raw)
    return Success(value_of(decoded).token) if isinstance(decoded, Success) else decoded


def decode_chain(raw: bytes) -> Outcome[Chain, TokenMalformed]:
    """As `decode_token`, with all that the token was before."""
    if len(raw) != TOKEN_BYTES:
        return Failure(TokenMalformed(TokenPart.LENGTH, len(raw)))
    version = uint_at(raw, 0, 1)
    if version != TOKEN_VERSION:
        return Failure(TokenMalformed(TokenPart.VERSION, version))
    token = _minted(raw)
    before: list[Token] = []
    for step in range(1, STEPS_MAX + 1):
        if isinstance(token, Token) and raw[step_at(step) : step_at(step + 1)] != _NO_STEP:
            before.append(token)
            token = _narrowed(raw, token, step)
    ended = _ended(raw, token) if isinstance(token, Token) else token
    return Success(Chain(tuple(before), ended)) if isinstance(ended, Token) else Failure(ended)


def token_text(raw: bytes) -> str:
    """The text form of an encoded token: one word, 1073 characters, safe in a shell, a URL and an environment."""
    return TEXT_PREFIX + base64url_text(raw)


def token_raw(text: str) -> Outcome[bytes, TokenMalformed]:
    """The bytes of a token's text. The whole text, nothing around it: the caller strips the newline of a file."""
    if not text.startswith(TEXT_PREFIX):
        return Failure(TokenMalformed(TokenPart.TEXT_PREFIX, len(text)))
    if len(text) != TOKEN_TEXT_CHARS:
        return Failure(TokenMalformed(TokenPart.TEXT_LENGTH, len(text)))
    raw = base64url_bytes(text[len(TEXT_PREFIX) :])
    return Failure(TokenMalformed(TokenPart.TEXT_ALPHABET, len(text))) if raw is None else Success(raw)


def _minted_body(token: Token, holder_key: bytes) -> bytes:
    """The first 159 bytes."""
    named = [token.key_id, token.token_id, token.account, holder_key]
    return b"".join([uint_bytes(TOKEN_VERSION, 1), rights_bytes(token), *named])


def _minted(raw: bytes) -> Token | TokenMalformed:
    """The token of the first block alone."""
    return token_at(
        raw[_RIGHTS_AT:_KEY_ID_AT],
        KeyId(raw[_KEY_ID_AT:_TOKEN_ID_AT]),
        TokenId(raw[_TOKEN_ID_AT:_ACCOUNT_AT]),
        AccountId(raw[_ACCOUNT_AT:_NEXT_KEY_AT]),
        (),
    )


def _narrowed(raw: bytes, outer: Token, step: int) -> Token | TokenMalformed:
    """What a step makes of the token before it, which it may follow only directly and only if that is not sealed."""
    if len(outer.ancestors) != step - 1 or next_key(raw, step - 1) == NO_KEY:
        return TokenMalformed(TokenPart.STEPS, step)
    at = step_at(step)
    rights = raw[at : at + RIGHTS_BYTES]
    inner = token_at(rights, outer.key_id, step_id(raw, at), outer.account, bounds_of(outer))
    if isinstance(inner, Token) and widened_part(outer, inner) is not None:
        return TokenMalformed(TokenPart.WIDER, step)
    return inner


def _ended(raw: bytes, token: Token) -> Token | TokenMalformed:
    """The token, if it ends as its last block says: sealed without a seed, as it must be when no step is left."""
    steps = len(token.ancestors)
    if next_key(raw, steps) != NO_KEY:
        return TokenMalformed(TokenPart.STEPS, steps) if steps == STEPS_MAX else token
    return token if raw[SEED_AT:] == NO_KEY else TokenMalformed(TokenPart.SEED, 0)
