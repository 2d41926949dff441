"""What goes on to the other side: heads rewritten from their parsed values, never passed on as they came.

Where the body ends was decided before any field is removed here, and what we add is added after; so a Connection
field can name whatever it likes without changing either (CVE-2026-26365, CVE-2025-48865).
"""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.partial import decimal_text, hex_text, latin1_text, utf8_bytes
from tunnel.core.http.framing import CHUNKED, UNTIL_CLOSE
from tunnel.core.http.grammar import CRLF
from tunnel.core.http.names import (
    FORGEABLE_PREFIXES,
    NEVER_TRAILERS,
    PLAIN_NAMES,
    PLAIN_OPTIONS,
    REQUEST_DROPPED,
    REQUEST_DROPPED_CHUNKED,
    RESPONSE_DROPPED,
    RESPONSE_DROPPED_CHUNKED,
)
from tunnel.core.http.request import RequestHead
from tunnel.core.http.response import SWITCHING_PROTOCOLS, ResponseHead

_UPGRADE_REQUIRED: Final = 426
_OK: Final = 200

# Methods whose content has a meaning: without any, they say so (RFC 9110 section 8.6), as some servers insist on it.
_WITH_CONTENT: Final = frozenset((b"POST", b"PUT", b"PATCH"))

_COLON: Final = b": "
_NO_NAMES: Final[frozenset[bytes]] = frozenset()


@final
@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is at the other end of a public connection, from the socket and not from what it says."""

    address: str
    """An IPv4 or IPv6 address in text form."""
    port: int
    """The port it connects from."""
    scheme: str
    """How it reached us: `http` or `https`."""


def request_bytes(
    head: RequestHead,
    provenance: bytes,
    request_id: str,
    host_value: bytes,
    hidden: bytes = b"",
    via: bytes = b"tunnel",
) -> bytes:
    """The head for the local service: HTTP/1.1, one Host, one framing field at most, and only true provenance.

    `host_value` is the Host it gets; the one the visitor used is in `provenance` (`provenance_of`). `via` is our name
    in the Via field (RFC 9110 section 7.6.3). Whatever the visitor said about where it comes from is gone, and so is
    `hidden`, the name of one more field in lower case.
    """
    parts = [head.method, b" ", head.target, b" HTTP/1.1\r\nHost: ", host_value, CRLF]
    here = REQUEST_DROPPED_CHUNKED if head.length == CHUNKED else REQUEST_DROPPED
    fields = [one for one in head.fields if one[0].lower() != hidden] if hidden else head.fields
    _pass_on(parts, fields, here, head.connection_options, FORGEABLE_PREFIXES)
    if head.length == CHUNKED:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif head.length > 0 or head.method in _WITH_CONTENT:
        parts += (b"Content-Length: ", decimal_text(head.length), CRLF)
    if head.expects_continue:
        parts.append(b"Expect: 100-continue\r\n")
    if head.upgrade:
        parts += (b"Connection: Upgrade\r\nUpgrade: ", head.upgrade, CRLF)
    parts += (b"Via: 1.1 " if head.minor else b"Via: 1.0 ", via, CRLF)
    parts += (provenance, b"X-Request-Id: ", utf8_bytes(request_id), b"\r\n\r\n")
    return b"".join(parts)


def provenance_of(asked_host: bytes, visitor: Visitor) -> bytes:
    """Who asked, how, and for whom, in the usual fields and in RFC 7239's: the same for all requests with one Host."""
    address = visitor.address.partition("%")[0]
    node = f"[{address}]" if ":" in address else address
    scheme = visitor.scheme
    host = latin1_text(asked_host)
    _, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        port = "443" if scheme == "https" else "80"
    return utf8_bytes(
        f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: {scheme}\r\n"
        f"X-Forwarded-Host: {host}\r\nX-Forwarded-Port: {port}\r\n"
        f'Forwarded: for="{node}:{visitor.port}";host="{host}";proto={scheme}\r\n'
    )


def response_bytes(head: ResponseHead, request_id: str, client_minor: int, framing: int, *, close: bool) -> bytes:
    """The head for the visitor, always HTTP/1.1 (RFC 9110 section 6.2), with one framing field at most.

    `framing` says how the body will travel: CHUNKED, UNTIL_CLOSE, or 0 and more, which repeats the Content-Length the
    local service declared, if any. `close` announces that the connection ends with this exchange.
    """
    parts = [b"HTTP/1.1 ", decimal_text(head.status), b" ", head.reason, CRLF]
    here = RESPONSE_DROPPED_CHUNKED if framing == CHUNKED else RESPONSE_DROPPED
    _pass_on(parts, head.fields, here, head.connection_options, ())
    if framing == CHUNKED:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif framing >= 0 and head.declared >= 0:
        parts += (b"Content-Length: ", decimal_text(head.declared), CRLF)
    parts.append(_connection(head, client_minor, close=close or framing == UNTIL_CLOSE))
    parts += (b"X-Request-Id: ", utf8_bytes(request_id), b"\r\n\r\n")
    return b"".join(parts)


def chunk(payload: bytes) -> bytes:
    """The payload as one chunk without extensions; no payload is no chunk, as that would end the body."""
    return b"".join((hex_text(len(payload)), CRLF, payload, CRLF)) if payload else b""


def last_chunk(trailers: list[tuple[bytes, bytes]]) -> bytes:
    """The end of a chunked body, with those trailers that can be trusted to be read as trailers.

    Framing, routing, authentication and provenance are never taken from there (RFC 9110 section 6.5.1).
    """
    parts = [b"0\r\n"]
    for name, value in trailers:
        lower = name.lower()
        if lower not in NEVER_TRAILERS and not lower.startswith(FORGEABLE_PREFIXES):
            parts += (name, _COLON, value, CRLF)
    parts.append(CRLF)
    return b"".join(parts)


def _pass_on(
    parts: list[bytes],
    fields: list[tuple[bytes, bytes]],
    names: frozenset[bytes],
    options: tuple[bytes, ...],
    prefixes: tuple[bytes, ...],
) -> None:
    """Append the lines of all fields but those that end here.

    These are: by `names` in lower case, by what the Connection field names (`options`), and by one of `prefixes`.
    """
    is_usual = options in PLAIN_OPTIONS
    dropped = names if is_usual else names.union(options)
    plain = PLAIN_NAMES if is_usual else _NO_NAMES
    for name, value in fields:
        if name not in plain:
            lower = name.lower()
            if lower in dropped or lower.startswith(prefixes):
                continue
        parts += (name, _COLON, value, CRLF)


def _connection(head: ResponseHead, client_minor: int, *, close: bool) -> bytes:
    """What the visitor learns about the connection."""
    if head.status == SWITCHING_PROTOCOLS:
        return b"Connection: Upgrade\r\nUpgrade: " + head.upgrade + CRLF
    if head.status < _OK:
        return b""
    wanted = _upgrade_wanted(head) if head.status == _UPGRADE_REQUIRED else b""
    if wanted:
        return (b"Connection: Upgrade, close" if close else b"Connection: Upgrade") + b"\r\nUpgrade: " + wanted + CRLF
    if close:
        return b"Connection: close\r\n"
    return b"" if client_minor else b"Connection: keep-alive\r\n"


def _upgrade_wanted(head: ResponseHead) -> bytes:
    """What a 426 asks for, which it must say (RFC 9110 section 15.5.22) and which is lost as hop-by-hop otherwise."""
    return b", ".join([value for name, value in head.fields if name.lower() == b"upgrade"])
