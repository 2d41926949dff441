"""A body ends where its framing says and nowhere else; payload comes out at once, in any cuts, within its limits.

Properties with an independent writer of chunked bodies, and the named attacks on chunk lines, ends and trailers.
"""

import pytest
from http_support import Message, body_verdict, chunked, cut_lists, each_byte, names, payloads, values
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Failure, Success, value_of
from tunnel.core.http.body import BodyReader
from tunnel.core.http.errors import (
    BadChunkLine,
    BadFieldLine,
    BareLineEnd,
    BodyError,
    BodyTooLong,
    ChunkLineTooLong,
    ChunkNotEnded,
    EndedEarly,
    TooManyFields,
    TrailersTooLong,
)
from tunnel.core.http.framing import CHUNKED, UNTIL_CLOSE

SMALL = Limits(chunk_extension_bytes_max=12, trailer_bytes_max=30, field_count_max=3)

extensions = st.sampled_from(["", ";a", ";a=b", ';a="b c\\"d\te"', ";a;b=c"])


@pytest.mark.shows("HTTP-BODY-001", "HTTP-BODY-004", "HTTP-BODY-006", "HTTP-BODY-007", "HTTP-BODY-009")
@given(
    parts=st.lists(payloads, max_size=6),
    extension=st.lists(extensions, max_size=3),
    trailers=st.lists(st.tuples(names, values), max_size=3),
    rest=st.binary(max_size=20),
    cuts=cut_lists,
)
@settings(max_examples=400, deadline=None)
def test_a_chunked_body_is_read_in_any_cuts_and_the_rest_is_untouched(
    parts: list[bytes], extension: list[str], trailers: list[tuple[str, str]], rest: bytes, cuts: list[int]
) -> None:
    data = chunked(parts, extension, trailers) + rest
    kept = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in trailers)
    expected = Message((), b"".join(parts), kept, is_done=True, rest=rest)
    assert body_verdict(CHUNKED, data, ()) == expected
    assert body_verdict(CHUNKED, data, cuts) == expected
    assert body_verdict(CHUNKED, data, each_byte(data)) == expected


@pytest.mark.shows("HTTP-BODY-009", "HTTP-BODY-010")
@given(
    parts=st.lists(
        st.sampled_from(
            [
                b"\r\n",
                b"\r",
                b"\n",
                b"0",
                b"1",
                b"5",
                b"a",
                b"hello",
                b";",
                b";a",
                b"=b",
                b'"',
                b"X: y",
                b"\x85",
                b"0\r\n",
                b"1\r\nx\r\n",
                b"0\r\n\r\n",
                b"ffffffff",
                b" ",
            ]
        )
        | st.binary(max_size=3),
        max_size=20,
    ),
    cuts=cut_lists,
    length=st.sampled_from([CHUNKED, CHUNKED, CHUNKED, UNTIL_CLOSE, 0, 1, 7]),
    total_max=st.sampled_from([5, 6, 1 << 62]),
)
@settings(max_examples=700, deadline=None)
def test_arbitrary_bytes_get_one_verdict_in_any_cuts(
    parts: list[bytes], cuts: list[int], length: int, total_max: int
) -> None:
    data = b"".join(parts)
    whole = body_verdict(length, data, (), SMALL, total_max)
    assert body_verdict(length, data, cuts, SMALL, total_max) == whole
    assert body_verdict(length, data, each_byte(data), SMALL, total_max) == whole


@pytest.mark.shows("HTTP-BODY-001")
@given(length=st.integers(0, 30), data=st.binary(max_size=60), cuts=cut_lists)
@settings(max_examples=200, deadline=None)
def test_a_body_of_known_length_takes_that_and_leaves_the_rest(length: int, data: bytes, cuts: list[int]) -> None:
    expected = Message((), data[:length], (), is_done=len(data) >= length, rest=data[length:])
    assert body_verdict(length, data, cuts) == expected


