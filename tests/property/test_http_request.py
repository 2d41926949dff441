"""One reading of a request, or none: round trip, cuts, rest, arbitrary bytes, and each named attack on heads.

The examples are the entries of section C of the list of known bugs that a parser decides, and the policy at its head.
"""

import pytest
from http_support import (
    Message,
    accepted_request,
    chunked,
    cut_lists,
    each_byte,
    head_of,
    hosts,
    methods,
    names,
    ows,
    payloads,
    read_request,
    refused_request,
    request_facts,
    targets,
    values,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Failure, Success, value_of
from tunnel.core.http.errors import (
    BadContentLength,
    BadFieldLine,
    BadFieldValue,
    BadHost,
    BadRequestLine,
    BadTarget,
    BareLineEnd,
    BodyTooLong,
    ConnectAsked,
    HeadTooLong,
    HostDisagrees,
    HostMissing,
    HttpError,
    LengthWithTransferCoding,
    NulByte,
    RepeatedField,
    TargetTooLong,
    TooManyFields,
    TraceWithBody,
    TransferCodingOnHttp10,
    UnknownExpectation,
    UnknownTransferCoding,
    UnsupportedVersion,
    UpgradeWithBody,
)
from tunnel.core.http.framing import CHUNKED
from tunnel.core.http.host import host_of
from tunnel.core.http.request import parse_request_head

LINE = "GET / HTTP/1.1"
POST = "POST / HTTP/1.1"
HOST = "Host: a.example"


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Message]:
    """A well-formed request as bytes, and what a reader must make of it."""
    method, target, minor, host = draw(methods), draw(targets), draw(st.integers(0, 1)), draw(hosts)
    lines = draw(st.lists(st.tuples(names, ows, values, ows), max_size=6))
    payload = b"".join(parts := draw(st.lists(payloads, max_size=3)))
    trailers = draw(st.lists(st.tuples(names, values), max_size=2))
    framing = draw(st.sampled_from(["none", "length", "chunked"] if minor else ["none", "length"]))
    fields = [("Host", host), *((name, value) for name, _, value, _ in lines)]
    text = [f"{method} {target} HTTP/1.{minor}", f"Host:{host}"]
    text += [f"{name}:{before}{value}{after}" for name, before, value, after in lines]
    if framing == "length":
        fields.append(("Content-Length", str(len(payload))))
        text.append(f"Content-Length:  {len(payload)}\t")
    elif framing == "chunked":
        fields.append(("Transfer-Encoding", "Chunked"))
        text.append("Transfer-Encoding: Chunked")
    body = {"none": b"", "length": payload, "chunked": chunked(parts, [";a=b", ""], trailers)}[framing]
    head = (
        method.encode(),
        target.encode(),
        minor,
        tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in fields),
        host.rpartition(":")[0].removesuffix(".").lower() if ":" in host else host.removesuffix(".").lower(),
        host.encode(),
        {"none": 0, "length": len(payload), "chunked": CHUNKED}[framing],
        (),
        b"",
        minor > 0,
        False,
    )
    kept = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in trailers)
    rest = draw(st.binary(max_size=30))
    message = Message(
        head, b"" if framing == "none" else payload, kept if framing == "chunked" else (), is_done=True, rest=rest
    )
    return head_of(*text) + body + rest, message


@pytest.mark.shows("HTTP-LINE-001", "HTTP-FIELD-001", "HTTP-FIELD-004", "HTTP-HOST-004", "HTTP-BODY-009")
@given(case=requests(), cuts=cut_lists)
@settings(max_examples=300, deadline=None)
def test_what_was_written_is_read_in_any_cuts_and_the_rest_is_untouched(
    case: tuple[bytes, Message], cuts: list[int]
) -> None:
    data, expected = case
    assert read_request(data, ()) == expected
    assert read_request(data, cuts) == expected
    assert read_request(data, each_byte(data)) == expected


