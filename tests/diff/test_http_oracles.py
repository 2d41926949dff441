"""Whatever we accept, h11 and llhttp accept, and they read the same in it; so does what we forward.

Messages are made of sound and unsound lines and then damaged by a byte here and there, so that about a quarter is still
accepted. Each exception is a named rule in `differences_h11.toml` or `differences_llhttp.toml`, with an example that is
checked to be one; nothing else may differ.
"""

import tomllib
from dataclasses import replace
from typing import Final

import pytest
from http_foreign import HERE
from http_oracles import Reading, by_h11, by_llhttp, origin_form, ours
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.http.forward import Visitor, chunk, last_chunk, provenance_of, request_bytes, response_bytes
from tunnel.core.http.framing import CHUNKED
from tunnel.core.http.reader import HeadReader
from tunnel.core.http.request import parse_request_head
from tunnel.core.http.response import parse_response_head

# The methods llhttp knows and we generate; it refuses all others.
_LLHTTP_METHODS: Final = {
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"TRACE",
    b"M-SEARCH",
    b"PURGE",
}

REQUEST_LINES = [
    b"GET / HTTP/1.1",
    b"POST /a?b=c HTTP/1.1",
    b"HEAD /%2e%2E//x HTTP/1.0",
    b"OPTIONS * HTTP/1.1",
    b"PUT http://a.example/x?y HTTP/1.1",
    b'DELETE /"<>^`{|}\\ HTTP/1.1',
    b"M-SEARCH / HTTP/1.1",
    b"BREW / HTTP/1.1",
    b"get / HTTP/1.1",
    b"GET  / HTTP/1.1",
    b"GET /# HTTP/1.1",
    b"GET / HTTP/1.2",
]
STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.0 404 Not  Found",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 205 Reset Content",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 103 Early Hints",
    b"HTTP/1.1 500 ",
    b"HTTP/1.1 503",
    b"HTTP/1.1 200 r\xc3\xa9",
    b"HTTP/1.1 099 x",
    b"HTTP/1.1 2000 x",
]
FRAMING = [
    b"Content-Length: 5",
    b"content-length:005",
    b"Content-Length: 0",
    b"Transfer-Encoding: chunked",
    b"transfer-encoding:\tChunked",
    b"Content-Length: 5, 5",
    b"Content-Length: +5",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked\t",
]
FIELDS = [
    b"Connection: close",
    b"Connection: keep-alive, x",
    b"Connection: upgrade",
    b"Upgrade: x",
    b"Expect: 100-continue",
    b"X: y",
    b"X:",
    b"X:  y \t",
    b"x!#$%&'*+-.^_`|~: \xe9\xa0\xc3\xa9",
    b'Cookie: a=b; c="d"',
    b"X : y",
    b" folded",
    b"X: a\x0bb",
    b"X: \x85",
    b"no colon",
    b": empty",
]
BODIES = [
    b"",
    b"hello",
    b"helloGET / HTTP/1.1\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b'5;a=b;c="d e"\r\nhello\r\n0;x\r\nT: u\r\n\r\nrest',
    b"00A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloxx0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5;\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhel",
    b"0\r\nT: u\r\n",
]
DAMAGE = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\x0b",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"0",
    b"A",
    b"#",
    b'"',
]


@st.composite
def damaged(draw: st.DrawFn, lines: list[bytes]) -> bytes:
    """A message in sound order more often than not, with a body that suits its framing, and perhaps a damaged byte."""
    head = [draw(st.sampled_from(lines)), b"Host: a.example"]
    head += draw(st.lists(st.sampled_from(FIELDS[:10]), max_size=3))
    framing = draw(st.sampled_from([b"A: b", *FRAMING[:5], *FRAMING]))
    bodies = BODIES[3:] if b"hunked" in framing else BODIES[:3]
    head.append(framing)
    head += draw(st.lists(st.sampled_from(FIELDS[10:] + FRAMING), max_size=1)) if draw(st.integers(0, 4)) == 0 else []
    data = b"".join(line + b"\r\n" for line in head) + b"\r\n" + draw(st.sampled_from(bodies + bodies + BODIES))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from([b"", *DAMAGE])) + data[at + draw(st.integers(0, 1)) :]
    return data


