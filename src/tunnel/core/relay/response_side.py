"""The local service's half of an exchange: bytes from the stream become bytes for the visitor, strictly checked."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.http.body import BodyReader
from tunnel.core.http.errors import describe
from tunnel.core.http.forward import chunk, last_chunk, response_bytes
from tunnel.core.http.framing import CHUNKED, UNTIL_CLOSE
from tunnel.core.http.response import SWITCHING_PROTOCOLS, ResponseHead, parse_response_head
from tunnel.core.relay.exchange import Answering, Exchange
from tunnel.core.relay.leg import Leg

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


def read_response(leg: Leg, exchange: Exchange, data: bytes, limits: Limits) -> Progress | ResponseBroken:
    """Take bytes of the running response, heads and body alike; a failure is final for the leg."""
    if exchange.answering is not None:
        return _read_body(exchange, exchange.answering, data, b"")
    ahead = b""
    while True:
        whole = leg.heads.receive(data)
        if not isinstance(whole, Success):
            return ResponseBroken(describe(error_of(whole)))
        raw = value_of(whole)
        if raw is None:
            return Progress(ahead)
        data = leg.heads.take_rest()
        parsed = parse_response_head(raw, exchange.head.method, limits)
        if not isinstance(parsed, Success):
            return ResponseBroken(describe(error_of(parsed)))
        head = value_of(parsed)
        if not head.is_interim:
            return _begin(exchange, head, data, ahead, limits)
        exchange.interims += 1
        if exchange.interims > limits.interim_responses_max:
            return ResponseBroken(f"more than {limits.interim_responses_max} interim responses")
        ahead += _interim(head, exchange)


def end_response(exchange: Exchange) -> Progress | ResponseBroken:
    """The local service has ended its side: the end of a close-delimited body, or a message cut short."""
    answering = exchange.answering
    if answering is None:
        return ResponseBroken("it closed the connection before the head of its response was whole")
    ended = answering.body.on_end()
    if not isinstance(ended, Success):
        return ResponseBroken(describe(error_of(ended)))
    return Progress(last_chunk([]) if answering.is_chunked else b"", is_complete=True)


def _interim(head: ResponseHead, exchange: Exchange) -> bytes:
    """A 1xx for the visitor; not for HTTP/1.0, which knows none, nor an unasked 100 (RFC 9110 section 15.2)."""
    if exchange.head.minor == 0 or (head.status == _CONTINUE and not exchange.head.expects_continue):
        return b""
    return response_bytes(head, exchange.request_id, exchange.head.minor, framing=head.length, close=False)


def _begin(
    exchange: Exchange, head: ResponseHead, data: bytes, ahead: bytes, limits: Limits
) -> Progress | ResponseBroken:
    """Fix how the body travels on, and the head that says so; `ahead` are the interim responses before it."""
    if head.status == SWITCHING_PROTOCOLS:
        return _switch(exchange, head, data, ahead)
    length = head.length
    is_chunked = length < 0 and exchange.head.minor > 0
    framing = length
    if length < 0:
        framing = CHUNKED if is_chunked else UNTIL_CLOSE
    exchange.status = head.status
    exchange.may_repeat = False
    exchange.local_keeps_alive = head.keep_alive
    exchange.is_early = not exchange.request_is_complete
    exchange.must_close |= exchange.is_early
    out = ahead + response_bytes(
        head, exchange.request_id, exchange.head.minor, framing=framing, close=exchange.must_close
    )
    if 0 <= length <= len(data):
        # Whole in one read, as most are: there is nothing to keep between reads.
        exchange.bytes_down = length
        return Progress(out + data[:length], is_complete=True, rest=data[length:])
    body = BodyReader(length, limits, _BODY_BYTES_MAX)
    answering = Answering(body, is_chunked=is_chunked, ends_by_close=framing == UNTIL_CLOSE)
    exchange.answering = answering
    return _read_body(exchange, answering, data, out)


def _switch(exchange: Exchange, head: ResponseHead, rest: bytes, ahead: bytes) -> Progress | ResponseBroken:
    """101 opens the pipe only when the visitor asked for that protocol (RFC 9110 section 15.2.2)."""
    asked = [one.strip(b" \t").lower() for one in exchange.head.upgrade.split(b",")]
    taken = [one.strip(b" \t").lower() for one in head.upgrade.split(b",")]
    if not exchange.head.upgrade or not head.upgrade or any(one not in asked for one in taken):
        return ResponseBroken("101 Switching Protocols to something the visitor did not ask for")
    exchange.status = SWITCHING_PROTOCOLS
    out = response_bytes(head, exchange.request_id, exchange.head.minor, framing=0, close=False)
    return Progress(ahead + out, is_complete=True, rest=rest)


def _read_body(exchange: Exchange, answering: Answering, data: bytes, ahead: bytes) -> Progress | ResponseBroken:
    """Pass the payload on as soon as it is there, one chunk a read; `ahead` is what goes before it."""
    body = answering.body
    taken = body.receive(data)
    if not isinstance(taken, Success):
        # What was whole before the violation is not sent either: the visitor sees a cut, never a repaired body.
        return ResponseBroken(describe(error_of(taken)))
    payload = b"".join(value_of(taken))
    exchange.bytes_down += len(payload)
    out = ahead + (chunk(payload) if answering.is_chunked else payload)
    if not body.is_done:
        return Progress(out)
    if answering.is_chunked:
        out += last_chunk(body.trailers)
    return Progress(out, is_complete=True, rest=body.take_rest())
