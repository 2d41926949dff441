"""From bytes to frames. Payload is passed on as it arrives: nothing but part of one header is ever held back."""

from typing import Final, final

from tunnel.core.base.ids import StreamId
from tunnel.core.base.partial import frame_header
from tunnel.core.mux.errors import FrameRefused
from tunnel.core.mux.header import DATA, FIN, HEADER_BYTES, header_fault

__all__ = ["Frame", "FrameReader"]


@final
class Frame:
    """One frame, or one piece of a Data frame that arrives in several reads.

    The first piece has the flags of its header but FIN, and the whole announced `length`; later pieces have length 0
    and no flag, the last one FIN if the header had it. So each piece may be acted on by itself, in order.
    """

    __slots__ = ("flags", "kind", "length", "payload", "stream")

    def __init__(self, kind: int, flags: int, stream: StreamId, length: int, payload: bytes) -> None:
        self.kind: Final = kind
        self.flags: Final = flags
        self.stream: Final = stream
        self.length: Final = length
        self.payload: Final = payload


@final
class FrameReader:
    """Feed bytes in, frames come out; finished at its first `fault`, after which it reads nothing."""

    __slots__ = ("_fault", "_frame_bytes_max", "_held", "_left", "_left_flags", "_left_stream")

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._held = b""  # less than one header
        self._left = 0  # payload bytes that the current Data frame still owes
        self._left_stream = StreamId(0)
        self._left_flags = 0
        self._fault: FrameRefused | None = None

    @property
    def fault(self) -> FrameRefused | None:
        """Why the reader stopped; what `receive` returned before and with it still counts."""
        return self._fault

    def receive(self, wire: bytes) -> list[Frame]:
        """Every frame and piece that `wire` brings, up to a fault; afterwards look at `fault`."""
        frames: list[Frame] = []
        if self._fault is not None:
            return frames
        at = self._read_rest(wire, frames) if self._left else 0
        if self._held:
            wire = self._held + wire
        size = len(wire)
        while (header := frame_header(wire, at)) is not None:
            version, kind, flags, stream, length = header
            fault = header_fault(version, kind, stream, length, self._frame_bytes_max)
            if fault is not None:
                self._fault = fault
                return frames
            at += HEADER_BYTES
            end = at + length if kind == DATA else at
            if end > size:
                self._begin_piecewise(flags, StreamId(stream), end - size)
                flags &= ~FIN
            frames.append(Frame(kind, flags, StreamId(stream), length, wire[at:end]))
            at = end
        self._held = wire[at:]
        return frames

    def _begin_piecewise(self, flags: int, stream: StreamId, left: int) -> None:
        self._left = left
        self._left_stream = stream
        self._left_flags = flags & FIN

    def _read_rest(self, wire: bytes, frames: list[Frame]) -> int:
        """Pass on what `wire` has of the current payload; where the next header starts in it."""
        payload = wire[: self._left]
        self._left -= len(payload)
        flags = 0 if self._left else self._left_flags
        if payload:
            frames.append(Frame(DATA, flags, self._left_stream, 0, payload))
        return len(payload)
