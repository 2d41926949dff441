"""What goes on is itself strict, says the truth about where it comes from, and keeps the rest as it came.

Whatever is accepted is forwarded and read again by our own parser; the differential tests do the same with others'.
"""

import pytest
from http_support import (
    Message,
    accepted_request,
    accepted_response,
    body_verdict,
    head_of,
    hosts,
    methods,
    names,
    payloads,
    targets,
    values,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.http.fields import NOTED
from tunnel.core.http.forward import Visitor, chunk, last_chunk, provenance_of, request_bytes, response_bytes
from tunnel.core.http.framing import CHUNKED, UNTIL_CLOSE
from tunnel.core.http.names import (
    FORGEABLE_PREFIXES,
    PLAIN_NAMES,
    REQUEST_DROPPED,
    REQUEST_DROPPED_CHUNKED,
    RESPONSE_DROPPED,
    RESPONSE_DROPPED_CHUNKED,
)
from tunnel.core.http.request import RequestHead, parse_request_head
from tunnel.core.http.response import parse_response_head

VISITOR = Visitor(address="203.0.113.7", port=51234, scheme="https")
ID = "abcdefghijklmnopqrstuvwxyz"
LOCAL = b"localhost:3000"
HOST = "Host: Shop.example:8443"

GONE = [
    "Connection: keep-alive",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic x",
    "Proxy-Anything: x",
    "Proxy: http://evil",
    "TE: trailers",
    "Trailer: X",
    "Upgrade: websocket",
    "HTTP2-Settings: x",
    "X-Forwarded-For: 127.0.0.1",
    "x-forwarded-proto: http",
    "X-Forwarded-Host: evil",
    "X-Forwarded-Port: 1",
    "X-Forwarded-User: root",
    "X-Forwarded: 1",
    "X_Forwarded_For: 127.0.0.1",
    "X-Forwarded_For: 127.0.0.1",
    "X_FORWARDED-HOST: evil",
    "X-Real-IP: 127.0.0.1",
    "X_Real_IP: 127.0.0.1",
    "X-Real_IP: 127.0.0.1",
    "Forwarded: for=127.0.0.1",
    "X-Request-Id: evil",
    "X_Request_Id: evil",
    "Content_Length: 7",
    "Transfer_Encoding: chunked",
]


def forwarded(raw: bytes, visitor: Visitor = VISITOR, host_value: bytes = LOCAL) -> list[str]:
    """The lines of the head that the local service gets for this one."""
    head = accepted_request(raw)
    out = request_bytes(head, provenance_of(head.host_value, visitor), ID, host_value)
    assert out.endswith(b"\r\n\r\n")
    return out.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")


def answered(raw: bytes, framing: int, *, minor: int = 1, close: bool = False, method: bytes = b"GET") -> list[str]:
    """The lines of the head that the visitor gets for this one."""
    out = response_bytes(accepted_response(raw, method), ID, minor, framing, close=close)
    assert out.endswith(b"\r\n\r\n")
    return out.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")


def reread(out: bytes) -> RequestHead:
    """Our own strict reading of what we wrote."""
    outcome = parse_request_head(out, DEFAULT_LIMITS)
    assert isinstance(outcome, Success), outcome
    return value_of(outcome)


@pytest.mark.bug("C6", "B9")
@pytest.mark.shows("HTTP-FORWARD-001", "HTTP-FORWARD-004", "HTTP-FORWARD-012")
def test_a_whole_request_head() -> None:
    raw = head_of(
        "POST http://shop.EXAMPLE:8443/a?b HTTP/1.1", "Accept: */*", HOST, "via: 1.1 x", "Content-Length: 005"
    )
    assert forwarded(raw) == [
        "POST /a?b HTTP/1.1",
        "Host: localhost:3000",
        "Accept: */*",
        "via: 1.1 x",
        "Content-Length: 5",
        "Via: 1.1 tunnel",
        "X-Forwarded-For: 203.0.113.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: Shop.example:8443",
        "X-Forwarded-Port: 8443",
        'Forwarded: for="203.0.113.7:51234";host="Shop.example:8443";proto=https',
        "X-Request-Id: abcdefghijklmnopqrstuvwxyz",
    ]


@pytest.mark.shows("HTTP-FORWARD-004")
@pytest.mark.parametrize(
    ("host", "visitor", "port", "node"),
    [
        ("a.example", Visitor("2001:db8::1", 5, "https"), "443", "[2001:db8::1]:5"),
        ("a.example", Visitor("fe80::1%eth0", 5, "http"), "80", "[fe80::1]:5"),
        ("[::1]", Visitor("127.0.0.1", 6, "http"), "80", "127.0.0.1:6"),
        ("[::1]:81", Visitor("127.0.0.1", 6, "http"), "81", "127.0.0.1:6"),
        ("1234", Visitor("127.0.0.1", 6, "http"), "80", "127.0.0.1:6"),
    ],
)
def test_provenance_of_other_addresses(host: str, visitor: Visitor, port: str, node: str) -> None:
    lines = forwarded(head_of("GET / HTTP/1.0", f"Host: {host}"), visitor)
    assert lines[2:] == [
        "Via: 1.0 tunnel",
        f"X-Forwarded-For: {visitor.address.partition('%')[0]}",
        f"X-Forwarded-Proto: {visitor.scheme}",
        f"X-Forwarded-Host: {host}",
        f"X-Forwarded-Port: {port}",
        f'Forwarded: for="{node}";host="{host}";proto={visitor.scheme}',
        f"X-Request-Id: {ID}",
    ]


@pytest.mark.bug("C6", "B9")
@pytest.mark.shows("HTTP-FORWARD-002", "HTTP-FORWARD-003")
@pytest.mark.parametrize("line", GONE)
def test_what_a_visitor_may_not_pass_on_is_gone(line: str) -> None:
    with_it = forwarded(head_of("GET / HTTP/1.1", "A: 1", line, HOST, "B: 2"))
    assert with_it == forwarded(head_of("GET / HTTP/1.1", "A: 1", HOST, "B: 2"))


@pytest.mark.bug("C6")
@pytest.mark.shows("HTTP-FORWARD-002", "HTTP-FRAME-007")
@pytest.mark.parametrize(
    "named",
    [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "X-Forwarded-For",
        "X-Request-Id",
        "Via",
        "Forwarded",
        "Expect",
        "close",
    ],
)
def test_naming_a_field_in_connection_removes_nothing_that_we_write(named: str) -> None:
    for framing in ("Content-Length: 5", "Transfer-Encoding: chunked"):
        lines = ("POST / HTTP/1.1", HOST, framing, "Expect: 100-continue")
        assert forwarded(head_of(*lines, f"Connection: {named}")) == forwarded(head_of(*lines))


@pytest.mark.bug("C6")
@pytest.mark.shows("HTTP-FORWARD-002")
def test_what_connection_names_is_removed() -> None:
    raw = head_of("GET / HTTP/1.1", HOST, "Cookie: a", "Connection: X-Hop, cookie", "X-hop: 1", "X-Hop2: 2")
    assert forwarded(raw) == forwarded(head_of("GET / HTTP/1.1", HOST, "X-Hop2: 2"))
    answer = head_of("HTTP/1.1 200 OK", "Connection: x-hop", "X-Hop: 1", "X: 2", "Content-Length: 0")
    assert answered(answer, 0) == ["HTTP/1.1 200 OK", "X: 2", "Content-Length: 0", f"X-Request-Id: {ID}"]


@pytest.mark.shows("HTTP-FORWARD-001")
@pytest.mark.parametrize(
    ("method", "framing", "expected"),
    [
        ("GET", "X: y", []),
        ("GET", "Content-Length: 0", []),
        ("GET", "Content-Length: 5", ["Content-Length: 5"]),
        ("DELETE", "transfer-encoding: CHUNKED", ["Transfer-Encoding: chunked"]),
        ("POST", "X: y", ["Content-Length: 0"]),
        ("PUT", "Content-Length: 0", ["Content-Length: 0"]),
        ("PATCH", "Content-Length: 00007", ["Content-Length: 7"]),
    ],
)
def test_one_framing_field_at_most_as_we_read_it(method: str, framing: str, expected: list[str]) -> None:
    lines = forwarded(head_of(f"{method} / HTTP/1.1", HOST, framing))
    assert [line for line in lines if line.lower().startswith(("content-length", "transfer-encoding"))] == expected


@pytest.mark.bug("C5")
@pytest.mark.shows("HTTP-FORWARD-005")
def test_an_expectation_goes_on_when_somebody_waits_for_it() -> None:
    lines = (HOST, "Content-Length: 5", "Expect: 100-Continue")
    assert "Expect: 100-continue" in forwarded(head_of("PUT / HTTP/1.1", *lines))
    assert not any("Expect" in line for line in forwarded(head_of("PUT / HTTP/1.0", *lines)))
    assert not any("Expect" in line for line in forwarded(head_of("PUT / HTTP/1.1", HOST, "Expect: 100-continue")))


@pytest.mark.bug("C13")
@pytest.mark.shows("HTTP-FORWARD-006")
def test_an_upgrade_goes_on_without_protocols_that_are_http_again() -> None:
    lines = (HOST, "Connection: keep-alive, Upgrade, HTTP2-Settings", "HTTP2-Settings: x")
    out = forwarded(head_of("GET / HTTP/1.1", *lines, "Upgrade: h2c, websocket"))
    assert out[2:4] == ["Connection: Upgrade", "Upgrade: websocket"]
    plain = forwarded(head_of("GET / HTTP/1.1", HOST))
    assert forwarded(head_of("GET / HTTP/1.1", *lines, "Upgrade: h2c")) == plain
    assert forwarded(head_of("GET / HTTP/1.0", *lines, "Upgrade: websocket"))[2] == "Via: 1.0 tunnel"


@pytest.mark.bug("C9")
@pytest.mark.shows("HTTP-FORWARD-002")
def test_trailers_are_announced_only_where_they_can_follow() -> None:
    lines = ("POST / HTTP/1.1", HOST, "Trailer: Digest")
    assert "Trailer: Digest" in forwarded(head_of(*lines, "Transfer-Encoding: chunked"))
    assert "Trailer: Digest" not in forwarded(head_of(*lines, "Content-Length: 5"))
    answer = head_of("HTTP/1.1 200 OK", "Trailer: Digest", "Transfer-Encoding: chunked")
    assert "Trailer: Digest" in answered(answer, CHUNKED)
    assert "Trailer: Digest" not in answered(answer, UNTIL_CLOSE)


@pytest.mark.shows("HTTP-FORWARD-001", "HTTP-FORWARD-003", "HTTP-LINE-009")
@given(
    method=methods,
    target=targets,
    host=hosts,
    fields=st.lists(st.tuples(names, values), max_size=6),
    planted=st.lists(st.sampled_from(GONE), max_size=4),
    framing=st.sampled_from(["X: y", "Content-Length: 5", "Transfer-Encoding: chunked"]),
    address=st.ip_addresses().map(str),
)
@settings(max_examples=300, deadline=None)
def test_what_goes_on_is_read_as_what_came(
    method: str,
    target: str,
    host: str,
    fields: list[tuple[str, str]],
    planted: list[str],
    framing: str,
    address: str,
) -> None:
    lines = [f"{name}: {value}" for name, value in fields]
    head = accepted_request(head_of(f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, *planted, framing))
    again = reread(request_bytes(head, provenance_of(head.host_value, Visitor(address, 1, "http")), ID, LOCAL))
    assert (again.method, again.target, again.length, again.host) == (
        method.encode(),
        target.encode(),
        head.length,
        "localhost",
    )
    ours = {b"x-forwarded-for": address, b"x-request-id": ID, b"x-forwarded-host": host, b"x-forwarded-proto": "http"}
    seen = [(name.lower(), value) for name, value in again.fields]
    for name, value in ours.items():
        assert [found for one, found in seen if one.replace(b"_", b"-") == name] == [value.encode()]
    assert len([name for name, _ in seen if name == b"host"]) == 1
    assert len([name for name, _ in seen if name in {b"content-length", b"transfer-encoding"}]) <= 1
    assert {b"connection", b"proxy", b"te", b"x-real-ip"}.isdisjoint(name for name, _ in seen)
    kept = [(name, value) for name, value in head.fields if name.lower() not in {b"host", b"content-length"}]
    dropped = {line.partition(":")[0].lower().encode() for line in GONE} | {b"transfer-encoding"}
    for pair in kept:
        if pair[0].lower() not in dropped and not pair[0].lower().startswith((b"proxy", b"x-f", b"x_f")):
            assert pair in again.fields


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-FORWARD-007")
def test_a_whole_response_head() -> None:
    raw = head_of(
        "HTTP/1.0 404 Not  Found",
        "Server: x",
        "Connection: close",
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "Upgrade: h2c",
        "X-Request-Id: theirs",
        "X_Request_Id: theirs",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "Content-Length: 007",
    )
    assert answered(raw, 7) == [
        "HTTP/1.1 404 Not  Found",
        "Server: x",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "Content-Length: 7",
        f"X-Request-Id: {ID}",
    ]


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-FORWARD-007", "HTTP-FORWARD-009")
@pytest.mark.parametrize(
    ("framing", "minor", "close", "expected"),
    [
        ("Content-Length: 5", 1, "", ["Content-Length: 5"]),
        ("Content-Length: 5", 1, "close", ["Content-Length: 5", "Connection: close"]),
        ("Content-Length: 5", 0, "", ["Content-Length: 5", "Connection: keep-alive"]),
        ("Content-Length: 5", 0, "close", ["Content-Length: 5", "Connection: close"]),
        ("Transfer-Encoding: chunked", 1, "", ["Transfer-Encoding: chunked"]),
        ("Transfer-Encoding: chunked", 1, "close", ["Transfer-Encoding: chunked", "Connection: close"]),
        ("X: y", 1, "", ["X: y", "Connection: close"]),
        ("X: y", 0, "", ["X: y", "Connection: close"]),
    ],
)
def test_framing_and_connection_of_a_response(framing: str, minor: int, close: str, expected: list[str]) -> None:
    raw = head_of("HTTP/1.1 200 OK", framing)
    length = accepted_response(raw).length
    assert answered(raw, length, minor=minor, close=bool(close))[1:-1] == expected


@pytest.mark.shows("HTTP-FORWARD-007")
def test_framing_may_change_on_the_way() -> None:
    chunked_body = head_of("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
    assert answered(chunked_body, UNTIL_CLOSE, minor=0)[1:-1] == ["Connection: close"]
    until_close = head_of("HTTP/1.0 200 OK")
    assert answered(until_close, CHUNKED)[1:-1] == ["Transfer-Encoding: chunked"]


@pytest.mark.bug("D")
@pytest.mark.shows("HTTP-RESP-002", "HTTP-RESP-003", "HTTP-FORWARD-007")
def test_the_length_of_a_response_without_body_goes_on_where_it_may() -> None:
    declared = ("Content-Length: 5",)
    assert answered(head_of("HTTP/1.1 200 OK", *declared), 0, method=b"HEAD")[1] == "Content-Length: 5"
    assert answered(head_of("HTTP/1.1 304 x", *declared), 0)[1] == "Content-Length: 5"
    assert len(answered(head_of("HTTP/1.1 200 OK"), 0, method=b"HEAD")) == 2
    assert len(answered(head_of("HTTP/1.1 204 x", "Content-Length: 0"), 0)) == 2
    assert len(answered(head_of("HTTP/1.1 103 x", "Content-Length: 0"), 0, minor=0)) == 2


@pytest.mark.bug("C13")
@pytest.mark.shows("HTTP-FORWARD-008")
def test_a_switch_and_the_wish_for_one_keep_their_upgrade() -> None:
    upgrading = ("Connection: upgrade", "Upgrade: websocket")
    switched = answered(head_of("HTTP/1.1 101 Switching Protocols", *upgrading, "Sec-WebSocket-Accept: x"), 0)
    assert switched[1:-1] == ["Sec-WebSocket-Accept: x", "Connection: Upgrade", "Upgrade: websocket"]
    wanted = head_of("HTTP/1.1 426 Upgrade Required", *upgrading, "Content-Length: 0")
    assert answered(wanted, 0)[2:-1] == ["Connection: Upgrade", "Upgrade: websocket"]
    assert answered(wanted, 0, close=True)[2:-1] == ["Connection: Upgrade, close", "Upgrade: websocket"]
    unnamed = head_of("HTTP/1.1 426 Upgrade Required", "Content-Length: 0")
    assert answered(unnamed, 0, close=True)[2:-1] == ["Connection: close"]


@pytest.mark.shows("HTTP-FORWARD-007")
@given(
    status=st.integers(206, 303),
    reason=values,
    fields=st.lists(st.tuples(names, values), max_size=6),
    framing=st.sampled_from(["X: y", "Content-Length: 5", "Transfer-Encoding: chunked"]),
    minor=st.integers(0, 1),
)
@settings(max_examples=200, deadline=None)
def test_a_response_goes_on_as_it_came(
    status: int, reason: str, fields: list[tuple[str, str]], framing: str, minor: int
) -> None:
    lines = [f"{name}: {value}" for name, value in fields]
    head = accepted_response(head_of(f"HTTP/1.1 {status} {reason}", *lines, framing))
    out = parse_response_head(response_bytes(head, ID, minor, head.length, close=False), b"GET", DEFAULT_LIMITS)
    assert isinstance(out, Success)
    again = value_of(out)
    assert (again.status, again.reason, again.length) == (head.status, head.reason, head.length)
    assert again.keep_alive is (head.length != UNTIL_CLOSE)
    assert [value for name, value in again.fields if name == b"X-Request-Id"] == [ID.encode()]


@pytest.mark.bug("C8")
@pytest.mark.shows("HTTP-FORWARD-010", "HTTP-BODY-006")
@given(parts=st.lists(payloads, max_size=5))
@settings(max_examples=100, deadline=None)
def test_chunks_are_read_as_they_were_and_none_is_empty(parts: list[bytes]) -> None:
    data = b"".join([chunk(part) for part in parts]) + last_chunk([])
    assert body_verdict(CHUNKED, data, ()) == Message((), b"".join(parts), (), is_done=True, rest=b"")
    assert b";" not in chunk(b"x" * 300)
    assert chunk(b"") == b""
    assert chunk(b"hello world!") == b"c\r\nhello world!\r\n"


@pytest.mark.bug("C9")
@pytest.mark.shows("HTTP-FORWARD-011")
@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Content-Length",
        "TRANSFER-ENCODING",
        "Transfer_Encoding",
        "TE",
        "Connection",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "Forwarded",
        "X-Request-Id",
        "Proxy-Authorization",
        "Trailer",
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
        "Expect",
        "Upgrade",
        "Range",
        "If-Match",
        "Cache-Control",
    ],
)
def test_a_trailer_never_frames_routes_or_authorises(name: str) -> None:
    kept = (b"Digest", b"x")
    assert last_chunk([(name.encode(), b"1"), kept]) == b"0\r\nDigest: x\r\n\r\n"
    assert last_chunk([]) == b"0\r\n\r\n"


@pytest.mark.shows("HTTP-FORWARD-001", "HTTP-FORWARD-002")
def test_a_plain_name_is_none_that_ends_here() -> None:
    """`PLAIN_NAMES` are let through unseen, in the spellings that they have there."""
    ending = REQUEST_DROPPED | REQUEST_DROPPED_CHUNKED | RESPONSE_DROPPED | RESPONSE_DROPPED_CHUNKED | NOTED
    lower = {name.lower() for name in PLAIN_NAMES}
    assert not lower & ending
    assert not any(name.startswith(FORGEABLE_PREFIXES) for name in lower)
    assert lower <= PLAIN_NAMES
