"""One message body: bytes in, payload slices out at once, and where the body ends."""

from typing import Final, final

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.http.chunks import ChunkReader
from tunnel.core.http.errors import BodyError, BodyTooLong, EndedEarly
from tunnel.core.http.framing import CHUNKED, UNTIL_CLOSE


@final
class BodyReader:
    """Reads one body of a declared length, in chunks, or until the connection closes; a first error is final.

    Nothing is held but a line of chunk framing and the bytes after the body, which wait for `take_rest`.
    """

    def __init__(self, length: int, limits: Limits, total_max: int) -> None:
        self._length: Final = length
        self._total_max: Final = total_max
        self._chunks: Final = ChunkReader(limits, total_max) if length == CHUNKED else None
        self._is_open = length == UNTIL_CLOSE
        self._left = total_max if length == UNTIL_CLOSE else max(length, 0)
        self._rest = b""
        self._received = 0
        self._error: BodyTooLong | None = BodyTooLong(total_max) if length > total_max else None

    @property
    def is_done(self) -> bool:
        """Whether the body has ended well."""
        if self._chunks is not None:
            return self._chunks.is_done
        return self._left == 0 and not self._is_open

    @property
    def received(self) -> int:
        """Payload bytes handed out so far."""
        return self._received if self._chunks is None else self._chunks.received

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """The trailer fields of a chunked body, well-formed but not yet filtered (`last_chunk` does that)."""
        return [] if self._chunks is None else self._chunks.trailers

    def receive(self, data: bytes) -> Outcome[list[bytes], BodyError]:
        """The payload in `data`, as soon as it is there; what follows the body is kept for `take_rest`."""
        if self._chunks is not None:
            return self._chunks.receive(data)
        if self._error is not None:
            return Failure(self._error)
        count = len(data)
        if count <= self._left:
            self._left -= count
            self._received += count
            return Success([data] if data else [])
        if self._is_open:
            self._error = BodyTooLong(self._total_max)
            return Failure(self._error)
        count = self._left
        self._rest += data[count:]
        self._left = 0
        self._received += count
        return Success([data[:count]] if count else [])

    def take_rest(self) -> bytes:
        """The bytes that came after the body, handed over once."""
        if self._chunks is not None:
            return self._chunks.take_rest()
        rest = self._rest
        self._rest = b""
        return rest

    def on_end(self) -> Outcome[None, BodyError]:
        """The sender has finished: the end of a body until close, nothing to one that is done, else an error.

        A FIN short of the declared length is never an end of the body (RFC 9112 section 8).
        """
        if self._is_open and self._error is None:
            self._is_open = False
            self._left = 0
        if self.is_done:
            return Success(None)
        if self._error is not None:
            return Failure(self._error)
        return Failure(EndedEarly(self.received, max(self._length, -1)))