def rules(name: str) -> dict[str, bytes]:
    """The reviewed rules of a table, each with its example."""
    table: dict[str, list[dict[str, str]]] = tomllib.loads((HERE / name).read_text("utf-8"))
    assert all(entry["reason"] for entry in table["difference"])
    return {entry["rule"]: entry["example"].encode("latin-1") for entry in table["difference"]}


def h11_rule(kind: str, data: bytes) -> str | None:
    """The reviewed rule by which h11 refuses what we accept, if it is one."""
    if kind == "request" and data.startswith(b"\r\n"):
        return "empty-line-before-request"
    return None


def llhttp_rule(kind: str, mine: Reading) -> str | None:
    """The reviewed rule by which llhttp refuses what we accept or sees another end of it, if it is one."""
    if kind == "request" and mine.line[0] not in _LLHTTP_METHODS:
        return "unknown-method"
    if kind == "request" and any(name == b"upgrade" for name, _ in mine.fields):
        return "upgrade-not-taken"
    return None


def known(mine: Reading) -> Reading:
    """What a reader must know by now: trailers and what follows are only known once the message has ended."""
    return mine if mine.is_done else replace(mine, trailers=(), rest=b"")


def is_interim(mine: Reading) -> bool:
    """Whether a response is a 1xx."""
    status = mine.line[1]
    return isinstance(status, int) and status < 200


def agree_with_h11(kind: str, data: bytes) -> None:
    """Fail unless h11 reads what we read, or a reviewed rule says why not.

    An unfinished line of a body is not accepted yet: others may already refuse it, and we when it is whole.
    """
    mine = ours(kind, data)
    if not isinstance(mine, Reading):
        return
    theirs = by_h11(kind, data)
    if theirs is not None:
        assert known(theirs) == known(replace(mine, rest=b"") if kind == "response" and is_interim(mine) else mine)
    elif mine.is_done:
        assert h11_rule(kind, data) in rules("differences_h11.toml")


def agree_with_llhttp(kind: str, data: bytes) -> None:
    """Fail unless llhttp reads what we read, or a reviewed rule says why not."""
    mine = ours(kind, data)
    if not isinstance(mine, Reading):
        return
    theirs = by_llhttp(kind, data[: len(data) - len(mine.rest)])
    if theirs is None:
        assert not mine.is_done or llhttp_rule(kind, mine) in rules("differences_llhttp.toml")
    elif known(theirs) != known(replace(mine, rest=b"")):
        assert llhttp_rule(kind, mine) in rules("differences_llhttp.toml"), (theirs, mine)