@pytest.mark.shows("HTTP-HEAD-002")
@given(
    parts=st.lists(
        st.sampled_from(
            [
                b"GET",
                b"POST",
                b" ",
                b"/",
                b"*",
                b"http://a",
                b"HTTP/1.1",
                b"HTTP/1.0",
                b"\r\n",
                b"\r\n\r\n",
                b"Host",
                b": a",
                b"Content-Length: 5",
                b"Transfer-Encoding: chunked",
                b"Connection: upgrade",
                b"Upgrade: x",
                b"Expect: 1",
                b"\r",
                b"\n",
                b"\0",
                b"5",
                b"0",
                b"hello",
                b":",
                b";",
                b"\x85",
                b"\xc3\xa9",
                b"\t",
            ]
        )
        | st.binary(max_size=4),
        max_size=25,
    ),
    cuts=cut_lists,
)
@settings(max_examples=500, deadline=None)
def test_arbitrary_bytes_get_one_verdict_in_any_cuts(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    whole = read_request(data, ())
    assert read_request(data, cuts) == whole
    assert read_request(data, each_byte(data)) == whole
    parse_request_head(data, DEFAULT_LIMITS)


def test_every_fact_of_a_browser_request() -> None:
    head = accepted_request(
        head_of("OPTIONS * HTTP/1.1", "hOST: A.Example.:8080", "Connection: Keep-Alive , Upgrade", "Upgrade: websocket")
    )
    assert request_facts(head) == (
        b"OPTIONS",
        b"*",
        1,
        (
            (b"hOST", b"A.Example.:8080"),
            (b"Connection", b"Keep-Alive , Upgrade"),
            (b"Upgrade", b"websocket"),
        ),
        "a.example",
        b"A.Example.:8080",
        0,
        (b"keep-alive", b"upgrade"),
        b"websocket",
        True,
        False,
    )


@pytest.mark.bug("C1")
@pytest.mark.shows("HTTP-FRAME-003")
@pytest.mark.parametrize("length", ["Content-Length: 5", "CONTENT-LENGTH: 0", "content-length: x"])
@pytest.mark.parametrize("coding", ["Transfer-Encoding: chunked", "tRANSFER-eNCODING: Chunked", "Transfer-Encoding: x"])
def test_length_and_coding_together_are_refused_in_any_order_and_case(length: str, coding: str) -> None:
    assert refused_request(head_of(POST, HOST, length, coding)) == LengthWithTransferCoding()
    assert refused_request(head_of(POST, coding, HOST, length)) == LengthWithTransferCoding()


@pytest.mark.bug("C2")
@pytest.mark.shows("HTTP-FRAME-001")
@pytest.mark.parametrize(
    "value",
    [
        "5, 5",
        "5,5",
        "+5",
        "-5",
        "0x5",
        "5_0",
        "5.0",
        "1e1",
        "5 5",
        "",
        "0o5",
        "\uff15".encode().decode("latin-1"),
        "5;",
        "\x0b5",
        "5\x0c",
        "0\t0",
        "\xb2",
        "9223372036854775808",
        "9" * 20,
        "0" * 20,
        "18446744073709551621",
        "\u0665".encode().decode("latin-1"),
    ],
)
def test_a_content_length_is_digits_and_nothing_else(value: str) -> None:
    error = refused_request(head_of(POST, HOST, "Content-Length: " + value))
    assert isinstance(error, BadContentLength | BadFieldLine)
    if "\x0b" not in value and "\x0c" not in value and value.isascii():
        assert error == BadContentLength(value.encode())


@pytest.mark.bug("C2")
@pytest.mark.shows("HTTP-FRAME-001")
@pytest.mark.parametrize(("value", "length"), [("0", 0), ("5", 5), ("0005", 5), (" \t7\t ", 7)])
def test_a_content_length_may_have_zeros_and_space_around_it(value: str, length: int) -> None:
    assert accepted_request(head_of(POST, HOST, f"Content-Length:{value}")).length == length


@pytest.mark.bug("C2", "C3", "C12")
@pytest.mark.shows("HTTP-FRAME-002", "HTTP-HOST-002", "HTTP-INTENT-001")
@pytest.mark.parametrize(
    "line", ["Content-Length: 5", "Transfer-Encoding: chunked", "Expect: 100-continue", "HOST: a.example"]
)
def test_a_field_that_may_come_once_is_refused_twice_even_when_equal(line: str) -> None:
    name = line.partition(":")[0].lower().encode()
    twice = head_of(POST, line, "X: y", line.swapcase()) if name == b"host" else head_of(POST, HOST, line, "X: y", line)
    assert refused_request(twice) == RepeatedField(name)


@pytest.mark.bug("C18")
@pytest.mark.shows("HTTP-FRAME-008")
def test_a_declared_body_beyond_the_limit_is_413_before_it_comes() -> None:
    limits = Limits(request_body_bytes_max=10)
    assert accepted_request(head_of(POST, HOST, "Content-Length: 10"), limits).length == 10
    assert refused_request(head_of(POST, HOST, "Content-Length: 11"), limits) == BodyTooLong(10)
    assert refused_request(head_of(POST, HOST, f"Content-Length: {2**63 - 1}")) == BodyTooLong(16 << 30)


@pytest.mark.bug("C3")
@pytest.mark.shows("HTTP-FRAME-004")
@pytest.mark.parametrize(
    "value",
    [
        "chunked, chunked",
        ",chunked",
        "chunked,",
        "identity",
        "xchunked",
        '"chunked"',
        "chunked;x=1",
        "gzip, chunked",
        "",
        "chunked, identity",
        "chunked\t,",
        "chunk",
        "chunkedchunked",
        "gzip",
        "chunked q=1",
    ],
)
def test_a_transfer_coding_is_chunked_and_nothing_else(value: str) -> None:
    error = refused_request(head_of(POST, HOST, "Transfer-Encoding: " + value))
    assert error == UnknownTransferCoding(value.encode())


@pytest.mark.bug("C3")
@pytest.mark.shows("HTTP-FRAME-004", "HTTP-FIELD-003", "HTTP-FIELD-004")
@pytest.mark.parametrize("byte", [0x00, 0x0B, 0x0C, 0x1C, 0x1F, 0x7F, 0x85, 0xA0])
def test_other_white_space_around_a_coding_is_not_stripped(byte: int) -> None:
    for line in ("Transfer-Encoding: chunked" + chr(byte), "Transfer-Encoding:" + chr(byte) + "chunked"):
        error = refused_request(head_of(POST, HOST, line))
        assert isinstance(error, NulByte | BadFieldLine | UnknownTransferCoding)


@pytest.mark.bug("C3")
@pytest.mark.shows("HTTP-FRAME-004")
def test_a_coding_with_white_space_after_it_is_refused_and_before_it_is_not() -> None:
    for after in (" ", "\t", " \t"):
        error = refused_request(head_of(POST, HOST, "Transfer-Encoding: chunked" + after, "X: y "))
        assert error == UnknownTransferCoding(b"chunked" + after.encode())
    assert accepted_request(head_of(POST, HOST, "Transfer-Encoding:\t chunked")).length == CHUNKED


@pytest.mark.bug("C3", "C14")
@pytest.mark.shows("HTTP-FRAME-005")
def test_a_coding_in_http_1_0_is_refused() -> None:
    lines = ("POST / HTTP/1.0", HOST, "Connection: keep-alive", "Transfer-Encoding: chunked")
    assert refused_request(head_of(*lines)) == TransferCodingOnHttp10()


@pytest.mark.bug("C4", "C14")
@pytest.mark.shows("HTTP-FRAME-006")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT"])
@pytest.mark.parametrize("minor", [0, 1])
def test_bytes_belong_to_the_body_when_declared_and_to_the_next_request_when_not(method: str, minor: int) -> None:
    line = f"{method} / HTTP/1.{minor}"
    declared = read_request(head_of(line, HOST, "Content-Length: 5") + b"hello" + b"GET /", ())
    silent = read_request(head_of(line, HOST) + b"hello", ())
    assert isinstance(declared, Message)
    assert isinstance(silent, Message)
    assert (declared.body, declared.rest) == (b"hello", b"GET /")
    assert (silent.body, silent.is_done, silent.rest) == (b"", True, b"hello")


@pytest.mark.bug("C5")
@pytest.mark.shows("HTTP-INTENT-001")
@pytest.mark.parametrize("value", ["100-Continue", "100-continue", "100-CONTINUE"])
def test_a_continue_is_expected_in_any_case_of_letters_when_there_is_a_body(value: str) -> None:
    expecting = f"Expect: {value}"
    assert accepted_request(head_of(POST, HOST, expecting, "Content-Length: 5")).expects_continue
    assert accepted_request(head_of(POST, HOST, expecting, "Transfer-Encoding: chunked")).expects_continue
    assert not accepted_request(head_of(POST, HOST, expecting, "Content-Length: 0")).expects_continue
    assert not accepted_request(head_of(POST, HOST, expecting)).expects_continue
    assert not accepted_request(head_of("POST / HTTP/1.0", HOST, expecting, "Content-Length: 5")).expects_continue


@pytest.mark.bug("C5")
@pytest.mark.shows("HTTP-INTENT-001")
@pytest.mark.parametrize(
    "value", ["", "100", "100-continue, 100-continue", "200-ok", "y 100-continue", "100-continue;"]
)
def test_any_other_expectation_is_refused(value: str) -> None:
    lines = (POST, HOST, "Content-Length: 5", "Expect: " + value)
    assert refused_request(head_of(*lines)) == UnknownExpectation(value.encode())
    assert accepted_request(head_of("POST / HTTP/1.0", *lines[1:])).length == 5


@pytest.mark.bug("C6")
@pytest.mark.shows("HTTP-FRAME-007")
@pytest.mark.parametrize("named", ["Content-Length", "Transfer-Encoding", "Host", "Cookie", "X-Forwarded-For"])
def test_what_connection_names_does_not_change_framing_or_host(named: str) -> None:
    for line, length in (("Content-Length: 5", 5), ("Transfer-Encoding: chunked", CHUNKED)):
        head = accepted_request(head_of(POST, HOST, f"Connection: {named}", line))
        assert (head.length, head.host, head.connection_options) == (length, "a.example", (named.lower().encode(),))


@pytest.mark.bug("C10")
@pytest.mark.shows("HTTP-FIELD-001", "HTTP-FIELD-002", "HTTP-FIELD-003")
@pytest.mark.parametrize(
    "line",
    [
        "X : y",
        "X\t: y",
        " X: y",
        "\tX: y",
        ": y",
        "no colon",
        "X(: y",
        "X\x80: y",
        "X y: z",
        "\x0b: y",
        "@: y",
        "X\x7f: y",
        "X: a\x01b",
        "X: a\x0bb",
        "X: a\x0c",
        "X: \x7f",
        "X: \x1f",
        "X: a\x85b",
        "X: \x80",
        "X: \x9f",
        "X: a\xc2\x85",
    ],
)
def test_a_line_that_is_not_a_field_line_is_refused(line: str) -> None:
    seen = line.encode("latin-1")
    for lines in ((LINE, HOST, line), (LINE, line, HOST), (LINE, HOST, line, "Y: z")):
        assert refused_request(head_of(*lines)) == BadFieldLine(seen)


@pytest.mark.bug("C10")
@pytest.mark.shows("HTTP-FIELD-002")
def test_a_folded_line_is_refused() -> None:
    assert refused_request(head_of(LINE, HOST, "X: a", " b")) == BadFieldLine(b" b")
    assert refused_request(head_of(LINE, HOST, "Transfer-Encoding:", " chunked")) == BadFieldLine(b" chunked")
    assert refused_request(head_of(LINE, " " + HOST)) == BadFieldLine(b" " + HOST.encode())


@pytest.mark.bug("C10")
@pytest.mark.shows("HTTP-FIELD-004", "HTTP-FIELD-005")
def test_only_space_and_tab_are_stripped_and_utf_8_passes() -> None:
    head = accepted_request(
        head_of(LINE, HOST, "A: \t x \t", "B: \xa0x\xa0", "C: \xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80", "D:", "E: \t")
    )
    assert head.fields[1:] == [
        (b"A", b"x"),
        (b"B", b"\xa0x\xa0"),
        (b"C", b"\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80"),
        (b"D", b""),
        (b"E", b""),
    ]


@pytest.mark.bug("C10")
@pytest.mark.shows("HTTP-HEAD-004", "HTTP-HEAD-005")
def test_line_ends_are_checked_by_the_parser_as_well() -> None:
    assert parse_request_head(b"GET / HTTP/1.1\nHost: a\r\n\r\n", DEFAULT_LIMITS) == Failure(BareLineEnd(14))
    assert parse_request_head(b"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n", DEFAULT_LIMITS) == Failure(NulByte(22))
    for cut in (2, 4):
        assert parse_request_head(head_of(LINE, HOST)[:-cut], DEFAULT_LIMITS) == Failure(BadFieldLine(b""))
    small = Limits(head_bytes_max=20)
    assert parse_request_head(head_of(LINE, HOST), small) == Failure(HeadTooLong(20))


@pytest.mark.bug("C11")
@pytest.mark.shows("HTTP-LINE-001", "HTTP-LINE-002")
@pytest.mark.parametrize(
    "line",
    [
        "GET\t/ HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "get / HTTP/1.1",
        "GeT / HTTP/1.1",
        "GET /",
        "GET",
        "GET / HTTP/1.32",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/ 1.1",
        "GET / x HTTP/1.1",
        "G@T / HTTP/1.1",
        "\xffGET / HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / HTTP/1.\xb2",
    ],
)
def test_a_line_that_is_not_a_request_line_is_refused(line: str) -> None:
    assert refused_request(head_of(line, HOST)) == BadRequestLine(line.encode("latin-1"))


@pytest.mark.bug("C11")
@pytest.mark.shows("HTTP-LINE-003")
@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/1.2", "HTTP/1.9", "HTTP/0.9", "HTTP/3.1", "HTTP/0.0"])
def test_another_version_is_505(version: str) -> None:
    assert refused_request(head_of("GET / " + version, HOST)) == UnsupportedVersion(version.encode())


@pytest.mark.bug("C11")
@pytest.mark.shows("HTTP-LINE-004")
def test_a_target_beyond_its_limit_is_414() -> None:
    limits = Limits(target_bytes_max=10)
    assert accepted_request(head_of("GET /123456789 HTTP/1.1", HOST), limits).target == b"/123456789"
    assert refused_request(head_of("GET /1234567890 HTTP/1.1", HOST), limits) == TargetTooLong(11, 10)
    assert refused_request(head_of("GET http://a.example/ HTTP/1.1", HOST), limits) == TargetTooLong(17, 10)


@pytest.mark.bug("C11")
@pytest.mark.shows("HTTP-LINE-005")
@pytest.mark.parametrize("target", ["/#", "/a#b", "#", "/\x7f", "/\xe9", "/\x01", "/\xc3\xa9", "/\x0b"])
def test_a_byte_that_no_target_has_is_refused(target: str) -> None:
    assert refused_request(head_of(f"GET {target} HTTP/1.1", HOST)) == BadTarget(target.encode("latin-1"))


@pytest.mark.bug("C11")
@pytest.mark.shows("HTTP-LINE-006")
@pytest.mark.parametrize("target", ["a.example:443", "/", "*", "http://a.example/"])
def test_connect_is_501(target: str) -> None:
    assert refused_request(head_of(f"CONNECT {target} HTTP/1.1", HOST)) == ConnectAsked()
    assert refused_request(head_of(f"CONNECT {target} HTTP/1.1")) == ConnectAsked()


@pytest.mark.bug("C11")
@pytest.mark.shows("HTTP-LINE-007")
def test_the_asterisk_is_for_options_alone() -> None:
    assert accepted_request(head_of("OPTIONS * HTTP/1.1", HOST)).target == b"*"
    for method in ("GET", "HEAD", "POST", "TRACE"):
        assert refused_request(head_of(f"{method} * HTTP/1.1", HOST)) == BadTarget(b"*")
    for target in (
        "**",
        "*/",
        "a.example",
        "a.example:80",
        "?q",
        "ftp://a.example/",
        "http:/a",
        "http://",
        "https:///",
    ):
        assert refused_request(head_of(f"OPTIONS {target} HTTP/1.1", HOST)) == BadTarget(target.encode())


@pytest.mark.bug("C11", "C12")
@pytest.mark.shows("HTTP-LINE-008")
@pytest.mark.parametrize(
    ("method", "target", "reduced"),
    [
        ("GET", "http://a.example/x?y", b"/x?y"),
        ("GET", "HTTPS://A.Example/", b"/"),
        ("GET", "http://a.example", b"/"),
        ("GET", "http://a.example?q", b"/?q"),
        ("OPTIONS", "http://a.example", b"*"),
        ("OPTIONS", "http://a.example/", b"/"),
        ("OPTIONS", "http://a.example?q", b"/?q"),
        ("GET", "http://a.example//b/http://c", b"//b/http://c"),
    ],
)
def test_an_absolute_form_that_agrees_with_host_is_reduced(method: str, target: str, reduced: bytes) -> None:
    assert accepted_request(head_of(f"{method} {target} HTTP/1.1", HOST)).target == reduced


@pytest.mark.bug("C11", "C12")
@pytest.mark.shows("HTTP-LINE-008")
@pytest.mark.parametrize(
    "authority", ["b.example", "a.example:80", "a.example.", "u@a.example", "a.example@b", "a.exampl"]
)
def test_an_absolute_form_that_disagrees_with_host_is_refused(authority: str) -> None:
    error = refused_request(head_of(f"GET http://{authority}/ HTTP/1.1", HOST))
    assert error == HostDisagrees(authority.encode(), b"a.example")


@pytest.mark.bug("B5", "C19")
@pytest.mark.shows("HTTP-LINE-009")
@pytest.mark.parametrize(
    "target",
    [
        "/public/%2e%2e/admin",
        "//",
        "/a%2Fb",
        "/./..//",
        "/%zz",
        '/"<>\\^`{|}',
        "/?" + "&".join("a=1" for _ in range(4000)),
    ],
)
def test_a_target_is_kept_byte_for_byte(target: str) -> None:
    assert accepted_request(head_of(f"GET {target} HTTP/1.1", HOST)).target == target.encode()


@pytest.mark.shows("HTTP-LINE-010")
def test_trace_has_no_content() -> None:
    for line in ("Content-Length: 1", "Transfer-Encoding: chunked"):
        assert refused_request(head_of("TRACE / HTTP/1.1", HOST, line)) == TraceWithBody()
    assert accepted_request(head_of("TRACE / HTTP/1.1", HOST, "Content-Length: 0")).length == 0


@pytest.mark.shows("HTTP-HEAD-007")
def test_one_empty_line_before_a_request_is_ignored_and_nothing_else() -> None:
    assert accepted_request(b"\r\n" + head_of(LINE, HOST)).host == "a.example"
    assert refused_request(b"\r\n\r\n" + head_of(LINE, HOST)) == BadRequestLine(b"")
    assert refused_request(b" \r\n" + head_of(LINE, HOST)) == BadRequestLine(b" ")
    assert refused_request(b"\n" + head_of(LINE, HOST)) == BareLineEnd(0)


@pytest.mark.bug("C12")
@pytest.mark.shows("HTTP-HOST-001")
@pytest.mark.parametrize("line", [LINE, "GET / HTTP/1.0", "GET http://a.example/ HTTP/1.1"])
def test_a_request_without_host_is_refused(line: str) -> None:
    assert refused_request(head_of(line, "X-Host: a")) == HostMissing()


@pytest.mark.bug("C12")
@pytest.mark.shows("HTTP-HOST-003")
def test_a_bad_host_is_refused_with_the_request() -> None:
    assert refused_request(head_of(LINE, "Host: a,b")) == BadHost(b"a,b")
    assert refused_request(head_of(LINE, "Host:")) == BadHost(b"")


@pytest.mark.bug("C13")
@pytest.mark.shows("HTTP-INTENT-002", "HTTP-INTENT-003")
@pytest.mark.parametrize(
    ("lines", "upgrade"),
    [
        (("Connection: Upgrade", "Upgrade: websocket"), b"websocket"),
        (("Connection: keep-alive, uPGRADE", "Upgrade: WebSocket"), b"WebSocket"),
        (("Connection: keep-alive", "Connection: upgrade", "Upgrade: a/1", "Upgrade: ,b"), b"a/1, b"),
        (("Upgrade: websocket",), b""),
        (("Connection: upgrade",), b""),
        (("Connection: close", "Upgrade: websocket"), b""),
        (("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x"), b""),
        (("Connection: Upgrade", "Upgrade: H2C, websocket"), b"websocket"),
        (("Connection: Upgrade", "Upgrade: h2, HTTP/2.0, h2c/1"), b""),
        (("Connection: Upgrade", "Upgrade:"), b""),
    ],
)
def test_what_an_upgrade_offers(lines: tuple[str, ...], upgrade: bytes) -> None:
    assert accepted_request(head_of(LINE, HOST, *lines)).upgrade == upgrade
    assert accepted_request(head_of("GET / HTTP/1.0", HOST, *lines)).upgrade == b""


@pytest.mark.bug("C13")
@pytest.mark.shows("HTTP-INTENT-004")
def test_an_upgrade_with_a_body_is_refused() -> None:
    upgrading = ("Connection: Upgrade", "Upgrade: websocket")
    for line in ("Content-Length: 5", "Transfer-Encoding: chunked"):
        assert refused_request(head_of(POST, HOST, *upgrading, line)) == UpgradeWithBody(b"websocket")
    assert accepted_request(head_of(POST, HOST, *upgrading, "Content-Length: 0")).upgrade == b"websocket"
    h2c = accepted_request(head_of(POST, HOST, "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5"))
    assert (h2c.upgrade, h2c.length) == (b"", 5)


@pytest.mark.shows("HTTP-FIELD-007")
@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (("Connection: a b",), BadFieldValue(b"connection", b"a b")),
        (("Connection: keep-alive;x",), BadFieldValue(b"connection", b"keep-alive;x")),
        (("Connection: close", "Connection: \xe9"), BadFieldValue(b"connection", b"close, \xe9")),
        (("Connection: upgrade", "Upgrade: web socket"), BadFieldValue(b"upgrade", b"web socket")),
        (("Connection: upgrade", "Upgrade: a/b/c"), BadFieldValue(b"upgrade", b"a/b/c")),
    ],
)
def test_a_list_that_is_none_is_refused(lines: tuple[str, ...], error: HttpError) -> None:
    assert refused_request(head_of(LINE, HOST, *lines)) == error


