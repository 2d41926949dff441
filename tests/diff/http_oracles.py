"""Three readings of one message: ours, h11's and llhttp's, in one shape that can be compared.

An oracle that refuses gives None. Targets are compared in origin-form; how each reads absolute-form is not its task.
"""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, final

import h11
import httptools

from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.core.http.body import BodyReader
from tunnel.core.http.errors import HttpError, code_of
from tunnel.core.http.framing import UNTIL_CLOSE
from tunnel.core.http.reader import HeadReader
from tunnel.core.http.request import RequestHead, parse_request_head
from tunnel.core.http.response import ResponseHead, parse_response_head

Pairs = tuple[tuple[bytes, bytes], ...]
_ABSOLUTE: Final = re.compile(rb"https?://[^/?]*", re.IGNORECASE)


@final
@dataclass(frozen=True)
class Reading:
    """One message as a reader sees it; names in lower case, codings too, as case means nothing in either."""

    line: tuple[bytes | int, ...]
    fields: Pairs
    body: bytes
    trailers: Pairs
    is_done: bool
    rest: bytes = b""


@final
@dataclass(frozen=True)
class Refused:
    """What ours answers instead of a reading."""

    code: str


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The data cut at these offsets."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def ours(kind: str, data: bytes, cuts: Sequence[int] = (), method: bytes = b"GET") -> Reading | Refused | None:
    """Our reading of a request or response; None while its head is not whole."""
    heads = HeadReader(DEFAULT_LIMITS.head_bytes_max)
    line: tuple[bytes | int, ...] = ()
    fields: list[tuple[bytes, bytes]] = []
    body: BodyReader | None = None
    until_close = False
    out: list[bytes] = []
    for piece in pieces(data, cuts):
        arrived = piece
        if body is None:
            whole = heads.receive(arrived)
            if not isinstance(whole, Success):
                return Refused(code_of(error_of(whole)))
            raw = value_of(whole)
            if raw is None:
                continue
            parsed: Outcome[RequestHead | ResponseHead, HttpError] = (
                parse_request_head(raw, DEFAULT_LIMITS)
                if kind == "request"
                else parse_response_head(raw, method, DEFAULT_LIMITS)
            )
            if not isinstance(parsed, Success):
                return Refused(code_of(error_of(parsed)))
            head = value_of(parsed)
            line = _line(head)
            fields = head.fields
            until_close = head.length == UNTIL_CLOSE
            body = BodyReader(head.length, DEFAULT_LIMITS, 1 << 40)
            arrived = heads.take_rest()
        taken = body.receive(arrived)
        if not isinstance(taken, Success):
            return Refused(code_of(error_of(taken)))
        out += value_of(taken)
    if body is None:
        return None
    return Reading(
        line, plain(fields), b"".join(out), plain(body.trailers), body.is_done or until_close, body.take_rest()
    )


def _line(head: RequestHead | ResponseHead) -> tuple[bytes | int, ...]:
    if isinstance(head, RequestHead):
        return (head.method, head.target, head.minor)
    return (head.minor, head.status, head.reason)


def plain(fields: Sequence[tuple[bytes, bytes]]) -> Pairs:
    """Names, and the values that are names, in lower case; numbers without leading zeros."""
    seen: list[tuple[bytes, bytes]] = []
    for name, value in fields:
        lower = name.lower()
        kept = value.lower() if lower == b"transfer-encoding" else value
        seen.append((lower, b"%d" % int(value) if lower == b"content-length" and value.isdigit() else kept))
    return tuple(seen)


def origin_form(method: bytes, target: bytes) -> bytes:
    """The origin-form of an absolute-form (RFC 9112 section 3.2), written down a second time."""
    found = _ABSOLUTE.match(target)
    if found is None:
        return target
    path = target[found.end() :]
    if method == b"OPTIONS" and not path:
        return b"*"
    return path if path.startswith(b"/") else b"/" + path


def by_h11(kind: str, data: bytes, method: bytes = b"GET") -> Reading | None:
    """h11's reading; a response that ends with the connection is read to its end, a 1xx without what follows it."""
    connection = h11.Connection(
        our_role=h11.SERVER if kind == "request" else h11.CLIENT, max_incomplete_event_size=1 << 20
    )
    if kind == "response":
        upgrade = [("Connection", "upgrade"), ("Upgrade", "x")]
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "a"), *upgrade]))
        connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(data)
        return _h11_events(connection, until_close=kind == "response")
    except h11.RemoteProtocolError:
        return None


def _h11_events(connection: h11.Connection, *, until_close: bool) -> Reading | None:
    reading: Reading | None = None
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            line = (event.method, origin_form(event.method, event.target), int(event.http_version == b"1.1"))
            reading = Reading(line, plain(list(event.headers)), b"", (), is_done=False)
        elif isinstance(event, h11.Response | h11.InformationalResponse):
            line_of = (int(event.http_version == b"1.1"), event.status_code, event.reason)
            interim = isinstance(event, h11.InformationalResponse)
            reading = Reading(line_of, plain(list(event.headers)), b"", (), is_done=interim)
            if interim:
                return reading
        elif isinstance(event, h11.Data) and reading is not None:
            reading = replace(reading, body=reading.body + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and reading is not None:
            return replace(
                reading, trailers=plain(list(event.headers)), is_done=True, rest=bytes(connection.trailing_data[0])
            )
        elif until_close and reading is not None and reading.line and _reads_until_close(connection):
            return replace(reading, is_done=True)
        else:
            return reading


def _reads_until_close(connection: h11.Connection) -> bool:
    """Whether the end of the connection would be the end of this body."""
    with contextlib.suppress(h11.RemoteProtocolError):
        connection.receive_data(b"")
        return isinstance(connection.next_event(), h11.EndOfMessage)
    return False


@final
class _Seen:
    """What llhttp calls back with."""

    def __init__(self) -> None:
        self.url = b""
        self.reason = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.trailers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.has_head = False
        self.messages = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_status(self, status: bytes) -> None:
        self.reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        (self.trailers if self.has_head else self.fields).append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.messages += 1


def by_llhttp(kind: str, data: bytes) -> Reading | None:
    """Llhttp's reading of exactly one message: the caller cuts off what comes after it.

    It leaves white space after a value to its user.
    """
    seen = _Seen()
    if kind == "request":
        request = httptools.HttpRequestParser(seen)
        if not _fed(request, data):
            return None
        method = request.get_method()
        line: tuple[bytes | int, ...] = (
            method,
            origin_form(method, seen.url),
            int(request.get_http_version() == "1.1"),
        )
        done = seen.messages > 0
    else:
        response = httptools.HttpResponseParser(seen)
        if not _fed(response, data):
            return None
        line = (int(response.get_http_version() == "1.1"), response.get_status_code(), seen.reason)
        names = {name.lower() for name, _ in seen.fields}
        done = seen.messages > 0 or (seen.has_head and not names & {b"content-length", b"transfer-encoding"})
    if not seen.has_head or seen.messages > 1:
        return None
    return Reading(line, plain(seen.fields), seen.body, plain(seen.trailers), is_done=done)


def _fed(parser: httptools.HttpRequestParser | httptools.HttpResponseParser, data: bytes) -> bool:
    """Whether llhttp takes the bytes; an upgrade is where its task ends."""
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return True
    except httptools.HttpParserError:
        return False
    return True
