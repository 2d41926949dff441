"""Tokens as bytes and as text: one encoding each, read back equal, refused with the faulty part named otherwise.

Tokens are drawn field by field; damage is done to whole encodings, byte by byte and bit by bit.
"""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success, value_of
from tunnel.core.base.partial import base64url_bytes, public_key_of, sha256_digest, signature_holds
from tunnel.core.token.codec import (
    CONTEXT,
    SIGNED_BYTES,
    decode_token,
    encode_token,
    key_id_of,
    token_raw,
    token_text,
)
from tunnel.core.token.errors import KeyUnusable, PartUnfit, TokenMalformed, TokenPart
from tunnel.core.token.rights import pattern_of
from tunnel.core.token.token import (
    ENDPOINT_KINDS,
    EXPIRY_MAX,
    TEXT_PREFIX,
    TOKEN_BYTES,
    TOKEN_TEXT_CHARS,
    AccountId,
    Bound,
    EndpointKind,
    KeyId,
    NamePattern,
    Token,
    TokenId,
)

PRIVATE_KEY: Final = bytes(range(32))
SEED: Final = bytes(range(100, 132))
PUBLIC_KEY: Final = public_key_of(PRIVATE_KEY) or b""
LIMITS: Final = st.integers(1, 0xFFFF)


@st.composite
def patterns(draw: st.DrawFn) -> NamePattern:
    label = draw(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,59}[a-z0-9])?", fullmatch=True))
    return NamePattern(draw(st.sampled_from([label, "*", f"*-{label}"[:63], f"{label}-*"])).rstrip("-"))


@st.composite
def tokens(draw: st.DrawFn) -> Token:
    not_before = draw(st.integers(0, EXPIRY_MAX - 1))
    return Token(
        key_id=key_id_of(PUBLIC_KEY),
        token_id=TokenId(draw(st.binary(min_size=16, max_size=16))),
        account=AccountId(draw(st.binary(min_size=16, max_size=16))),
        pattern=draw(patterns()),
        kinds=draw(st.frozensets(st.sampled_from(EndpointKind), min_size=1)),
        names_max=draw(LIMITS),
        streams_max=draw(LIMITS),
        sessions_max=draw(LIMITS),
        not_before=UnixSeconds(not_before),
        expiry=UnixSeconds(draw(st.integers(not_before + 1, EXPIRY_MAX))),
    )


def example_token(
    *,
    pattern: str = "demo",
    kinds: frozenset[EndpointKind] = frozenset({EndpointKind.HTTP}),
    names_max: int = 2,
    not_before: int = 1000,
    expiry: int = 2000,
    key_id: bytes = key_id_of(PUBLIC_KEY),
    token_id: bytes = bytes(16),
    account: bytes = bytes(16),
) -> Token:
    return Token(
        KeyId(key_id),
        TokenId(token_id),
        AccountId(account),
        NamePattern(pattern),
        kinds,
        names_max,
        3,
        4,
        UnixSeconds(not_before),
        UnixSeconds(expiry),
    )


def encoded(token: Token) -> bytes:
    done = encode_token(token, PRIVATE_KEY)
    assert isinstance(done, Success)
    return value_of(done)


RAW: Final = encoded(example_token())


def changed(at: int, new: bytes) -> bytes:
    return RAW[:at] + new + RAW[at + len(new) :]


@pytest.mark.shows("TOKEN-FORM-001", "TOKEN-FORM-007")
@given(tokens())
def test_a_token_reads_back_from_its_801_bytes(token: Token) -> None:
    raw = encoded(token)
    assert len(raw) == TOKEN_BYTES == 801
    assert decode_token(raw) == Success(token)


@pytest.mark.shows("TOKEN-FORM-001")
def test_the_fields_stand_where_the_layout_says() -> None:
    token = example_token(token_id=b"T" * 16, account=b"A" * 16, kinds=frozenset(ENDPOINT_KINDS))
    expected = (
        bytes.fromhex("02 07 0002 0003 0004")
        + (1000).to_bytes(8, "big")
        + (2000).to_bytes(8, "big")
        + b"demo".ljust(63, b"\0")
        + key_id_of(PUBLIC_KEY)
        + b"T" * 16
        + b"A" * 16
    )
    assert encoded(token)[:SIGNED_BYTES] == expected + bytes(32)
    assert encoded(token)[SIGNED_BYTES + 64 :] == bytes(3 * 182 + 32)
    open_one = encode_token(token, PRIVATE_KEY, SEED)
    assert isinstance(open_one, Success)
    assert value_of(open_one)[:SIGNED_BYTES] == expected + (public_key_of(SEED) or b"")
    assert value_of(open_one)[SIGNED_BYTES + 64 :] == bytes(3 * 182) + SEED