@pytest.mark.bug("C16", "D")
@pytest.mark.shows("HTTP-BODY-002")
def test_an_end_short_of_the_body_is_an_error_and_never_an_end() -> None:
    exact = BodyReader(5, DEFAULT_LIMITS, 100)
    assert exact.receive(b"hell") == Success([b"hell"])
    assert exact.on_end() == Failure(EndedEarly(4, 5))
    assert exact.receive(b"o") == Success([b"o"])
    assert exact.on_end() == Success(None)
    for data in (b"", b"5", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n", b"0\r\n"):
        body = BodyReader(CHUNKED, DEFAULT_LIMITS, 100)
        body.receive(data)
        assert body.on_end() == Failure(EndedEarly(body.received, -1))
    done = BodyReader(CHUNKED, DEFAULT_LIMITS, 100)
    assert done.receive(b"0\r\n\r\n") == Success([])
    assert done.on_end() == Success(None)


@pytest.mark.shows("HTTP-BODY-002", "HTTP-BODY-008")
def test_a_body_until_close_ends_with_the_connection() -> None:
    body = BodyReader(UNTIL_CLOSE, DEFAULT_LIMITS, 5)
    assert body.receive(b"") == Success([])
    assert body.receive(b"hello") == Success([b"hello"])
    assert not body.is_done
    assert body.on_end() == Success(None)
    assert (body.is_done, body.received) == (True, 5)
    assert body.receive(b"late") == Success([])
    assert body.take_rest() == b"late"
    over = BodyReader(UNTIL_CLOSE, DEFAULT_LIMITS, 5)
    assert over.receive(b"hello!") == Failure(BodyTooLong(5))
    assert over.receive(b"") == Failure(BodyTooLong(5))
    assert over.on_end() == Failure(BodyTooLong(5))


@pytest.mark.shows("HTTP-BODY-003")
def test_payload_comes_out_before_its_chunk_is_whole() -> None:
    body = BodyReader(CHUNKED, DEFAULT_LIMITS, 1 << 40)
    assert body.receive(b"ffffff\r\nab") == Success([b"ab"])
    assert body.receive(b"cd") == Success([b"cd"])
    assert (body.received, body.is_done) == (4, False)


@pytest.mark.bug("C18")
@pytest.mark.shows("HTTP-BODY-008")
def test_a_body_beyond_its_limit_is_refused_as_soon_as_it_shows() -> None:
    assert body_verdict(6, b"", (), total_max=5) == BodyTooLong(5)
    assert body_verdict(CHUNKED, b"5\r\nhello\r\n1\r\n", (), total_max=5) == BodyTooLong(5)
    assert body_verdict(CHUNKED, b"6\r\n", (), total_max=5) == BodyTooLong(5)
    allowed = body_verdict(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n", (), total_max=5)
    assert allowed == Message((), b"hello", (), is_done=True, rest=b"")


@pytest.mark.bug("C7")
@pytest.mark.shows("HTTP-BODY-004")
@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"0x5",
        b"+5",
        b"-5",
        b"5_0",
        b" 5",
        b"5 ",
        b"5\t",
        b"g",
        b"5\r",
        b"\rX",
        b"5\r\r",
        b"00000000000000005",
        b"8000000000000000",
        b"ffffffffffffffff",
        b"5 ;a",
        b"\xb2",
        b"5\x00",
        b"5,",
        b"5.0",
        b"\x0b5",
        "\uff15".encode(),
    ],
)
def test_a_chunk_size_is_1_to_16_hexadecimal_digits(line: bytes) -> None:
    data = line + b"\r\nhello\r\n0\r\n\r\n"
    assert body_verdict(CHUNKED, data, ()) == BadChunkLine(line + b"\r\n")
    assert body_verdict(CHUNKED, data, each_byte(data)) == BadChunkLine(line + b"\r\n")


