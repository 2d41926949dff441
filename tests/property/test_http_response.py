"""One reading of a response, or none: a local service is held to the rules that hold for visitors.

Section D of the list of known bugs, as far as one head and its framing decide it, and the properties of a parser.
"""

import pytest
from http_support import (
    Message,
    accepted_response,
    chunked,
    cut_lists,
    each_byte,
    fields,
    head_of,
    payloads,
    read_response,
    refused_response,
    response_facts,
    values,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Failure
from tunnel.core.http.errors import (
    BadContentLength,
    BadFieldLine,
    BadFieldValue,
    BadStatusLine,
    BareLineEnd,
    BodyNotAllowed,
    HeadTooLong,
    HttpError,
    LengthWithTransferCoding,
    NulByte,
    RepeatedField,
    SwitchUnnamed,
    TooManyFields,
    TransferCodingOnHttp10,
    UnknownTransferCoding,
    UnsupportedVersion,
)
from tunnel.core.http.framing import CHUNKED, UNTIL_CLOSE
from tunnel.core.http.response import parse_response_head

OK = "HTTP/1.1 200 OK"


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, Message]:
    """A well-formed response to GET as bytes, and what a reader must make of it."""
    minor, status, reason, lines = draw(st.integers(0, 1)), draw(st.integers(206, 303)), draw(values), draw(fields)
    parts = draw(st.lists(payloads, max_size=3))
    payload = b"".join(parts)
    framing = draw(st.sampled_from(["close", "length", "chunked"] if minor else ["close", "length"]))
    sent = list(lines)
    if framing == "length":
        sent.append(("content-length", str(len(payload))))
    elif framing == "chunked":
        sent.append(("TRANSFER-ENCODING", "chunked"))
    rest = b"" if framing == "close" else draw(st.binary(max_size=20))
    data = head_of(f"HTTP/1.{minor} {status} {reason}", *(f"{name}: {value}" for name, value in sent))
    data += chunked(parts) if framing == "chunked" else payload
    head = (
        minor,
        status,
        reason.encode("latin-1"),
        tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in sent),
        {"close": UNTIL_CLOSE, "length": len(payload), "chunked": CHUNKED}[framing],
        len(payload) if framing == "length" else -1,
        (),
        b"",
        minor > 0 and framing != "close",
        False,
    )
    return data + rest, Message(head, payload, (), is_done=framing != "close", rest=rest)


@pytest.mark.shows("HTTP-RESP-001", "HTTP-RESP-005", "HTTP-BODY-009")
@given(case=responses(), cuts=cut_lists)
@settings(max_examples=300, deadline=None)
def test_what_was_written_is_read_in_any_cuts_and_the_rest_is_untouched(
    case: tuple[bytes, Message], cuts: list[int]
) -> None:
    data, expected = case
    assert read_response(data, (), b"GET") == expected
    assert read_response(data, cuts, b"GET") == expected
    assert read_response(data, each_byte(data), b"GET") == expected


