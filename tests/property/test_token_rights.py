"""What a token allows, when, and to whom it is believed: pattern matching, permission, verification, words.

Matching is compared with a regular expression built from the pattern; verification with every single-bit damage.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.token.codec import MINTED_BYTES, SIGNED_BYTES, encode_token, key_id_of, token_text
from tunnel.core.token.errors import (
    BadPattern,
    BadSignature,
    BrokenChain,
    Expired,
    KeyUnusable,
    KindNotPermitted,
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
from tunnel.core.token.explain import describe, explain
from tunnel.core.token.moments import duration_text, moment_text
from tunnel.core.token.rights import matches, pattern_of, permits
from tunnel.core.token.token import (
    EXPIRY_MAX,
    AccountId,
    EndpointKind,
    KeyId,
    NamePattern,
    Token,
    TokenId,
)
from tunnel.core.token.verify import verify_to_revoke, verify_token

PRIVATE_KEY: Final = bytes(range(32))
PUBLIC_KEY: Final = public_key_of(PRIVATE_KEY) or b""
KEY_ID: Final = key_id_of(PUBLIC_KEY)
KEYS: Final[dict[bytes, bytes]] = {KEY_ID: PUBLIC_KEY}
GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
LABELS: Final = st.from_regex(r"[a-b0-]{1,6}", fullmatch=True).filter(lambda text: text.strip("-") == text)

TOKEN: Final = Token(
    key_id=KEY_ID,
    token_id=TokenId(b"T" * 16),
    account=AccountId(b"A" * 16),
    pattern=NamePattern("demo-*"),
    kinds=frozenset({EndpointKind.HTTP, EndpointKind.TLS}),
    names_max=1,
    streams_max=1024,
    sessions_max=2,
    not_before=UnixSeconds(1_000_000),
    expiry=UnixSeconds(1_003_600),
)


def encoded(token: Token) -> bytes:
    done = encode_token(token, PRIVATE_KEY)
    assert isinstance(done, Success)
    return value_of(done)


RAW: Final = encoded(TOKEN)
NOW: Final = UnixSeconds(1_000_500)


@st.composite
def patterns(draw: st.DrawFn) -> NamePattern:
    label = draw(LABELS)
    return NamePattern(draw(st.sampled_from([label, "*", f"*-{label}", f"{label}-*"])))


@pytest.mark.shows("TOKEN-NAME-001")
@pytest.mark.parametrize(
    "text",
    ["a", "0", "demo", "*", "*-demo", "demo-*", "xn--nxasmq6b", "a" * 63, "*-" + "a" * 61, "a" * 61 + "-*", "a--b"],
)
def test_patterns_that_are(text: str) -> None:
    assert pattern_of(text) == Success(text)
    assert pattern_of(text.upper()) == Success(text)


@pytest.mark.bug("B12")
@pytest.mark.shows("TOKEN-NAME-001")
@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "-",
            "-a",
            "a-",
            "**",
            "a*",
            "*a",
            "*-",
            "-*",
            "*--a",
            "a--*",
            "a-*-b",
            "*-a-*",
            "a.b",
            "a_b",
            "a b",
            "a\n",
        ],
        *["a" * 64, "*-" + "a" * 62, "\u212a", "é", "a\0", "\ud800"],
    ],
)
def test_patterns_that_are_not(text: str) -> None:
    assert pattern_of(text) == Failure(BadPattern(text))


@pytest.mark.shows("TOKEN-NAME-001")
@given(st.one_of(st.text(), st.text("aB9*-", max_size=8)))
def test_arbitrary_text_is_a_pattern_or_not(text: str) -> None:
    flags = re.ASCII | re.IGNORECASE
    whole = re.fullmatch(r"\*|(\*-)?[a-z0-9]([a-z0-9-]*[a-z0-9])?|[a-z0-9]([a-z0-9-]*[a-z0-9])?-\*", text, flags)
    is_pattern = whole is not None and len(text) <= 63 and text.isascii()
    assert pattern_of(text) == (Success(text.lower()) if is_pattern else Failure(BadPattern(text[:64])))


@pytest.mark.shows("TOKEN-NAME-002")
@given(patterns(), LABELS)
def test_a_star_stands_for_one_or_more_characters(pattern: NamePattern, label: str) -> None:
    expected = re.fullmatch(pattern.replace("*", ".+"), label) is not None
    assert matches(pattern, Label(label)) == expected


@pytest.mark.shows("TOKEN-NAME-002")
@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("demo", ["demo"], ["demo2", "xdemo", "dem"]),
        ("*", ["a", "demo-1", "xn--nxasmq6b"], []),
        ("*-demo", ["my-demo", "a-b-demo"], ["-demo", "demo", "mydemo", "my-demo-x"]),
        ("demo-*", ["demo-1", "demo-a-b"], ["demo-", "demo", "xdemo-1"]),
    ],
)
def test_matching_by_example(pattern: str, matched: list[str], others: list[str]) -> None:
    assert [label for label in matched + others if matches(NamePattern(pattern), Label(label))] == matched


@pytest.mark.shows("TOKEN-RIGHT-001", "TOKEN-RIGHT-002")
@given(
    st.sampled_from(EndpointKind),
    st.sampled_from([Label("demo-1"), Label("demo"), Label("x")]),
    st.sampled_from([999_999, 1_000_000, 1_003_599, 1_003_600]).map(UnixSeconds),
)
def test_permission_needs_time_kind_and_name(kind: EndpointKind, name: Label, now: UnixSeconds) -> None:
    expected: Success[None] | Failure[NotPermitted | NotYetValid | Expired] = Success(None)
    if name != "demo-1":
        expected = Failure(NameNotPermitted(name, "demo-*"))
    if kind is EndpointKind.TCP:
        expected = Failure(KindNotPermitted(kind))
    if now == 999_999:
        expected = Failure(NotYetValid(TOKEN.not_before, now))
    if now == 1_003_600:
        expected = Failure(Expired(TOKEN.expiry, now))
    assert permits(TOKEN, kind, name, now) == expected


@pytest.mark.bug("B1", "B2")
@pytest.mark.shows("TOKEN-RIGHT-003")
def test_a_permission_is_not_remembered() -> None:
    """The record that the handshake made is asked at every stream, and says no once its time is over."""
    handshake = verify_token(RAW, KEYS, NOW)
    assert isinstance(handshake, Success)
    token = value_of(handshake)
    answers = [
        isinstance(permits(token, EndpointKind.HTTP, Label("demo-1"), UnixSeconds(now)), Success)
        for now in (NOW, token.expiry - 1, token.expiry, token.expiry + 1)
    ]
    assert answers == [True, True, False, False]


@pytest.mark.shows("TOKEN-VERIFY-001", "TOKEN-VERIFY-002", "TOKEN-VERIFY-003")
@pytest.mark.parametrize(
    ("now", "error"),
    [
        (999_999, NotYetValid(UnixSeconds(1_000_000), UnixSeconds(999_999))),
        (1_000_000, None),
        (1_003_599, None),
        (1_003_600, Expired(UnixSeconds(1_003_600), UnixSeconds(1_003_600))),
        (EXPIRY_MAX, Expired(UnixSeconds(1_003_600), UnixSeconds(EXPIRY_MAX))),
    ],
)
def test_a_token_is_believed_from_not_before_until_expiry(now: int, error: TokenError | None) -> None:
    expected = Success(TOKEN) if error is None else Failure(error)
    assert verify_token(RAW, KEYS, UnixSeconds(now)) == expected


@pytest.mark.shows("TOKEN-MINT-005")
def test_what_is_to_be_void_need_not_be_valid_yet_but_signed_and_not_over() -> None:
    early, late = UnixSeconds(0), UnixSeconds(TOKEN.expiry)
    assert isinstance(verify_token(RAW, KEYS, early), Failure)
    assert verify_to_revoke(RAW, KEYS, early) == verify_to_revoke(RAW, KEYS, NOW) == verify_token(RAW, KEYS, NOW)
    assert verify_to_revoke(RAW, KEYS, late) == Failure(Expired(TOKEN.expiry, late))
    assert verify_to_revoke(RAW, {}, early) == Failure(UnknownKey(KEY_ID))
    assert verify_to_revoke(RAW[:-1], KEYS, early) == Failure(TokenMalformed(TokenPart.LENGTH, 800))


@pytest.mark.shows("TOKEN-VERIFY-001")
def test_the_errors_are_told_apart_in_their_order() -> None:
    other_key = bytes(32)
    late = UnixSeconds(TOKEN.expiry)
    assert verify_token(RAW[:-1], {}, late) == Failure(TokenMalformed(TokenPart.LENGTH, 800))
    assert verify_token(RAW, {}, late) == Failure(UnknownKey(KEY_ID))
    assert verify_token(RAW, {KEY_ID: other_key}, late) == Failure(BadSignature(KEY_ID))
    assert verify_token(RAW, {KEY_ID: b"short"}, late) == Failure(BadSignature(KEY_ID))
    assert verify_token(RAW, KEYS, late) == Failure(Expired(TOKEN.expiry, late))


@pytest.mark.shows("TOKEN-SIGN-002")
@given(st.integers(0, len(RAW) * 8 - 1))
def test_no_single_bit_can_change(bit: int) -> None:
    damaged = bytearray(RAW)
    damaged[bit >> 3] ^= 1 << (bit & 7)
    verified = verify_token(bytes(damaged), KEYS, NOW)
    assert isinstance(verified, Failure)
    if SIGNED_BYTES <= bit >> 3 < MINTED_BYTES:
        assert error_of(verified) == BadSignature(KEY_ID)


@pytest.mark.shows("TOKEN-SIGN-002")
def test_a_second_signature_cannot_be_made_from_the_first() -> None:
    """S and S + L sign the same in a careless verifier, which would give one token two encodings."""
    at = MINTED_BYTES - 32
    scalar = int.from_bytes(RAW[at:MINTED_BYTES], "little")
    twin = RAW[:at] + (scalar + GROUP_ORDER).to_bytes(32, "little") + RAW[MINTED_BYTES:]
    assert verify_token(twin, KEYS, NOW) == Failure(BadSignature(KEY_ID))


@pytest.mark.shows("TOKEN-VERIFY-002")
@given(st.binary(min_size=796, max_size=806), st.integers(0, 2**64))
def test_arbitrary_bytes_are_never_believed(raw: bytes, now: int) -> None:
    assert isinstance(verify_token(raw, KEYS, UnixSeconds(now)), Failure)


@pytest.mark.shows("TOKEN-WORDS-001")
def test_an_explanation_says_everything_in_words() -> None:
    assert explain(TOKEN, NOW) == [
        "Allows HTTP, TLS endpoints under any name that begins with `demo-`.",
        "At once: 1 name, 2 links, 1024 streams; the server's own limits apply too.",
        "Valid from 1970-01-12 13:46:40 UTC until 1970-01-12 14:46:40 UTC: expires in 51 minutes.",
        f"Token {'54' * 16} of account {'41' * 16}, signed by key {KEY_ID.hex()}.",
        "The signature was not checked; only a server that knows the key can do that.",
    ]


@pytest.mark.shows("TOKEN-WORDS-001")
@pytest.mark.parametrize(
    ("pattern", "now", "names", "standing"),
    [
        ("*", 1_000_000 - 3 * 86_400, "any one name.", "valid in 3 days."),
        ("*-demo", 1_003_599, "any name that ends in `-demo`.", "expires in 1 second."),
        ("demo", 1_003_600 + 7200, "the name `demo`.", "expired 2 hours ago."),
    ],
)
def test_an_explanation_knows_patterns_and_times(pattern: str, now: int, names: str, standing: str) -> None:
    lines = explain(replace(TOKEN, pattern=NamePattern(pattern)), UnixSeconds(now))
    assert lines[0].endswith(names)
    assert lines[2].endswith(standing)


@given(st.integers(0, EXPIRY_MAX))
@example(951_782_400)  # 2000-02-29
@example(4_107_542_400)  # 2100-03-01: 2100 is no leap year
@example(EXPIRY_MAX)
def test_moments_are_those_of_the_calendar(moment: int) -> None:
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment)
    assert moment_text(UnixSeconds(moment)) == f"{expected.isoformat(sep=' ').removesuffix('+00:00')} UTC"


def test_moments_before_1970_count_as_1970() -> None:
    assert moment_text(UnixSeconds(-1)) == "1970-01-01 00:00:00 UTC"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 seconds"), (59, "59 seconds"), (60, "1 minute"), (7199, "1 hour"), (86_400, "1 day"), (200_000, "2 days")],
)
def test_durations_are_in_their_largest_unit(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text


ERRORS: Final[list[TokenError | NotPermitted | NarrowError | BadPattern]] = [
    *[TokenMalformed(part, 1) for part in TokenPart],
    *[PartUnfit(part) for part in TokenPart],
    UnknownKey(KEY_ID),
    BadSignature(KEY_ID),
    BrokenChain(2),
    Sealed(1),
    Sealed(3),
    *[WouldWiden(part) for part in (TokenPart.KINDS, TokenPart.LIMITS, TokenPart.PATTERN, TokenPart.TIMES)],
    NotYetValid(UnixSeconds(20), UnixSeconds(10)),
    Expired(UnixSeconds(10), UnixSeconds(20)),
    KindNotPermitted(EndpointKind.TCP),
    NameNotPermitted(Label("other"), "demo"),
    BadPattern("a_b"),
    KeyUnusable(31),
]


def test_every_error_has_a_sentence_of_its_own() -> None:
    sentences = [describe(error) for error in ERRORS]
    assert len(set(sentences)) == len(ERRORS)
    assert all(sentence.endswith(".") for sentence in sentences)


@pytest.mark.shows("TOKEN-WORDS-002")
def test_no_words_hold_a_byte_of_the_signature() -> None:
    """Every run of four bytes of the signature, in hexadecimal and in base64, is missing from all that is said."""
    said = repr(TOKEN) + "".join(explain(TOKEN, NOW))
    for now in (0, NOW, EXPIRY_MAX):
        for raw in (RAW, RAW[:-1], RAW[:-1] + b"\0", b"\0" + RAW[1:]):
            verified = verify_token(raw, KEYS, UnixSeconds(now))
            said += repr(verified) if isinstance(verified, Success) else describe(error_of(verified)) + repr(verified)
    signature = RAW[SIGNED_BYTES:MINTED_BYTES]
    text = token_text(RAW)[5 + SIGNED_BYTES * 4 // 3 + 2 : 5 + MINTED_BYTES * 4 // 3]
    runs = [signature[at : at + 4].hex() for at in range(60)] + [text[at : at + 6] for at in range(len(text) - 6)]
    assert not [run for run in runs if run in said]


@given(st.binary(min_size=8, max_size=8))
def test_a_key_id_is_shown_whole(key_id: bytes) -> None:
    assert key_id.hex() in describe(UnknownKey(KeyId(key_id)))
