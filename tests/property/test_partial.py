"""The total forms of partial operations agree with Python where Python has an answer, and say None where it has not.

Each property compares with the plain operation in a `try`, over inputs that include those on which it raises.
"""

import html
import json
import re
from base64 import b32encode, urlsafe_b64encode
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Final, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.core.base import partial
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of

T = TypeVar("T")

SMALL: Final = st.integers(-70, 70)
ANY_TEXT: Final = st.text(st.characters(categories=None), max_size=40)  # with lone surrogates and controls
PAIRS: Final = re.compile(rb"([a-c]+)=([0-9]*)")
FOUR: Final = re.compile(rb"(a)(b)?(c+)(d*)")


def or_none(operation: Callable[[], T]) -> T | None:
    """What the plain operation gives, or None where it raises."""
    try:
        return operation()
    except (LookupError, ValueError, UnicodeError, ArithmeticError):
        return None


@given(st.lists(st.integers()), SMALL)
def test_item_at_is_indexing_without_negative_indexes(items: list[int], index: int) -> None:
    expected = or_none(lambda: items[index]) if index >= 0 else None
    assert partial.item_at(items, index) == expected


@given(st.binary(), SMALL)
def test_byte_at_is_indexing_with_minus_one_outside(data: bytes, index: int) -> None:
    expected = data[index] if 0 <= index < len(data) else -1
    assert partial.byte_at(data, index) == expected


@given(st.binary(max_size=20), st.integers(-3, 24), st.integers(-3, 10))
def test_uint_at_reads_only_what_is_all_there(data: bytes, at: int, size: int) -> None:
    is_there = at >= 0 and size >= 0 and at + size <= len(data)
    assert partial.uint_at(data, at, size) == (int.from_bytes(data[at : at + size], "big") if is_there else -1)


@given(st.integers(), st.integers(-2, 9))
def test_uint_bytes_has_its_size_and_clamps(number: int, size: int) -> None:
    written = partial.uint_bytes(number, size)
    assert len(written) == max(size, 0)
    assert partial.uint_at(written, 0, max(size, 0)) == min(max(number, 0), 256 ** max(size, 0) - 1)


@given(st.integers(0, 255), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary())
def test_frame_header_round_trips_at_any_place(kind: int, flags: int, stream: int, length: int, ahead: bytes) -> None:
    wire = ahead + partial.frame_header_bytes(kind, flags, stream, length)
    assert partial.frame_header(wire, len(ahead)) == (0, kind, flags, stream, length)


@given(st.binary(max_size=30), st.integers(-2, 32))
def test_frame_header_needs_twelve_bytes(data: bytes, at: int) -> None:
    assert (partial.frame_header(data, at) is None) == (at < 0 or at + 12 > len(data))


@given(st.integers(), st.integers(), st.integers(), st.integers())
def test_frame_header_bytes_masks_what_does_not_fit(kind: int, flags: int, stream: int, length: int) -> None:
    wire = partial.frame_header_bytes(kind, flags, stream, length)
    expected = (0, kind % 2**8, flags % 2**16, stream % 2**32, length % 2**32)
    assert partial.frame_header(wire, 0) == expected


@given(st.lists(st.integers()))
def test_popping_takes_from_the_front_until_nothing_is_left(items: list[int]) -> None:
    front = deque(items)
    assert [partial.pop_front(front) for _ in items] == items
    assert partial.pop_front(front) is None


@given(st.one_of(st.binary(max_size=22), st.integers(0, 10**20).map(lambda number: b"%d" % number)))
@example(b"+5")
@example(b" 5")
@example(b"5_0")
@example(b"5\n")
@example("\uff15".encode())
@example(b"9" * 19)
@example(b"9" * 20)
def test_decimal_takes_one_to_nineteen_ascii_digits_and_nothing_else(text: bytes) -> None:
    is_number = 1 <= len(text) <= 19 and all(48 <= byte <= 57 for byte in text)
    assert partial.decimal(text) == (int(text) if is_number else None)


@given(st.one_of(st.binary(max_size=18), st.integers(0, 2**68).map(lambda number: b"%X" % number)))
@example(b"0x5")
@example(b"+a")
@example(b"5_0")
@example(b"a\n")
def test_hexadecimal_takes_one_to_sixteen_digits_and_nothing_else(text: bytes) -> None:
    is_number = 1 <= len(text) <= 16 and all(byte in b"0123456789abcdefABCDEF" for byte in text)
    assert partial.hexadecimal(text) == (int(text, 16) if is_number else None)


@given(st.integers(-5, 2**63 - 1))
def test_numbers_are_written_as_they_are_read(number: int) -> None:
    assert partial.decimal(partial.decimal_text(number)) == max(number, 0)
    assert partial.hexadecimal(partial.hex_text(number)) == max(number, 0)


