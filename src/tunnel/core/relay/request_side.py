"""The visitor's half of a connection: heads, bodies, and the bytes that came ahead of their turn."""

from typing import Final, final

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Outcome, Success, value_of
from tunnel.core.http.body import BodyReader
from tunnel.core.http.errors import BodyError, RequestError
from tunnel.core.http.forward import chunk, last_chunk
from tunnel.core.http.framing import CHUNKED
from tunnel.core.http.reader import HeadReader
from tunnel.core.http.request import RequestHead, parse_request_head


@final
class RequestBody:
    """The body of the running request, on its way to the local service. It is finished once `is_done`."""

    def __init__(self, length: int, limits: Limits) -> None:
        self._reader: Final = BodyReader(length, limits, limits.request_body_bytes_max)
        self._is_chunked: Final = length == CHUNKED

    @property
    def is_done(self) -> bool:
        """Whether it has come whole."""
        return self._reader.is_done

    @property
    def received(self) -> int:
        """Bytes of content that have come."""
        return self._reader.received

    def receive(self, data: bytes) -> Outcome[bytes, BodyError]:
        """What to forward of these bytes, framed for the local service: one chunk a read, however many came."""
        taken = self._reader.receive(data)
        if not isinstance(taken, Success):
            return taken
        payload = b"".join(value_of(taken))
        if not self._is_chunked:
            return Success(payload)
        framed = chunk(payload)
        return Success(framed + last_chunk(self._reader.trailers) if self._reader.is_done else framed)

    def take_rest(self) -> bytes:
        """What came after it, once."""
        return self._reader.take_rest()


@final
class RequestSide:
    """Reads one request after the other; what comes early is held, in order, until it is taken."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._heads: Final = HeadReader(limits.head_bytes_max)
        self._known_host = (b"", "")
        self._ahead: list[bytes] = []
        self.ahead_bytes = 0
        """Bytes held for later."""
        self.body: RequestBody | None = None
        """The body of the running request, while it is not whole."""

    @property
    def has_part_of_head(self) -> bool:
        """Whether a head has begun and is not yet whole."""
        return self._heads.held > 0

    @property
    def held_bytes(self) -> int:
        """Bytes that wait here: part of a head, and what came ahead of its turn."""
        return self._heads.held + self.ahead_bytes

    def hold(self, data: bytes) -> None:
        """Keep bytes whose turn has not come."""
        if data:
            self._ahead.append(data)
            self.ahead_bytes += len(data)

    def take_ahead(self) -> bytes:
        """Everything held, once."""
        held = b"".join(self._ahead)
        self._ahead.clear()
        self.ahead_bytes = 0
        return held

    def receive_head(self, data: bytes) -> Outcome[RequestHead | None, RequestError]:
        """The next head once it is whole (what follows it is held), or None while more is needed."""
        whole = self._heads.receive(data)
        if not isinstance(whole, Success):
            return whole
        raw = value_of(whole)
        if raw is None:
            return Success(None)
        self.hold(self._heads.take_rest())
        parsed = parse_request_head(raw, self._limits, self._known_host)
        if isinstance(parsed, Success):
            head = value_of(parsed)
            if head.host_value != self._known_host[0]:
                self._known_host = (head.host_value, head.host)
        return parsed

    def begin_body(self, length: int) -> None:
        """Expect a body of `length` bytes, or CHUNKED."""
        self.body = RequestBody(length, self._limits)

    def forget(self) -> None:
        """Drop the running body and all that is held; the connection is not used for another request."""
        self.body = None
        self._heads.take_rest()
        self._ahead.clear()
        self.ahead_bytes = 0
