"""What the HTTP tests share: whole messages read in any cuts, and strategies for well-formed ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

from hypothesis import strategies as st

from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.http.body import BodyReader
from tunnel.core.http.errors import HttpError
from tunnel.core.http.reader import HeadReader
from tunnel.core.http.request import RequestHead, parse_request_head
from tunnel.core.http.response import ResponseHead, parse_response_head

NO_BOUND = 1 << 62


@final
@dataclass(frozen=True)
class Message:
    """All that a reader can tell about one message: what the head means, the body, and where it ended."""

    head: tuple[object, ...]
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...]
    is_done: bool
    rest: bytes


@final
@dataclass(frozen=True)
class Waiting:
    """The head is not whole; so many bytes of it are held."""

    held: int


Verdict = Message | Waiting | HttpError


def head_of(*lines: str) -> bytes:
    """A head of these lines, each ended by CR LF, and the empty line."""
    return "".join(line + "\r\n" for line in (*lines, "")).encode("latin-1")


def accepted_request(raw: bytes, limits: Limits = DEFAULT_LIMITS) -> RequestHead:
    """The request of a head that must be accepted."""
    outcome = parse_request_head(raw, limits)
    assert isinstance(outcome, Success), outcome
    return value_of(outcome)


def accepted_response(raw: bytes, method: bytes = b"GET", limits: Limits = DEFAULT_LIMITS) -> ResponseHead:
    """The response of a head that must be accepted."""
    outcome = parse_response_head(raw, method, limits)
    assert isinstance(outcome, Success), outcome
    return value_of(outcome)


def refused_request(raw: bytes, limits: Limits = DEFAULT_LIMITS) -> HttpError:
    """Why a head is refused, by reader or parser; it must be."""
    verdict = read_request(raw, (), limits)
    assert not isinstance(verdict, Message | Waiting), verdict
    return verdict


def refused_response(raw: bytes, method: bytes = b"GET", limits: Limits = DEFAULT_LIMITS) -> HttpError:
    """Why a response is refused, by reader or parser; it must be."""
    verdict = read_response(raw, (), method, limits)
    assert not isinstance(verdict, Message | Waiting), verdict
    return verdict


def request_facts(head: RequestHead) -> tuple[object, ...]:
    """Everything a request head says, comparable."""
    return (
        head.method,
        head.target,
        head.minor,
        tuple(head.fields),
        head.host,
        head.host_value,
        head.length,
        head.connection_options,
        head.upgrade,
        head.keep_alive,
        head.expects_continue,
    )


def response_facts(head: ResponseHead) -> tuple[object, ...]:
    """Everything a response head says, comparable."""
    return (
        head.minor,
        head.status,
        head.reason,
        tuple(head.fields),
        head.length,
        head.declared,
        head.connection_options,
        head.upgrade,
        head.keep_alive,
        head.is_interim,
    )


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The data cut at these offsets, in order; no piece is lost, some may be empty."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def each_byte(data: bytes) -> list[int]:
    """The cuts that leave single bytes."""
    return list(range(len(data)))


def read_request(data: bytes, cuts: Sequence[int], limits: Limits = DEFAULT_LIMITS) -> Verdict:
    """One request out of `data`, fed in these cuts."""

    def parse(raw: bytes) -> tuple[tuple[object, ...], int] | HttpError:
        parsed = parse_request_head(raw, limits)
        if not isinstance(parsed, Success):
            return error_of(parsed)
        return request_facts(value_of(parsed)), value_of(parsed).length

    return _read(data, cuts, limits, parse, limits.request_body_bytes_max)


def read_response(data: bytes, cuts: Sequence[int], method: bytes, limits: Limits = DEFAULT_LIMITS) -> Verdict:
    """One response to `method` out of `data`, fed in these cuts; interim ones count as responses."""

    def parse(raw: bytes) -> tuple[tuple[object, ...], int] | HttpError:
        parsed = parse_response_head(raw, method, limits)
        if not isinstance(parsed, Success):
            return error_of(parsed)
        return response_facts(value_of(parsed)), value_of(parsed).length

    return _read(data, cuts, limits, parse, NO_BOUND)


def _read(
    data: bytes,
    cuts: Sequence[int],
    limits: Limits,
    parse: Callable[[bytes], tuple[tuple[object, ...], int] | HttpError],
    total_max: int,
) -> Verdict:
    heads = HeadReader(limits.head_bytes_max)
    body: BodyReader | None = None
    facts: tuple[object, ...] = ()
    out: list[bytes] = []
    for piece in pieces(data, cuts):
        arrived = piece
        if body is None:
            whole = heads.receive(arrived)
            if not isinstance(whole, Success):
                return error_of(whole)
            raw = value_of(whole)
            if raw is None:
                continue
            parsed = parse(raw)
            if not isinstance(parsed, tuple):
                return parsed
            facts, length = parsed
            body = BodyReader(length, limits, total_max)
            arrived = heads.take_rest()
        taken = body.receive(arrived)
        if not isinstance(taken, Success):
            return error_of(taken)
        out += value_of(taken)
    return _verdict(heads, body, facts, out)


def _verdict(heads: HeadReader, body: BodyReader | None, facts: tuple[object, ...], out: list[bytes]) -> Verdict:
    if body is None:
        return Waiting(heads.held)
    payload = b"".join(out)
    assert body.received == len(payload)
    assert all(out)
    return Message(facts, payload, tuple(body.trailers), body.is_done, body.take_rest())


def body_verdict(
    length: int, data: bytes, cuts: Sequence[int], limits: Limits = DEFAULT_LIMITS, total_max: int = NO_BOUND
) -> Message | HttpError:
    """One body out of `data`, fed in these cuts."""
    body = BodyReader(length, limits, total_max)
    out: list[bytes] = []
    for piece in pieces(data, cuts):
        taken = body.receive(piece)
        if not isinstance(taken, Success):
            return error_of(taken)
        out += value_of(taken)
    payload = b"".join(out)
    assert body.received == len(payload)
    assert all(out)
    return Message((), payload, tuple(body.trailers), body.is_done, body.take_rest())


# --- well-formed messages

TOKEN_CHARS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SPECIAL = {"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect"}

methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "M-SEARCH", "X!"])
targets = st.text("".join(map(chr, [*range(0x21, 0x23), *range(0x24, 0x7F)])), max_size=20).map(lambda t: "/" + t)
names = st.text(TOKEN_CHARS, min_size=1, max_size=12).filter(lambda name: name.lower() not in SPECIAL)
values = st.text("".join(map(chr, [0x09, *range(0x20, 0x7F), *range(0xA0, 0x100)])), max_size=24).map(
    lambda value: value.strip(" \t")
)
labels = st.from_regex(r"[0-9A-Za-z_-]{1,8}", fullmatch=True)
hosts = st.builds(
    lambda parts, dot, port: ".".join(parts) + dot + (f":{port}" if port else ""),
    st.lists(labels, min_size=1, max_size=4),
    st.sampled_from(["", "."]),
    st.integers(0, 65535),
)
ows = st.text(" \t", max_size=2)
fields = st.lists(st.tuples(names, values), max_size=6)
payloads = st.binary(max_size=40)
cut_lists = st.lists(st.integers(0, 400), max_size=8)


def chunked(parts: Sequence[bytes], extensions: Sequence[str] = (), trailers: Sequence[tuple[str, str]] = ()) -> bytes:
    """A chunked body as an independent writer makes it: upper-case sizes, extensions, trailers."""
    out = b""
    for at, part in enumerate(parts):
        if part:
            extension = extensions[at % len(extensions)] if extensions else ""
            out += f"{len(part):X}{extension}\r\n".encode("latin-1") + part + b"\r\n"
    tail = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    return out + b"0\r\n" + tail.encode("latin-1") + b"\r\n"