@pytest.mark.shows("HTTP-INTENT-005")
def test_when_a_connection_outlives_the_exchange() -> None:
    def keeps(minor: int, *lines: str) -> bool:
        return accepted_request(head_of(f"GET / HTTP/1.{minor}", HOST, *lines)).keep_alive

    assert keeps(1)
    assert not keeps(0)
    for value in ("Keep-Alive", "KEEP-ALIVE", "keep-alive, x", ",keep-alive"):
        assert keeps(1, f"Connection: {value}")
        assert keeps(0, f"Connection: {value}")
    for value in ("x", "", ",", "upgrade"):
        assert keeps(1, f"Connection: {value}")
        assert not keeps(0, f"Connection: {value}")
    for value in ("close", "x, CLOSE", "keep-alive, close", ",,close"):
        assert not keeps(1, f"Connection: {value}")
        assert not keeps(0, f"Connection: {value}")
    assert not keeps(1, "Connection: keep-alive", "Connection: close")


@pytest.mark.bug("C18")
@pytest.mark.shows("HTTP-FIELD-006")
def test_more_fields_than_the_limit_are_431() -> None:
    lines = [f"X-{number}: y" for number in range(127)]
    assert len(accepted_request(head_of(LINE, HOST, *lines)).fields) == 128
    assert refused_request(head_of(LINE, HOST, *lines, "One: more")) == TooManyFields(128)


def test_success_is_the_outcome_of_the_smallest_request() -> None:
    assert isinstance(parse_request_head(head_of(LINE, "Host: a"), DEFAULT_LIMITS), Success)


@pytest.mark.shows("HTTP-HOST-004")
@given(value=st.sampled_from(("a.example", "A.example:80", "[::1]:8080", "bad host", "")), is_same=st.booleans())
def test_a_host_known_from_the_request_before_is_read_the_same(*, value: str, is_same: bool) -> None:
    """What is remembered of a connection changes no verdict: neither of an equal Host nor of another."""
    raw = head_of(LINE, f"Host: {value}")
    fresh = parse_request_head(raw, DEFAULT_LIMITS)
    before = value.encode() if is_same and isinstance(fresh, Success) else b"b.example"
    again = parse_request_head(raw, DEFAULT_LIMITS, (before, host_of(before) or ""))
    assert isinstance(again, Success) is isinstance(fresh, Success)
    if isinstance(fresh, Success) and isinstance(again, Success):
        assert request_facts(value_of(again)) == request_facts(value_of(fresh))
    else:
        assert again == fresh
