"""Fuzz targets of the http part: one verdict in any cuts, and what goes on is read as what came."""

from collections.abc import Callable
from typing import Final

from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.http.body import BodyReader
from tunnel.core.http.errors import BodyError, HeadError, HttpError, code_of, describe, status_of
from tunnel.core.http.forward import Visitor, chunk, last_chunk, provenance_of, request_bytes, response_bytes
from tunnel.core.http.framing import CHUNKED, UNTIL_CLOSE
from tunnel.core.http.reader import HeadReader
from tunnel.core.http.request import parse_request_head
from tunnel.core.http.response import parse_response_head

VISITOR: Final = Visitor("203.0.113.7", 50000, "https")
ID: Final = "a" * 26
SMALL: Final = Limits(chunk_extension_bytes_max=24, trailer_bytes_max=48, field_count_max=4)
TOTAL_MAX: Final = 1 << 20

Read = tuple[bytes, bytes] | int | HeadError
Taken = tuple[bytes, int, bool, tuple[tuple[bytes, bytes], ...], bytes] | BodyError


def _is_told(error: HttpError) -> None:
    assert describe(error).isascii()
    assert describe(error).isprintable()
    assert code_of(error)


def _head(data: bytes, step: int) -> Read:
    """The head and what follows it, the bytes held while it is not whole, or why there is none."""
    reader = HeadReader(1 << 10)
    for at in range(0, len(data), step):
        outcome = reader.receive(data[at : at + step])
        if not isinstance(outcome, Success):
            return error_of(outcome)
        raw = value_of(outcome)
        if raw is not None:
            return raw, reader.take_rest() + data[at + step :]
    return reader.held


def _same_head(data: bytes) -> bytes | None:
    """The head, if it is whole; the same in every cut."""
    whole = _head(data, len(data) + 1)
    for step in (1, 7):
        assert _head(data, step) == whole
    if not isinstance(whole, tuple):
        if not isinstance(whole, int):
            _is_told(whole)
        return None
    raw, rest = whole
    assert raw + rest == data
    return raw


def fuzz_request_head(data: bytes) -> None:
    """A request that is accepted goes on in a form that is accepted and means the same."""
    raw = _same_head(data)
    parsed = parse_request_head(data if raw is None else raw, DEFAULT_LIMITS)
    if not isinstance(parsed, Success):
        _is_told(error_of(parsed))
        assert 400 <= status_of(error_of(parsed)) < 506
        return
    head = value_of(parsed)
    went = request_bytes(head, provenance_of(head.host_value, VISITOR), ID, b"localhost:3000")
    again = parse_request_head(went, DEFAULT_LIMITS)
    if not isinstance(again, Success):
        assert len(went) > DEFAULT_LIMITS.head_bytes_max or len(head.fields) > DEFAULT_LIMITS.field_count_max - 10
        return
    same = value_of(again)
    assert (same.method, same.target, same.length, same.upgrade) == (
        head.method,
        head.target,
        head.length,
        head.upgrade,
    )
    assert (same.host, same.expects_continue) == ("localhost", head.expects_continue)
    assert [value for name, value in same.fields if name.lower() == b"x-forwarded-for"] == [b"203.0.113.7"]
    assert went.count(b"\r\n\r\n") == 1


def fuzz_response_head(data: bytes) -> None:
    """The first byte chooses the request's method; an accepted response goes on and means the same."""
    method = b"HEAD" if data[:1] == b"H" and data[1:2] == b"!" else b"GET"
    rest = data[2:] if method == b"HEAD" else data
    raw = _same_head(rest)
    parsed = parse_response_head(rest if raw is None else raw, method, DEFAULT_LIMITS)
    if not isinstance(parsed, Success):
        _is_told(error_of(parsed))
        return
    head = value_of(parsed)
    assert not (head.keep_alive and head.length == UNTIL_CLOSE)
    went = response_bytes(head, ID, 1, head.length, close=False)
    assert went.count(b"\r\n\r\n") == 1
    again = parse_response_head(went, method, DEFAULT_LIMITS)
    if isinstance(again, Success):
        same = value_of(again)
        assert (same.status, same.reason, same.length) == (head.status, head.reason, head.length)
        assert (same.declared, same.upgrade) == (head.declared, head.upgrade)
    else:
        assert len(went) > DEFAULT_LIMITS.head_bytes_max or len(head.fields) > DEFAULT_LIMITS.field_count_max - 4


def _body(length: int, data: bytes, step: int, limits: Limits = SMALL) -> Taken:
    """All that a body of this framing gives for these bytes."""
    reader = BodyReader(length, limits, TOTAL_MAX)
    out = b""
    for at in range(0, len(data), step):
        outcome = reader.receive(data[at : at + step])
        if not isinstance(outcome, Success):
            return error_of(outcome)
        assert all(value_of(outcome))
        out += b"".join(value_of(outcome))
    assert reader.received == len(out) <= TOTAL_MAX
    is_done = reader.is_done
    assert isinstance(reader.on_end(), Success) is (is_done or length == UNTIL_CLOSE)
    return out, reader.received, is_done, tuple(reader.trailers), reader.take_rest()


def fuzz_body(data: bytes) -> None:
    """The first byte chooses the framing; a body that is read whole goes on and is read again as the same."""
    kind = data[:1]
    length = {b"c": CHUNKED, b"u": UNTIL_CLOSE}.get(kind, kind[0] if kind else 0)
    rest = data[1:]
    whole = _body(length, rest, len(rest) + 1)
    for step in (1, 5):
        assert _body(length, rest, step) == whole
    if not isinstance(whole, tuple):
        _is_told(whole)
        assert status_of(whole) in {400, 413, 431}
        return
    out, _, is_done, trailers, after = whole
    if length == CHUNKED and is_done:
        kept = [pair for pair in trailers if pair[0].lower() not in {b"host", b"te"}]
        # Under wider limits: what we send has a space behind each colon, and so may be longer than what came.
        again = _body(CHUNKED, chunk(out) + last_chunk(kept) + after, 1 << 20, DEFAULT_LIMITS)
        assert isinstance(again, tuple)
        assert (again[0], again[2], again[4]) == (out, True, after)
        assert set(again[3]) <= set(trailers)
    elif length >= 0:
        assert out + after == rest


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "request_head": fuzz_request_head,
    "response_head": fuzz_response_head,
    "body": fuzz_body,
}
