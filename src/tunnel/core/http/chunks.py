"""The chunked transfer coding (RFC 9112 section 7.1), read strictly and in one pass."""

from typing import Final, final

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import byte_at, hexadecimal, two_groups, whole_match
from tunnel.core.http.errors import (
    BadChunkLine,
    BadFieldLine,
    BareLineEnd,
    BodyError,
    BodyTooLong,
    ChunkLineTooLong,
    ChunkNotEnded,
    TooManyFields,
    TrailersTooLong,
    clipped,
)
from tunnel.core.http.framing import LENGTH_MAX
from tunnel.core.http.grammar import CHUNK_LINE, CRLF, FIELD, FIELD_LINE, OWS, has_c1

_SIZE_LINE_BYTES: Final = 16 + len(CRLF)
"""A chunk size with its line end and no extension."""

_CR: Final = 0x0D
_LF: Final = 0x0A

# What the next byte belongs to.
_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILERS: Final = 3
_DONE: Final = 4


@final
class ChunkReader:
    """Unwraps one chunked body; finished after the empty line that ends its trailers, or at the first error.

    Only the line that is being read is ever held, and no byte is looked at twice but those of that line.
    """

    def __init__(self, limits: Limits, total_max: int) -> None:
        self._limits: Final = limits
        self._total_max: Final = total_max
        self._step = _SIZE
        self._left = 0
        self._is_after_cr = False
        self._line = bytearray()
        self._extension_bytes_left = limits.chunk_extension_bytes_max
        self._trailer_bytes_left = limits.trailer_bytes_max
        self._rest = b""
        self._error: BodyError | None = None
        self.received = 0
        """Payload bytes handed out so far."""
        self.trailers: Final[list[tuple[bytes, bytes]]] = []
        """Names and values in order; complete when the body is."""

    @property
    def is_done(self) -> bool:
        """Whether the body has ended well."""
        return self._step == _DONE

    def receive(self, data: bytes) -> Outcome[list[bytes], BodyError]:
        """The payload in `data`, a slice for each chunk or part of one; what follows the body is kept."""
        parts: list[bytes] = []
        at = 0
        end = len(data)
        while at < end and self._step != _DONE and self._error is None:
            if self._step == _DATA:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self.received += len(part)
                self._left -= len(part)
                if self._left == 0:
                    self._step = _DATA_END
            elif self._step == _DATA_END:
                at = self._end_data(data, at)
            else:
                at = self._read_line(data, at)
        if self._error is not None:
            return Failure(self._error)
        if at < end:
            self._rest += data[at:]
        return Success(parts)

    def take_rest(self) -> bytes:
        """The bytes that came after the body, handed over once."""
        rest = self._rest
        self._rest = b""
        return rest

    def _end_data(self, data: bytes, at: int) -> int:
        """Take the CR LF after the data of a chunk, both bytes checked (CVE-2025-43859); where reading goes on."""
        if not self._is_after_cr and data[at : at + len(CRLF)] == CRLF:
            self._step = _SIZE
            return at + len(CRLF)
        seen = byte_at(data, at)
        if seen != (_LF if self._is_after_cr else _CR):
            self._error = ChunkNotEnded(seen)
        elif self._is_after_cr:
            self._step = _SIZE
        self._is_after_cr = not self._is_after_cr
        return at + 1

    def _read_line(self, data: bytes, at: int) -> int:
        """Take a chunk-size or trailer line, or hold the part of it that has come; where reading goes on.

        A line ends at its first LF: one without a CR before it is refused at once and not waited with.
        """
        found = data.find(b"\n", at)
        end = len(data) if found < 0 else found + 1
        line = data[at:end]
        if self._line or found < 0:
            self._line += line
            line = bytes(self._line) if found >= 0 else b""
        if max(len(line), len(self._line)) > self._line_bytes_max():
            self._error = self._line_too_long()
        elif found >= 0:
            self._line.clear()
            self._take_line(line)
        return end

    def _line_bytes_max(self) -> int:
        """How long the line being read may be, its CR LF included."""
        if self._step == _SIZE:
            return _SIZE_LINE_BYTES + self._extension_bytes_left
        return max(len(CRLF), self._trailer_bytes_left)

    def _line_too_long(self) -> BodyError:
        if self._step == _SIZE:
            return ChunkLineTooLong(self._limits.chunk_extension_bytes_max)
        return TrailersTooLong(self._limits.trailer_bytes_max)

    def _take_line(self, line: bytes) -> None:
        """Act on a whole line, its LF included."""
        if not line.endswith(CRLF):
            self._error = BareLineEnd(len(line) - 1)
        elif self._step == _SIZE:
            self._begin_chunk(line)
        elif line == CRLF:
            self._step = _DONE
        else:
            self._take_trailer(line)

    def _begin_chunk(self, line: bytes) -> None:
        """Enter the data of a chunk, or the trailers after the last one."""
        digits = line[: -len(CRLF)]
        size = hexadecimal(digits)
        if size is None:
            digits = digits.partition(b";")[0]
            size = hexadecimal(digits)
            if size is None or whole_match(CHUNK_LINE, line) is None:
                self._error = BadChunkLine(clipped(line))
                return
            self._extension_bytes_left -= len(line) - len(digits) - len(CRLF)
        if size > LENGTH_MAX:
            self._error = BadChunkLine(clipped(line))
        elif self._extension_bytes_left < 0:
            self._error = ChunkLineTooLong(self._limits.chunk_extension_bytes_max)
        elif size > self._total_max - self.received:
            self._error = BodyTooLong(self._total_max)
        else:
            self._left = size
            self._step = _DATA if size else _TRAILERS

    def _take_trailer(self, line: bytes) -> None:
        """Keep one trailer field; the grammar is that of heads."""
        self._trailer_bytes_left -= len(line)
        pair = two_groups(FIELD, line)
        if pair is None or whole_match(FIELD_LINE, line) is None or has_c1(line):
            self._error = BadFieldLine(clipped(line[: -len(CRLF)]))
        elif len(self.trailers) >= self._limits.field_count_max:
            self._error = TooManyFields(self._limits.field_count_max)
        else:
            name, value = pair
            self.trailers.append((name, value.rstrip(OWS)))