@pytest.mark.shows("TOKEN-SIGN-001", "TOKEN-SIGN-003")
def test_the_signature_covers_the_context_and_the_first_159_bytes() -> None:
    assert CONTEXT == b"tunnel/token/2\0"
    assert signature_holds(PUBLIC_KEY, RAW[159:223], b"tunnel/token/2\0" + RAW[:159])
    assert key_id_of(PUBLIC_KEY) == sha256_digest(PUBLIC_KEY)[:8]


@pytest.mark.shows("TOKEN-FORM-007")
@given(st.binary(min_size=795, max_size=805))
def test_arbitrary_bytes_never_raise(raw: bytes) -> None:
    decoded = decode_token(raw)
    assert isinstance(decoded, Failure) or len(raw) == TOKEN_BYTES


@pytest.mark.shows("TOKEN-FORM-007")
@given(tokens(), st.integers(0, SIGNED_BYTES - 33), st.integers(1, 255))
def test_damaged_bytes_decode_to_a_token_with_those_very_bytes_or_not_at_all(token: Token, at: int, bits: int) -> None:
    raw = bytearray(encoded(token))
    raw[at] ^= bits
    decoded = decode_token(bytes(raw))
    if isinstance(decoded, Success):
        again = value_of(decoded)
        other_key = again.key_id != token.key_id
        assert other_key or encoded(again)[:SIGNED_BYTES] == raw[:SIGNED_BYTES]


@pytest.mark.shows("TOKEN-FORM-002", "TOKEN-FORM-003", "TOKEN-FORM-004", "TOKEN-FORM-005", "TOKEN-FORM-006")
@pytest.mark.parametrize(
    ("raw", "part", "seen"),
    [
        (RAW[:-1], TokenPart.LENGTH, 800),
        (RAW + b"\0", TokenPart.LENGTH, 802),
        (b"", TokenPart.LENGTH, 0),
        (changed(0, b"\0"), TokenPart.VERSION, 0),
        (changed(0, b"\1"), TokenPart.VERSION, 1),
        (changed(1, b"\0"), TokenPart.KINDS, 0),
        (changed(1, b"\x09"), TokenPart.KINDS, 9),
        (changed(2, b"\0\0"), TokenPart.LIMITS, 0),
        (changed(4, b"\0\0"), TokenPart.LIMITS, 0),
        (changed(6, b"\0\0"), TokenPart.LIMITS, 0),
        (changed(8, (2000).to_bytes(8, "big")), TokenPart.TIMES, 0),
        (changed(16, (EXPIRY_MAX + 1).to_bytes(8, "big")), TokenPart.TIMES, 0),
        (changed(24, b"Demo"), TokenPart.PATTERN, 0),
        (changed(24, b"\0\0\0\0"), TokenPart.PATTERN, 0),
        (changed(24, b"de\0o"), TokenPart.PATTERN, 0),
        (changed(24, b"-emo"), TokenPart.PATTERN, 0),
        (changed(24, b"\xffemo"), TokenPart.PATTERN, 0),
        (changed(223, b"\1"), TokenPart.STEPS, 1),
        (changed(768, b"\1"), TokenPart.STEPS, 3),
        (changed(769, b"\1"), TokenPart.SEED, 0),
        (changed(800, b"\1"), TokenPart.SEED, 0),
    ],
)
def test_each_part_that_breaks_the_format_is_named(raw: bytes, part: TokenPart, seen: int) -> None:
    assert decode_token(raw) == Failure(TokenMalformed(part, seen))