@given(st.integers(), st.integers(-3, 3))
def test_division_by_zero_gives_zero(number: int, divisor: int) -> None:
    assert partial.quotient(number, divisor) == (number // divisor if divisor else 0)


@given(st.integers())
def test_seconds_of(count: int) -> None:
    assert partial.seconds_of(count) == min(max(count, 0), 2**53)


@given(st.floats())
def test_whole_seconds(seconds: float) -> None:
    whole = partial.whole_seconds(seconds)
    assert 0 <= whole < 2**31
    assert not 0 <= seconds < 2**31 or whole == int(seconds)


@given(st.binary())
def test_text_is_decoded_or_absent(data: bytes) -> None:
    assert partial.ascii_text(data) == or_none(lambda: data.decode("ascii"))
    assert partial.latin1_text(data) == data.decode("latin-1")


@given(ANY_TEXT)
@example("\ud800")
def test_text_is_encoded_or_absent(text: str) -> None:
    assert partial.ascii_bytes(text) == or_none(lambda: text.encode("ascii"))
    assert partial.utf8_bytes(text).decode("utf-8") == re.sub("[\ud800-\udfff]", "?", text)


@given(ANY_TEXT)
@example("\x1b[2J\x7f\ud800é")
def test_printable_bytes_changes_only_what_is_not_printable(text: str) -> None:
    expected = "".join(sign if " " <= sign <= "~" else "?" for sign in text)
    assert partial.printable_bytes(text).decode("ascii") == expected


@given(st.text("abc=d01", max_size=8).map(str.encode), SMALL)
def test_patterns_answer_as_re_does(data: bytes, at: int) -> None:
    whole = PAIRS.fullmatch(data)
    first = PAIRS.search(data, max(at, 0))
    assert partial.whole_match(PAIRS, data) == (None if whole is None else whole.groups())
    assert partial.two_groups(PAIRS, data) == (None if whole is None else whole.groups())
    assert partial.first_match(PAIRS, data, at) == (-1 if first is None else first.start())
    assert partial.all_pairs(PAIRS, data) == PAIRS.findall(data)


@given(st.text("abcd", max_size=5).map(str.encode))
def test_patterns_of_another_number_of_groups_match_nothing(data: bytes) -> None:
    four = FOUR.fullmatch(data)
    assert partial.four_groups(FOUR, data) == (None if four is None else four.groups(b""))
    assert partial.four_groups(PAIRS, data) is None
    assert partial.two_groups(FOUR, data) is None
    assert partial.all_pairs(FOUR, data) == []


def test_an_absent_group_is_empty() -> None:
    optional: re.Pattern[bytes] = re.compile(rb"(a)(b)?")
    assert partial.whole_match(optional, b"a") == (b"a", b"")
    assert partial.two_groups(optional, b"a") == (b"a", b"")


@given(st.binary(min_size=32, max_size=32), st.binary(), st.binary())
def test_a_signature_holds_for_its_message_and_key_only(private_key: bytes, message: bytes, other: bytes) -> None:
    public_key = partial.public_key_of(private_key)
    signature = partial.signature_of(private_key, message)
    assert public_key == Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()
    assert public_key is not None
    assert signature is not None
    assert partial.signature_holds(public_key, signature, message)
    assert partial.signature_holds(public_key, signature, other) == (other == message)


@given(st.binary(max_size=40), st.binary(max_size=70), st.binary())
@example(bytes(32), bytes(64), b"")
@example(b"\xff" * 32, b"\xff" * 64, b"")
@example(bytes(32), b"", b"")
def test_arbitrary_keys_and_signatures_never_raise(key: bytes, signature: bytes, message: bytes) -> None:
    held = partial.signature_holds(key, signature, message)
    assert not held or (len(key) == 32 and len(signature) == 64)
    assert (partial.public_key_of(key) is None) == (len(key) != 32)
    assert (partial.signature_of(key, message) is None) == (len(key) != 32)


@given(ANY_TEXT)
def test_json_and_html_text_read_back(text: str) -> None:
    assert json.loads(partial.json_string(text)) == text
    assert partial.json_string(text).isascii()
    assert html.unescape(partial.html_text(text)) == html.unescape(html.escape(text))
    assert not set(partial.html_text(text)) & set("<>\"'")


@given(st.integers())
def test_the_lowest_byte_of_a_number_has_two_digits(number: int) -> None:
    assert partial.hex_pair(number) == f"{number & 255:02x}"


@given(st.binary())
def test_text_of_bytes_is_that_of_the_rfc(data: bytes) -> None:
    assert partial.sha256_digest(data) == sha256(data).digest()
    assert partial.base64url_text(data) == urlsafe_b64encode(data).decode().replace("=", "")
    assert partial.base32_text(data) == b32encode(data).decode().replace("=", "").lower()
    assert partial.base64url_bytes(partial.base64url_text(data)) == data


@given(st.one_of(ANY_TEXT, st.text("ABab01-_=+/ \n", max_size=9)))
@example("QQ")
@example("QR")  # the same byte with spare bits set
@example("QQ==")
@example("QQ\n")
@example("+/+/")
@example("A")
@example("é")
def test_base64url_has_one_text_per_value(text: str) -> None:
    data = partial.base64url_bytes(text)
    assert data is None or partial.base64url_text(data) == text


@pytest.mark.parametrize(("text", "data"), [("", b""), ("QQ", b"A"), ("QR", None), ("QQ==", None), ("Q Q", None)])
def test_base64url_by_example(text: str, data: bytes | None) -> None:
    assert partial.base64url_bytes(text) == data


@given(st.dictionaries(st.text(), st.integers()), SMALL)
def test_first_keys_are_the_oldest(items: dict[str, int], count: int) -> None:
    assert partial.first_keys(items, count) == list(items)[: max(count, 0)]


@given(st.integers())
def test_an_outcome_gives_back_what_it_was_made_of(number: int) -> None:
    won: Outcome[int, str] = Success(number)
    lost: Outcome[str, int] = Failure(number)
    assert isinstance(won, Success)
    assert value_of(won) == number
    assert not isinstance(lost, Success)
    assert error_of(lost) == number
