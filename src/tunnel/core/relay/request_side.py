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
class RequestSide:
    """Reads one request after the other; what comes early is held, in order, until it is taken."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._heads: Final = HeadReader(limits.head_bytes_max)
        self._body: BodyReader | None = None
        self._is_chunked = False
        self._ahead: list[bytes] = []
        self.ahead_bytes = 0
        """Bytes held for later."""

    @property
    def has_part_of_head(self) -> bool:
        """Whether a head has begun and is not yet whole."""
        return self._heads.held > 0

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
        return parse_request_head(raw, self._limits)

    def begin_body(self, length: int) -> None:
        """Expect a body of `length` bytes, or CHUNKED."""
        self._body = BodyReader(length, self._limits, self._limits.request_body_bytes_max)
        self._is_chunked = length == CHUNKED

    @property
    def body_is_done(self) -> bool:
        """Whether the running request's body has come whole."""
        return self._body is None or self._body.is_done

    def receive_body(self, data: bytes) -> Outcome[bytes, BodyError]:
        """What to forward of these bytes, framed for the local service; what follows the body is held."""
        body = self._body
        if body is None:
            self.hold(data)
            return Success(b"")
        taken = body.receive(data)
        if not isinstance(taken, Success):
            return taken
        parts = value_of(taken)
        if self._is_chunked:
            parts = [chunk(part) for part in parts]
            if body.is_done:
                parts.append(last_chunk(body.trailers))
        if body.is_done:
            self._body = None
            self.hold(body.take_rest())
        return Success(b"".join(parts))

    def forget_body(self) -> None:
        """Give up on the running body; the connection is not used for another request."""
        self._body = None