@pytest.mark.bug("C7", "C18")
@pytest.mark.shows("HTTP-BODY-004")
def test_leading_zeros_are_bounded_by_the_digits() -> None:
    assert isinstance(body_verdict(CHUNKED, b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", ()), Message)
    flood = body_verdict(CHUNKED, b"0" * 5000, ())
    assert flood == ChunkLineTooLong(4096)


@pytest.mark.bug("C7", "C8")
@pytest.mark.shows("HTTP-BODY-004", "HTTP-BODY-006")
@pytest.mark.parametrize("data", [b"5\nhello", b"5;a\nhello", b'5;a="\n', b"\n", b"0\n\r\n"])
def test_a_chunk_line_ended_by_lf_alone_is_refused_at_once(data: bytes) -> None:
    assert body_verdict(CHUNKED, data, ()) == BareLineEnd(data.index(b"\n"))
    assert body_verdict(CHUNKED, data, each_byte(data)) == BareLineEnd(data.index(b"\n"))


@pytest.mark.bug("C7", "D")
@pytest.mark.shows("HTTP-BODY-005")
@pytest.mark.parametrize(
    ("tail", "seen"), [(b"xx", 120), (b"\n", 10), (b"\rx", 120), (b"\r\r\n", 13), (b"0\r\n\r\n", 48), (b" \r\n", 32)]
)
def test_both_bytes_after_chunk_data_are_checked(tail: bytes, seen: int) -> None:
    data = b"5\r\nhello" + tail
    assert body_verdict(CHUNKED, data, ()) == ChunkNotEnded(seen)
    assert body_verdict(CHUNKED, data, each_byte(data)) == ChunkNotEnded(seen)


@pytest.mark.bug("C8")
@pytest.mark.shows("HTTP-BODY-006")
@pytest.mark.parametrize(
    "extension",
    [
        ";",
        "x",
        ";=b",
        ";a=",
        ";a;",
        ';a="',
        ';a="b',
        ';a=b"',
        ';a="b"c',
        ";a b",
        "; a",
        ";a =b",
        ";a= b",
        ";a=b c",
        ";\x00",
        ";a\r",
        ';a="\r"',
        ';a="\x7f"',
        ';a="\xe9"',
        ";\xe9",
        ';a="\\"',
        ";a=b;;c",
        ",a",
        ';a="\x01"',
    ],
)
def test_a_malformed_extension_is_refused(extension: str) -> None:
    line = b"5" + extension.encode("latin-1") + b"\r\n"
    assert body_verdict(CHUNKED, line + b"hello\r\n", ()) == BadChunkLine(line)


@pytest.mark.bug("C8")
@pytest.mark.shows("HTTP-BODY-006")
def test_extensions_are_bounded_over_the_whole_body() -> None:
    chunk = b"1;a=bcd\r\nx\r\n"
    assert isinstance(body_verdict(CHUNKED, chunk * 2 + b"0\r\n\r\n", (), SMALL), Message)
    assert body_verdict(CHUNKED, chunk * 3, (), SMALL) == ChunkLineTooLong(12)
    assert body_verdict(CHUNKED, b"1;" + b"a" * 12, (), SMALL) == Message((), b"", (), is_done=False, rest=b"")
    assert body_verdict(CHUNKED, b"1;" + b"a" * 65536 + b"\r\n", ()) == ChunkLineTooLong(4096)
    per_byte = b"1;a\r\nx\r\n" * 3000
    assert body_verdict(CHUNKED, per_byte, ()) == ChunkLineTooLong(4096)


@pytest.mark.bug("C9")
@pytest.mark.shows("HTTP-BODY-007")
@pytest.mark.parametrize(
    ("trailers", "error"),
    [
        (b"X : y\r\n\r\n", BadFieldLine(b"X : y")),
        (b" X: y\r\n\r\n", BadFieldLine(b" X: y")),
        (b"X\r\n\r\n", BadFieldLine(b"X")),
        (b"X: a\rb\r\n\r\n", BadFieldLine(b"X: a\rb")),
        (b"X: \x85\r\n\r\n", BadFieldLine(b"X: \x85")),
        (b"X: y\n\r\n", BareLineEnd(4)),
        (b"\n", BareLineEnd(0)),
        (b"\rX\r\n", BadFieldLine(b"\rX")),
        (b"X: " + b"y" * 40, TrailersTooLong(30)),
        (b"X: yyyyyyy\r\n" * 3, TrailersTooLong(30)),
        (b"a:\r\n" * 4, TooManyFields(3)),
    ],
)
def test_trailers_follow_the_grammar_and_the_limits(trailers: bytes, error: BodyError) -> None:
    data = b"0\r\n" + trailers
    assert body_verdict(CHUNKED, data, (), SMALL) == error
    assert body_verdict(CHUNKED, data, each_byte(data), SMALL) == error


@pytest.mark.shows("HTTP-BODY-007")
def test_trailers_are_stripped_of_space_and_tab() -> None:
    verdict = body_verdict(CHUNKED, b"0\r\nA: \t x \t\r\nB:\r\n\r\nrest", ())
    assert verdict == Message((), b"", ((b"A", b"x"), (b"B", b"")), is_done=True, rest=b"rest")


@pytest.mark.bug("C18")
@pytest.mark.shows("HTTP-BODY-010")
def test_a_hundred_thousand_tiny_chunks_are_read_in_one_pass() -> None:
    data = b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
    assert body_verdict(CHUNKED, data, ()) == Message((), b"x" * 100_000, (), is_done=True, rest=b"")
    assert body_verdict(CHUNKED, data, each_byte(data)) == Message((), b"x" * 100_000, (), is_done=True, rest=b"")


def test_a_first_error_is_final_and_the_rest_is_handed_over_once() -> None:
    broken = BodyReader(CHUNKED, DEFAULT_LIMITS, 100)
    assert broken.receive(b"x\r\n") == Failure(BadChunkLine(b"x\r\n"))
    assert broken.receive(b"0\r\n\r\n") == Failure(BadChunkLine(b"x\r\n"))
    assert not broken.is_done
    done = BodyReader(CHUNKED, DEFAULT_LIMITS, 100)
    assert done.receive(b"0\r\n\r\nA") == Success([])
    assert done.receive(b"B") == Success([])
    assert (done.take_rest(), done.take_rest()) == (b"AB", b"")
    empty = BodyReader(0, DEFAULT_LIMITS, 100)
    assert empty.is_done
    outcome = empty.receive(b"next")
    assert isinstance(outcome, Success)
    assert (value_of(outcome), empty.take_rest(), empty.take_rest()) == ([], b"next", b"")
    assert empty.trailers == []