@pytest.mark.shows("HTTP-DIFF-001", "HTTP-DIFF-002")
@given(data=damaged(REQUEST_LINES))
@settings(max_examples=1500, deadline=None)
@example(data=b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
def test_requests_we_accept_are_read_alike_by_others(data: bytes) -> None:
    event(type(ours("request", data)).__name__)
    agree_with_h11("request", data)
    agree_with_llhttp("request", data)


@pytest.mark.shows("HTTP-DIFF-001", "HTTP-DIFF-002")
@given(data=damaged(STATUS_LINES))
@settings(max_examples=1500, deadline=None)
def test_responses_we_accept_are_read_alike_by_others(data: bytes) -> None:
    agree_with_h11("response", data)
    agree_with_llhttp("response", data)


VISITOR: Final = Visitor("203.0.113.7", 50000, "https")
ID: Final = "a" * 26


def forwarded_request(data: bytes) -> bytes | None:
    """The whole request that the local service would get for this one, when we accept it and it is complete."""
    mine = ours("request", data)
    if not isinstance(mine, Reading) or not mine.is_done:
        return None
    whole = HeadReader(DEFAULT_LIMITS.head_bytes_max).receive(data)
    assert isinstance(whole, Success)
    parsed = parse_request_head(value_of(whole) or b"", DEFAULT_LIMITS)
    assert isinstance(parsed, Success)
    head = value_of(parsed)
    body = chunk(mine.body) + last_chunk(list(mine.trailers)) if head.length == CHUNKED else mine.body
    return request_bytes(head, provenance_of(head.host_value, VISITOR), ID, b"localhost:3000") + body


def forwarded_response(data: bytes) -> bytes | None:
    """The whole response that the visitor would get for this one, when we accept it and it is complete."""
    mine = ours("response", data)
    if not isinstance(mine, Reading) or not mine.is_done:
        return None
    whole = HeadReader(DEFAULT_LIMITS.head_bytes_max).receive(data)
    assert isinstance(whole, Success)
    parsed = parse_response_head(value_of(whole) or b"", b"GET", DEFAULT_LIMITS)
    assert isinstance(parsed, Success)
    head = value_of(parsed)
    body = chunk(mine.body) + last_chunk(list(mine.trailers)) if head.length == CHUNKED else mine.body
    return response_bytes(head, ID, 1, head.length, close=False) + body


def means_the_same(kind: str, came: bytes, went: bytes) -> None:
    """Fail unless both oracles and we read in what went on what we read in what came."""
    before, after = ours(kind, came), ours(kind, went)
    assert isinstance(before, Reading)
    assert isinstance(after, Reading)
    assert after.rest == b""
    assert after.is_done
    assert (after.body, after.trailers) == (before.body, before.trailers)
    if kind == "request":
        assert after.line == (*before.line[:2], 1)
    else:
        assert after.line[1:] == before.line[1:]
    agree_with_h11(kind, went)
    theirs = by_llhttp(kind, went)
    if theirs is None:
        assert llhttp_rule(kind, after) == "unknown-method"
    else:
        assert theirs == after


@pytest.mark.shows("HTTP-DIFF-004")
@given(data=damaged(REQUEST_LINES))
@settings(max_examples=800, deadline=None)
@example(data=b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello")
@example(data=b"POST / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhello")
def test_a_request_goes_on_in_a_form_that_all_read_alike(data: bytes) -> None:
    went = forwarded_request(data)
    if went is not None:
        means_the_same("request", data, went)


@pytest.mark.shows("HTTP-DIFF-004")
@given(data=damaged(STATUS_LINES))
@settings(max_examples=800, deadline=None)
def test_a_response_goes_on_in_a_form_that_all_read_alike(data: bytes) -> None:
    went = forwarded_response(data)
    if went is not None:
        means_the_same("response", data, went)


@pytest.mark.shows("HTTP-DIFF-001")
@pytest.mark.parametrize(("rule", "data"), rules("differences_h11.toml").items())
def test_each_reviewed_difference_from_h11_is_one(rule: str, data: bytes) -> None:
    mine = ours("request", data)
    assert isinstance(mine, Reading)
    assert mine.is_done
    assert by_h11("request", data) is None
    assert h11_rule("request", data) == rule


@pytest.mark.shows("HTTP-DIFF-002")
@pytest.mark.parametrize(("rule", "data"), rules("differences_llhttp.toml").items())
def test_each_reviewed_difference_from_llhttp_is_one(rule: str, data: bytes) -> None:
    mine = ours("request", data)
    assert isinstance(mine, Reading)
    assert mine.is_done
    assert by_llhttp("request", data) != mine
    assert llhttp_rule("request", mine) == rule


@pytest.mark.shows("HTTP-DIFF-001", "HTTP-DIFF-002")
@pytest.mark.parametrize("line", [*REQUEST_LINES[:8], *STATUS_LINES[:10]])
def test_the_oracles_see_what_is_sound(line: bytes) -> None:
    """The properties say nothing about a message that is refused; these are not, so there is something to compare."""
    kind = "response" if line.startswith(b"HTTP") else "request"
    framings = [(b"Content-Length: 5", b"hello"), *((b"Transfer-Encoding: chunked", body) for body in BODIES[3:6])]
    if line.endswith((b"Continue", b"Hints", b"No Content", b"Reset Content")):
        framings = [(b"X: y", b"")]
    elif b"HTTP/1.0" in line:
        framings = framings[:1]
    for framing, body in framings:
        data = line + b"\r\nHost: a.example\r\n" + framing + b"\r\n\r\n" + body
        mine = ours(kind, data)
        assert isinstance(mine, Reading), mine
        assert mine.is_done
        assert by_h11(kind, data) is not None
        assert by_llhttp(kind, data[: len(data) - len(mine.rest)]) is not None or b"BREW" in line
        agree_with_h11(kind, data)
        agree_with_llhttp(kind, data)


def test_origin_form_is_the_same_rule_twice() -> None:
    assert origin_form(b"GET", b"HTTP://a?x") == b"/?x"
    assert origin_form(b"OPTIONS", b"http://a") == b"*"
    assert origin_form(b"GET", b"/x") == b"/x"