@pytest.mark.shows("HTTP-HEAD-002")
@given(
    parts=st.lists(
        st.sampled_from(
            [
                b"HTTP/1.1",
                b"HTTP/1.0",
                b" ",
                b"200",
                b"204",
                b"101",
                b"OK",
                b"\r\n",
                b"\r\n\r\n",
                b"X: y",
                b"0",
                b"5",
                b";a",
                b"Content-Length: 5",
                b"Transfer-Encoding: chunked",
                b"Connection: close",
                b"Upgrade: x",
                b"\r",
                b"\n",
                b"\0",
            ]
        )
        | st.binary(max_size=4),
        max_size=25,
    ),
    cuts=cut_lists,
    method=st.sampled_from([b"GET", b"HEAD"]),
)
@settings(max_examples=400, deadline=None)
def test_arbitrary_bytes_get_one_verdict_in_any_cuts(parts: list[bytes], cuts: list[int], method: bytes) -> None:
    data = b"".join(parts)
    whole = read_response(data, (), method)
    assert read_response(data, cuts, method) == whole
    assert read_response(data, each_byte(data), method) == whole
    parse_response_head(data, method, DEFAULT_LIMITS)


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-RESP-001")
@pytest.mark.parametrize(
    "line",
    [
        "HTTP/1.1 099 x",
        "HTTP/1.1 1000 x",
        "HTTP/1.1 20 x",
        "HTTP/1.1 600 x",
        "HTTP/1.1 999 x",
        "HTTP/1.1 000",
        "HTTP/1.1",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 +20 OK",
        "http/1.1 200 OK",
        "HTTP/1.1 200OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.12 200 OK",
        "ICY 200 OK",
        "hello",
        "HTTP/1.1 200 a\x01",
        "HTTP/1.1 \xb2",
    ],
)
def test_a_line_that_is_not_a_status_line_is_refused(line: str) -> None:
    assert refused_response(head_of(line, "X: y")) == BadStatusLine(line.encode("latin-1"))


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-RESP-001", "HTTP-FIELD-004")
def test_a_reason_holds_no_control_bytes_of_either_kind() -> None:
    assert refused_response(head_of("HTTP/1.1 200 a\x85b")) == BadStatusLine(b"a\x85b")
    assert refused_response(head_of("HTTP/1.1 200 a\rSet-Cookie: x")) == BareLineEnd(15)
    assert accepted_response(head_of("HTTP/1.1 404 F\xc3\xa9 ")).reason == b"F\xc3\xa9 "
    assert accepted_response(head_of("HTTP/1.1 200")).reason == b""
    assert accepted_response(head_of("HTTP/1.1 200 ")).reason == b""


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-LINE-003")
@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9"])
def test_another_version_is_refused(version: str) -> None:
    assert refused_response(head_of(version + " 200 OK")) == UnsupportedVersion(version.encode())


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-RESP-007")
@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ((OK, "Content-Length: 5", "Transfer-Encoding: chunked"), LengthWithTransferCoding()),
        ((OK, "Content-Length: 5", "Content-Length: 5"), RepeatedField(b"content-length")),
        ((OK, "Content-Length: 5, 5"), BadContentLength(b"5, 5")),
        ((OK, "Content-Length: +5"), BadContentLength(b"+5")),
        ((OK, "Content-Length:"), BadContentLength(b"")),
        ((OK, f"Content-Length: {1 << 63}"), BadContentLength(b"9223372036854775808")),
        ((OK, "Transfer-Encoding: gzip, chunked"), UnknownTransferCoding(b"gzip, chunked")),
        ((OK, "Transfer-Encoding: identity"), UnknownTransferCoding(b"identity")),
        ((OK, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), RepeatedField(b"transfer-encoding")),
        (("HTTP/1.0 200 OK", "Transfer-Encoding: chunked"), TransferCodingOnHttp10()),
        ((OK, "X : y"), BadFieldLine(b"X : y")),
        ((OK, "X: y", " folded"), BadFieldLine(b" folded")),
        ((OK, "X: \x7f"), BadFieldLine(b"X: \x7f")),
        ((OK, "X: \x85"), BadFieldLine(b"X: \x85")),
        ((OK, "X: \x00"), NulByte(20)),
        ((OK, "X: a\nY: b"), BareLineEnd(21)),
        ((OK, "Connection: a b"), BadFieldValue(b"connection", b"a b")),
        ((OK, *("X: y",) * 129), TooManyFields(128)),
        ((OK, "X: " + "y" * 70_000), HeadTooLong(65536)),
    ],
)
def test_a_smuggled_response_is_as_bad_as_a_request(lines: tuple[str, ...], error: HttpError) -> None:
    assert refused_response(head_of(*lines)) == error


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-RESP-007")
def test_line_ends_and_size_are_checked_by_the_parser_as_well() -> None:
    assert parse_response_head(b"HTTP/1.1 200 OK\n\r\n\r\n", b"GET", DEFAULT_LIMITS) == Failure(BareLineEnd(15))
    assert parse_response_head(head_of(OK), b"GET", Limits(head_bytes_max=9)) == Failure(HeadTooLong(9))
    assert parse_response_head(b"\r\n" + head_of(OK), b"GET", DEFAULT_LIMITS) == Failure(BadStatusLine(b""))


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-RESP-002")
@pytest.mark.parametrize(("status", "method"), [(200, b"HEAD"), (404, b"HEAD"), (304, b"GET"), (304, b"HEAD")])
def test_head_and_304_have_no_body_whatever_they_declare(status: int, method: bytes) -> None:
    line = f"HTTP/1.1 {status} x"
    for lines, declared in (
        ((line,), -1),
        ((line, "Content-Length: 5"), 5),
        ((line, "Transfer-Encoding: chunked"), -1),
    ):
        head = accepted_response(head_of(*lines), method)
        assert (head.length, head.declared, head.keep_alive) == (0, declared, True)
        read = read_response(head_of(*lines) + b"HTTP/", (), method)
        assert isinstance(read, Message)
        assert (read.is_done, read.rest) == (True, b"HTTP/")


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-RESP-003")
@pytest.mark.parametrize("status", [100, 101, 103, 199, 204])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_interim_responses_and_204_declare_no_body(status: int, method: bytes) -> None:
    lines = (f"HTTP/1.1 {status} x", "Connection: upgrade", "Upgrade: x")
    for framing in ("Content-Length: 5", "Transfer-Encoding: chunked"):
        assert refused_response(head_of(*lines, framing), method) == BodyNotAllowed(status)
    for silent in (lines, (*lines, "Content-Length: 0")):
        head = accepted_response(head_of(*silent), method)
        assert (head.length, head.declared, head.keep_alive) == (0, -1, True)


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-RESP-004")
def test_205_has_no_content_but_the_framing_of_any_response() -> None:
    line = "HTTP/1.1 205 Reset Content"
    assert refused_response(head_of(line, "Content-Length: 5")) == BodyNotAllowed(205)
    assert accepted_response(head_of(line, "Content-Length: 0")).declared == 0
    assert accepted_response(head_of(line, "Transfer-Encoding: chunked")).length == CHUNKED
    assert accepted_response(head_of(line)).length == UNTIL_CLOSE


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-RESP-005")
@pytest.mark.parametrize("line", [OK, "HTTP/1.0 200 OK", "HTTP/1.1 500 x"])
def test_a_response_without_length_ends_with_the_connection(line: str) -> None:
    head = accepted_response(head_of(line, "Connection: keep-alive"))
    assert (head.length, head.declared, head.keep_alive) == (UNTIL_CLOSE, -1, False)
    assert accepted_response(head_of(line, "Connection: keep-alive", "Content-Length: 1")).keep_alive