@pytest.mark.shows("TOKEN-FORM-008")
@pytest.mark.parametrize(
    ("token", "part"),
    [
        (example_token(key_id=bytes(7)), TokenPart.KEY_ID),
        (example_token(key_id=bytes(8)), TokenPart.KEY_ID),
        (example_token(token_id=bytes(17)), TokenPart.IDENTITY),
        (example_token(account=b""), TokenPart.ACCOUNT),
        (example_token(kinds=frozenset()), TokenPart.KINDS),
        (example_token(names_max=0), TokenPart.LIMITS),
        (example_token(names_max=65536), TokenPart.LIMITS),
        (example_token(pattern="Demo"), TokenPart.PATTERN),
        (example_token(pattern="é"), TokenPart.PATTERN),
        (example_token(pattern="a" * 64), TokenPart.PATTERN),
        (example_token(not_before=-1), TokenPart.TIMES),
        (example_token(not_before=2000), TokenPart.TIMES),
        (example_token(expiry=EXPIRY_MAX + 1), TokenPart.TIMES),
        (replace(example_token(), ancestors=(Bound(TokenId(bytes(16)), 9, 9, 9),)), TokenPart.STEPS),
    ],
)
def test_a_value_that_does_not_fit_is_not_minted(token: Token, part: TokenPart) -> None:
    assert encode_token(token, PRIVATE_KEY) == Failure(PartUnfit(part))


@pytest.mark.shows("TOKEN-FORM-008")
@given(st.binary(max_size=80).filter(lambda key: len(key) != 32))
def test_a_key_of_another_length_mints_nothing(key: bytes) -> None:
    assert encode_token(example_token(), key) == Failure(KeyUnusable(len(key)))


@pytest.mark.shows("TOKEN-FORM-008")
@given(st.binary(max_size=80).filter(lambda seed: len(seed) != 32))
def test_a_seed_of_another_length_mints_nothing(seed: bytes) -> None:
    assert encode_token(example_token(), PRIVATE_KEY, seed) == Failure(PartUnfit(TokenPart.SEED))


@pytest.mark.shows("TOKEN-TEXT-001", "TOKEN-TEXT-002")
@given(tokens())
def test_the_text_reads_back_and_has_one_spelling(token: Token) -> None:
    text = token_text(encoded(token))
    assert (len(text), text[:5]) == (TOKEN_TEXT_CHARS, TEXT_PREFIX)
    assert token_raw(text) == Success(encoded(token))


@pytest.mark.shows("TOKEN-TEXT-002")
@given(st.text(st.characters(categories=None)), st.sampled_from(["", TEXT_PREFIX]))
@example("", TEXT_PREFIX)
@example("é" * 1068, TEXT_PREFIX)
@example("=" * 1068, TEXT_PREFIX)
@example("A" * 1066 + "==", TEXT_PREFIX)
@example("A" * 1067 + "\n", TEXT_PREFIX)
@example("A" * 1067 + " ", TEXT_PREFIX)
def test_arbitrary_text_is_refused_or_is_the_one_text_of_its_bytes(text: str, prefix: str) -> None:
    whole = prefix + text
    read = token_raw(whole)
    assert isinstance(read, Failure) or token_text(value_of(read)) == whole


@pytest.mark.shows("TOKEN-TEXT-002", "TOKEN-TEXT-003")
@pytest.mark.parametrize(
    ("text", "part"),
    [
        (token_text(RAW)[:-1], TokenPart.TEXT_LENGTH),
        (token_text(RAW) + "\n", TokenPart.TEXT_LENGTH),
        (" " + token_text(RAW), TokenPart.TEXT_PREFIX),
        (token_text(RAW)[1:], TokenPart.TEXT_PREFIX),
        (token_text(RAW).upper(), TokenPart.TEXT_PREFIX),
        (token_text(RAW)[:-1] + "+", TokenPart.TEXT_ALPHABET),
        (token_text(RAW)[:-1] + "=", TokenPart.TEXT_ALPHABET),
        (token_text(RAW)[:100] + "\n" + token_text(RAW)[101:], TokenPart.TEXT_ALPHABET),
        ("", TokenPart.TEXT_PREFIX),
    ],
)
def test_a_damaged_paste_is_malformed(text: str, part: TokenPart) -> None:
    assert token_raw(text) == Failure(TokenMalformed(part, len(text)))


@pytest.mark.shows("TOKEN-TEXT-003")
@given(st.integers(0, TOKEN_TEXT_CHARS - 1))
def test_every_shorter_paste_is_malformed(length: int) -> None:
    assert isinstance(token_raw(token_text(RAW)[:length]), Failure)


def test_the_text_needs_no_spare_bits() -> None:
    """801 is a multiple of three, so every one of the 1068 characters carries six bits of the token."""
    assert TOKEN_BYTES % 3 == 0
    assert base64url_bytes(token_text(RAW)[len(TEXT_PREFIX) :]) == RAW


@given(patterns())
def test_the_patterns_drawn_here_are_patterns(pattern: NamePattern) -> None:
    assert pattern_of(pattern) == Success(pattern)
