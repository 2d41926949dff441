"""Heads come out of bytes whole, bounded and at once, or are refused early; cuts never change the verdict.

Properties over arbitrary bytes that are rich in CR, LF and NUL, compared with a reader of three lines that sees
everything at once, and the named attacks on line ends and head sizes.
"""

import pytest
from http_support import cut_lists, each_byte, head_of, pieces, read_request, refused_request
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.http.errors import BareLineEnd, FirstLineTooLong, HeadError, HeadTooLong, NulByte, status_of
from tunnel.core.http.reader import HeadReader

LIMIT = 64
GET = head_of("GET / HTTP/1.1", "Host: a")

crlf_rich = st.lists(
    st.sampled_from([b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\0", b"a", b"GET / HTTP/1.1", b": x", b"b" * 20]),
    max_size=12,
).map(b"".join)


def model(data: bytes) -> tuple[bytes, bytes] | HeadError | int:
    """What the reader owes for all these bytes: head and rest, an error, or the number of bytes held."""
    end = data.find(b"\r\n\r\n") + 4
    known = data[:end] if 4 <= end <= LIMIT else data[:LIMIT]
    for at, byte in enumerate(known):
        after_cr = at > 0 and known[at - 1] == 13
        if byte == 0 and not after_cr:
            return NulByte(at)
        if (byte == 10) != after_cr:
            return NulByte(at) if byte == 0 else BareLineEnd(at)
    if 4 <= end <= LIMIT:
        return data[:end], data[end:]
    if len(data) > LIMIT:
        return HeadTooLong(LIMIT) if b"\r\n" in data[2:LIMIT] else FirstLineTooLong(LIMIT)
    return len(data)


def fed(data: bytes, cuts: list[int]) -> tuple[bytes, bytes] | HeadError | int:
    """What the reader gives for these bytes in these cuts."""
    reader = HeadReader(LIMIT)
    head: bytes | None = None
    late = b""
    for piece in pieces(data, cuts):
        if head is not None:
            late += piece
            continue
        outcome = reader.receive(piece)
        if not isinstance(outcome, Success):
            return error_of(outcome)
        head = value_of(outcome)
        if head is None:
            assert reader.held <= LIMIT
    if head is None:
        return reader.held
    return head, reader.take_rest() + late


@pytest.mark.shows("HTTP-HEAD-001", "HTTP-HEAD-002", "HTTP-HEAD-003", "HTTP-HEAD-004", "HTTP-HEAD-005")
@given(data=crlf_rich, cuts=cut_lists)
@settings(max_examples=600, deadline=None)
def test_any_bytes_in_any_cuts_give_what_the_model_says(data: bytes, cuts: list[int]) -> None:
    expected = model(data)
    assert fed(data, []) == expected
    assert fed(data, cuts) == expected
    assert fed(data, each_byte(data)) == expected


@pytest.mark.shows("HTTP-HEAD-001")
@given(heads=st.lists(st.sampled_from([GET, head_of("PUT /x HTTP/1.1", "Host: b")]), max_size=6), cuts=cut_lists)
@settings(max_examples=100, deadline=None)
def test_pipelined_heads_come_one_after_the_other(heads: list[bytes], cuts: list[int]) -> None:
    reader = HeadReader(LIMIT)
    seen: list[bytes] = []
    for piece in pieces(b"".join(heads), cuts):
        outcome = reader.receive(piece)
        while isinstance(outcome, Success):
            head = value_of(outcome)
            if head is None:
                break
            seen.append(head)
            outcome = reader.receive(b"")
        assert isinstance(outcome, Success)
    assert seen == heads
    assert reader.held == 0


@pytest.mark.shows("HTTP-HEAD-001")
def test_rest_is_handed_over_once_and_the_reader_can_go_on() -> None:
    reader = HeadReader(LIMIT)
    assert reader.receive(GET + b"rest") == Success(GET)
    assert reader.held == 4
    assert reader.take_rest() == b"rest"
    assert reader.take_rest() == b""
    assert reader.held == 0
    assert reader.receive(GET[:10]) == Success(None)
    assert reader.held == 10
    assert reader.receive(GET[10:] + GET) == Success(GET)
    assert reader.take_rest() == GET


@pytest.mark.shows("HTTP-HEAD-004")
def test_a_first_error_is_final() -> None:
    reader = HeadReader(LIMIT)
    assert reader.receive(b"GET /\n") == Failure(BareLineEnd(5))
    assert reader.receive(GET) == Failure(BareLineEnd(5))
    reader.take_rest()
    assert reader.receive(GET) == Failure(BareLineEnd(5))


@pytest.mark.bug("C10")
@pytest.mark.shows("HTTP-HEAD-004", "HTTP-HEAD-005")
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", BareLineEnd(14)),
        (b"GET / HTTP/1.1\rHost: a\r\r", BareLineEnd(15)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\rX", BareLineEnd(26)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", BareLineEnd(25)),
        (b"\n", BareLineEnd(0)),
        (b"\r\r", BareLineEnd(1)),
        (b"GET / HTTP/1.1\r\nX: a\rb", BareLineEnd(21)),
        (b"GET / HTTP/1.1\r\nX: a\x00", NulByte(20)),
        (b"\x16\x03\x01\x02\x00\x01", NulByte(4)),
    ],
)
def test_a_fault_is_found_before_the_head_is_whole(data: bytes, error: HeadError) -> None:
    assert HeadReader(LIMIT).receive(data) == Failure(error)
    assert fed(data, each_byte(data)) == error


@pytest.mark.bug("C11", "C18")
@pytest.mark.shows("HTTP-HEAD-003")
def test_a_head_beyond_the_limit_is_414_or_431() -> None:
    target = b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    fields = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20_000 + b"\r\n"
    assert refused_request(target) == FirstLineTooLong(65536)
    assert status_of(FirstLineTooLong(65536)) == 414
    assert refused_request(fields) == HeadTooLong(65536)
    assert status_of(HeadTooLong(65536)) == 431


@pytest.mark.shows("HTTP-HEAD-003")
def test_a_head_of_exactly_the_limit_is_whole() -> None:
    exact = head_of("GET / HTTP/1.1", "Host: a", "X: " + "y" * (LIMIT - len(GET) - 5))
    assert len(exact) == LIMIT
    assert HeadReader(LIMIT).receive(exact) == Success(exact)
    assert fed(exact, each_byte(exact)) == (exact, b"")
    assert HeadReader(LIMIT - 1).receive(exact) == Failure(HeadTooLong(LIMIT - 1))


@pytest.mark.bug("C18")
@pytest.mark.shows("HTTP-HEAD-006")
@pytest.mark.parametrize(
    "line",
    ["X: " + "a" * 64_000, "X" * 64_000, ":" * 64_000, "X:" + " " * 64_000, "X:" + " a" * 32_000, "a:\r\n" * 16_000],
)
def test_the_largest_hostile_heads_are_read_in_one_pass(line: str) -> None:
    """Byte by byte this is 64 thousand calls; a reader that looked at everything again would need 2 billion steps."""
    data = head_of("GET / HTTP/1.1", "Host: a", line)
    whole = read_request(data, ())
    assert read_request(data, each_byte(data)) == whole
    assert read_request(data, ()) == whole