@pytest.mark.bug("D", "C13")
@pytest.mark.shows("HTTP-RESP-006")
def test_a_101_names_what_it_switches_to() -> None:
    line = "HTTP/1.1 101 Switching Protocols"
    head = accepted_response(head_of(line, "Connection: keep-alive, Upgrade", "Upgrade: websocket"))
    assert (head.upgrade, head.is_interim, head.length) == (b"websocket", False, 0)
    for lines in (
        (),
        ("Upgrade: x",),
        ("Connection: upgrade",),
        ("Connection: upgrade", "Upgrade:"),
        ("Connection: upgrade", "Upgrade: h2c"),
    ):
        assert refused_response(head_of(line, *lines)) == SwitchUnnamed()
    refused = refused_response(head_of(line, "Connection: upgrade", "Upgrade: a b"))
    assert refused == BadFieldValue(b"upgrade", b"a b")
    assert accepted_response(head_of(OK, "Connection: upgrade", "Upgrade: h2,h2c", "Content-Length: 0")).upgrade == b""


def test_which_statuses_are_interim() -> None:
    for status in (100, 102, 103, 199):
        assert accepted_response(head_of(f"HTTP/1.1 {status} x")).is_interim
    for status in (200, 204, 304, 599):
        assert not accepted_response(head_of(f"HTTP/1.1 {status} x")).is_interim


def test_every_fact_of_a_response() -> None:
    head = accepted_response(head_of("HTTP/1.0 404 Not  Found", "a:b ", "Connection: Keep-Alive", "Content-Length: 0"))
    assert response_facts(head) == (
        0,
        404,
        b"Not  Found",
        ((b"a", b"b"), (b"Connection", b"Keep-Alive"), (b"Content-Length", b"0")),
        0,
        0,
        (b"keep-alive",),
        b"",
        True,
        False,
    )
