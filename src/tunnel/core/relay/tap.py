"""The agent's view of what passes through it: it reads along on copies and never delays or changes a byte.

Whatever it does not understand makes it blind for the rest of that stream; the bytes go on regardless.
"""

from collections import deque
from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.base.partial import item_at, latin1_text, pop_front
from tunnel.core.http.body import BodyReader
from tunnel.core.http.reader import HeadReader
from tunnel.core.http.request import RequestHead, parse_request_head
from tunnel.core.http.response import SWITCHING_PROTOCOLS, parse_response_head

_BODY_BYTES_MAX: Final = 1 << 62
_WAITING_MAX: Final = 64


@final
class Seen:
    """One exchange that passed."""

    def __init__(self, method: str, target: str, status: int, seconds: float, request_id: str) -> None:
        self.method: Final = method
        self.target: Final = target
        self.status: Final = status
        self.seconds: Final = seconds
        self.request_id: Final = request_id


@final
class _Asked:
    def __init__(self, head: RequestHead, at: Instant) -> None:
        self.head: Final = head
        self.at: Final = at


@final
class _Answer:
    """A final response whose body is passing."""

    def __init__(self, asked: _Asked, status: int, body: BodyReader) -> None:
        self.asked: Final = asked
        self.status: Final = status
        self.body: Final = body


@final
class Tap:
    """Reads along on one stream. Finished when it is blind or the stream ends."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._up: Final = HeadReader(limits.head_bytes_max)
        self._down: Final = HeadReader(limits.head_bytes_max)
        self._up_body: BodyReader | None = None
        self._answer: _Answer | None = None
        self._asked: Final[deque[_Asked]] = deque()
        self._seen: list[Seen] = []
        self._is_blind = False

    @property
    def is_blind(self) -> bool:
        """Whether the tap has given up on this stream."""
        return self._is_blind

    def receive_up(self, data: bytes, now: Instant) -> None:
        """Bytes on their way to the local service."""
        while data and not self._is_blind:
            body = self._up_body
            if body is None:
                data = self._take_request(data, now)
                continue
            read = body.receive(data)
            if not isinstance(read, Success):
                self._is_blind = True
                return
            if not body.is_done:
                return
            self._up_body = None
            data = body.take_rest()

    def receive_down(self, data: bytes, now: Instant) -> None:
        """Bytes on their way to the visitor."""
        while data and not self._is_blind:
            answer = self._answer
            if answer is None:
                data = self._take_response(data, now)
                continue
            read = answer.body.receive(data)
            if not isinstance(read, Success):
                self._is_blind = True
                return
            if not answer.body.is_done:
                return
            self._answer = None
            self._conclude(answer.asked, answer.status, now)
            data = answer.body.take_rest()

    def on_down_end(self, now: Instant) -> None:
        """The local service ended its side: the end of a close-delimited body, or of one cut short."""
        answer = self._answer
        if answer is not None:
            self._answer = None
            self._conclude(answer.asked, answer.status, now)

    def poll_seen(self) -> list[Seen]:
        """Exchanges concluded since the last call."""
        if not self._seen:
            return []
        seen = self._seen
        self._seen = []
        return seen

    def _take_request(self, data: bytes, now: Instant) -> bytes:
        raw = self._head_of(self._up, data)
        if not raw:
            return b""
        parsed = parse_request_head(raw, self._limits)
        if not isinstance(parsed, Success) or len(self._asked) >= _WAITING_MAX:
            self._is_blind = True
            return b""
        head = value_of(parsed)
        self._asked.append(_Asked(head, now))
        if head.length != 0:
            self._up_body = BodyReader(head.length, self._limits, _BODY_BYTES_MAX)
        return self._up.take_rest()

    def _take_response(self, data: bytes, now: Instant) -> bytes:
        asked = item_at(self._asked, 0)
        raw = b"" if asked is None else self._head_of(self._down, data)
        if asked is None or not raw:
            self._is_blind = self._is_blind or asked is None
            return b""
        parsed = parse_response_head(raw, asked.head.method, self._limits)
        if not isinstance(parsed, Success):
            self._is_blind = True
            return b""
        head = value_of(parsed)
        rest = self._down.take_rest()
        if head.is_interim:
            return rest
        pop_front(self._asked)
        if head.status != SWITCHING_PROTOCOLS and head.length != 0:
            self._answer = _Answer(asked, head.status, BodyReader(head.length, self._limits, _BODY_BYTES_MAX))
            return rest
        self._conclude(asked, head.status, now)
        self._is_blind = head.status == SWITCHING_PROTOCOLS
        return rest

    def _head_of(self, reader: HeadReader, data: bytes) -> bytes:
        """A whole raw head, or b"" while there is none."""
        read = reader.receive(data)
        if not isinstance(read, Success):
            self._is_blind = True
            return b""
        return value_of(read) or b""

    def _conclude(self, asked: _Asked, status: int, now: Instant) -> None:
        head = asked.head
        request_id = b"".join([value for name, value in head.fields if name.lower() == b"x-request-id"])
        self._seen.append(
            Seen(latin1_text(head.method), latin1_text(head.target), status, now - asked.at, latin1_text(request_id))
        )
