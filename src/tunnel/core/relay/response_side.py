"""The local service's half of an exchange: bytes from the stream become bytes for the visitor, strictly checked."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.http.body import BodyReader
from tunnel.core.http.errors import describe
from tunnel.core.http.forward import chunk, last_chunk, response_bytes
from tunnel.core.http.framing import CHUNKED, UNTIL_CLOSE
from tunnel.core.http.response import ResponseHead, parse_response_head
from tunnel.core.relay.exchange import Exchange
from tunnel.core.relay.leg import Leg

_SWITCHING: Final = 101
_CONTINUE: Final = 100
_BODY_BYTES_MAX: Final = 1 << 62
"""A response body has no limit of its own: it is never held, and back-pressure bounds what is on its way."""


@final
@dataclass(frozen=True, slots=True)
class ResponseBroken:
    """The local service's answer breaks HTTP/1.1; `detail` says what was seen and what was expected."""

    detail: str


@final
class Progress:
    """What one read of origin bytes came to."""

    def __init__(self, out: bytes, *, is_complete: bool = False, rest: bytes = b"") -> None:
        self.out: Final = out
        """Bytes for the visitor."""
        self.is_complete: Final = is_complete
        """The response is whole, or has become an upgraded connection (101)."""
        self.rest: Final = rest
        """Bytes that followed it."""


def read_response(leg: Leg, exchange: Exchange, data: bytes, limits: Limits) -> Outcome[Progress, ResponseBroken]:
    """Take bytes of the running response, heads and body alike; a failure is final for the leg."""
    out: list[bytes] = []
    while exchange.response is None:
        whole = leg.heads.receive(data)
        if not isinstance(whole, Success):
            return Failure(ResponseBroken(describe(error_of(whole))))
        raw = value_of(whole)
        if raw is None:
            return Success(Progress(b"".join(out)))
        data = leg.heads.take_rest()
        parsed = parse_response_head(raw, exchange.head.method, limits)
        if not isinstance(parsed, Success):
            return Failure(ResponseBroken(describe(error_of(parsed))))
        head = value_of(parsed)
        if head.is_interim:
            exchange.interims += 1
            if exchange.interims > limits.interim_responses_max:
                return Failure(ResponseBroken(f"more than {limits.interim_responses_max} interim responses"))
            out.append(_interim(head, exchange))
        elif head.status == _SWITCHING:
            return _switch(head, exchange, data)
        else:
            out.append(_begin(leg, exchange, head, limits))
    return _read_body(leg, exchange, data, out)


def end_response(leg: Leg, exchange: Exchange) -> Outcome[Progress, ResponseBroken]:
    """The local service has ended its side: the end of a close-delimited body, or a message cut short."""
    body = leg.body
    if exchange.response is None or body is None:
        return Failure(ResponseBroken("it closed the connection before the response was whole"))
    ended = body.on_end()
    if not isinstance(ended, Success):
        return Failure(ResponseBroken(describe(error_of(ended))))
    return Success(Progress(last_chunk([]) if exchange.is_chunked_down else b"", is_complete=True))


def _interim(head: ResponseHead, exchange: Exchange) -> bytes:
    """A 1xx for the visitor; not for HTTP/1.0, which knows none, nor an unasked 100 (RFC 9110 section 15.2)."""
    if exchange.head.minor == 0 or (head.status == _CONTINUE and not exchange.head.expects_continue):
        return b""
    return response_bytes(head, exchange.request_id, exchange.head.minor, framing=head.length, close=False)


def _switch(head: ResponseHead, exchange: Exchange, rest: bytes) -> Outcome[Progress, ResponseBroken]:
    """101 opens the pipe only when the visitor asked for that protocol (RFC 9110 section 15.2.2)."""
    asked = [one.strip(b" \t").lower() for one in exchange.head.upgrade.split(b",")]
    taken = [one.strip(b" \t").lower() for one in head.upgrade.split(b",")]
    if not exchange.head.upgrade or not head.upgrade or any(one not in asked for one in taken):
        return Failure(ResponseBroken("101 Switching Protocols to something the visitor did not ask for"))
    exchange.response = head
    exchange.status = _SWITCHING
    out = response_bytes(head, exchange.request_id, exchange.head.minor, framing=0, close=False)
    return Success(Progress(out, is_complete=True, rest=rest))


def _begin(leg: Leg, exchange: Exchange, head: ResponseHead, limits: Limits) -> bytes:
    """Fix how the body travels on, and the head that says so."""
    exchange.response = head
    exchange.status = head.status
    exchange.replay = b""
    framing = head.length
    if framing in {CHUNKED, UNTIL_CLOSE}:
        exchange.is_chunked_down = exchange.head.minor > 0
        framing = CHUNKED if exchange.is_chunked_down else UNTIL_CLOSE
    if not exchange.request_is_complete:
        exchange.must_close = True
    leg.body = BodyReader(head.length, limits, _BODY_BYTES_MAX)
    return response_bytes(head, exchange.request_id, exchange.head.minor, framing=framing, close=exchange.must_close)


def _read_body(leg: Leg, exchange: Exchange, data: bytes, out: list[bytes]) -> Outcome[Progress, ResponseBroken]:
    body = leg.body
    if body is None:
        return Failure(ResponseBroken("bytes after the end of the response"))
    taken = body.receive(data)
    if not isinstance(taken, Success):
        # What was whole before the violation is not sent either: the visitor sees a cut, never a repaired body.
        return Failure(ResponseBroken(describe(error_of(taken))))
    for part in value_of(taken):
        exchange.bytes_down += len(part)
        out.append(chunk(part) if exchange.is_chunked_down else part)
    if not body.is_done:
        return Success(Progress(b"".join(out)))
    if exchange.is_chunked_down:
        out.append(last_chunk(body.trailers))
    return Success(Progress(b"".join(out), is_complete=True, rest=body.take_rest()))
