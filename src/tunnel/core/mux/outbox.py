"""What waits to be sent: control frames, bounded and first; then data, one frame a stream in turn (ADR 0006, 0036)."""

from typing import Final, final

from tunnel.core.base.ids import StreamId
from tunnel.core.base.partial import frame_header_bytes, quotient
from tunnel.core.mux.events import Event, StreamWritable
from tunnel.core.mux.header import ACK, GO_AWAY, HEADER_BYTES, PING, RST, SYN, WINDOW_UPDATE
from tunnel.core.mux.stream import Stream
from tunnel.core.mux.turns import Turns

__all__ = ["Outbox"]


@final
class Outbox:
    """The writer's side of a session, which the reader's side fills and never waits for.

    Lists and a dict, not deques: ten thousand idle sessions keep empty ones, and 64 bytes are less than 624. Each is
    bounded: by the streams of the session, or by whoever looks at `answers_waiting` and `resets_waiting`. No step looks
    for a stream among others, so ten thousand of them cost ten times what a thousand do.
    """

    __slots__ = ("_answers", "_frame_bytes_max", "_go_away", "_half_queue", "_owed", "_ping", "_resets", "_turns")

    def __init__(self, frame_bytes_max: int, queue_bytes: int) -> None:
        self._frame_bytes_max: Final = frame_bytes_max
        self._half_queue: Final = queue_bytes >> 1
        self._answers: list[bytes] = []  # what the peer caused: pongs, and RST for streams we do not take
        self._resets: list[bytes] = []
        self._owed: dict[StreamId, Stream] = {}
        self._ping = b""
        self._go_away = b""
        self._turns: Final = Turns(frame_bytes_max)

    @property
    def answers_waiting(self) -> int:
        """Frames the peer caused and has not taken."""
        return len(self._answers)

    @property
    def resets_waiting(self) -> int:
        """Streams that are gone here and of whose end the peer has not been told."""
        return len(self._resets)

    @property
    def has_control(self) -> bool:
        """Whether any frame but Data waits."""
        return bool(self._owed or self._answers or self._resets or self._ping or self._go_away)

    @property
    def has_output(self) -> bool:
        """Whether `poll` would yield something, given room."""
        return not self._turns.is_empty or self.has_control

    def pong(self, opaque: int) -> None:
        """Answer a ping; a row of equal ones gets one answer."""
        frame = frame_header_bytes(PING, ACK, 0, opaque)
        if self._answers[-1:] != [frame]:
            self._answers.append(frame)

    def refuse(self, stream: StreamId) -> None:
        """Answer the SYN of a stream that we do not take."""
        self._answers.append(frame_header_bytes(WINDOW_UPDATE, RST, stream, 0))

    def reset(self, stream: StreamId) -> None:
        """Tell the peer that a stream is gone."""
        self._resets.append(frame_header_bytes(WINDOW_UPDATE, RST, stream, 0))

    def ping(self, opaque: int) -> None:
        """Ask for a sign of life; one that still waits is replaced."""
        self._ping = frame_header_bytes(PING, SYN, 0, opaque)

    def go_away(self, code: int) -> None:
        """Say that no new stream is taken; it follows the SYN of every stream opened before."""
        self._go_away = frame_header_bytes(GO_AWAY, 0, 0, code)

    def owe(self, stream: Stream) -> None:
        """List a stream for a Window Update, once; how much it grants is settled when it is sent."""
        self._owed[stream.id] = stream

    def offer(self, stream: Stream) -> None:
        """List a stream for data, once, if it has any to send."""
        if not stream.is_offered and stream.is_sendable:
            self._turns.join(stream)

    def withdraw(self, stream: Stream) -> None:
        """Unlist a stream that is gone; what it had queued is dropped."""
        if stream.is_offered:
            self._turns.leave(stream)
        self._owed.pop(stream.id, None)
        stream.queue.clear()

    def clear(self) -> None:
        """Drop everything."""
        self._answers.clear()
        self._resets.clear()
        self._owed.clear()
        self._turns.clear()
        self._ping = b""
        self._go_away = b""

    def poll(self, bytes_max: int, events: list[Event], closed: list[Stream]) -> bytes:
        """Up to `bytes_max` bytes of whole frames; what became writable, and closed or empty for a reset, is listed."""
        parts: list[bytes] = []
        room = self._take_control(parts, bytes_max) if self.has_control else bytes_max
        if room > HEADER_BYTES and not self._turns.is_empty:
            self._take_data(parts, room, events, closed)
        return b"".join(parts)

    def _take_control(self, parts: list[bytes], room: int) -> int:
        """Move control frames to `parts`; the room left, which takes no data frame while a control frame is left."""
        frames = max(quotient(room, HEADER_BYTES), 0)
        frames -= _move(self._answers, parts, frames)
        frames -= _move(self._resets, parts, frames)
        frames -= self._take_updates(parts, frames)
        if self._ping and frames > 0:
            parts.append(self._ping)
            self._ping = b""
            frames -= 1
        if self._go_away and frames > 0:
            parts.append(self._go_away)
            self._go_away = b""
        return room - len(parts) * HEADER_BYTES

    def _take_updates(self, parts: list[bytes], count: int) -> int:
        """Move up to `count` Window Updates to `parts`; how many it were."""
        granted = list(self._owed.values())
        if len(granted) <= count:
            self._owed.clear()
        else:
            del granted[max(count, 0) :]
            for stream in granted:
                self._owed.pop(stream.id, None)
        for stream in granted:
            stream.write_update(parts)
        return len(granted)

    def _take_data(self, parts: list[bytes], room: int, events: list[Event], closed: list[Stream]) -> None:
        turns = self._turns
        while room > HEADER_BYTES:
            stream = turns.take()
            if stream is None:
                break
            payload_max = min(room - HEADER_BYTES, self._frame_bytes_max)
            room -= stream.write_data(parts, payload_max)
            if stream.is_sendable:
                turns.rejoin(stream, is_cut=payload_max < self._frame_bytes_max)
            else:
                stream.is_offered = False
            if stream.is_crowded and stream.queue.size <= self._half_queue:
                stream.is_crowded = False
                events.append(StreamWritable(stream.id))
            if stream.is_closed or stream.is_broken:
                closed.append(stream)


def _move(frames: list[bytes], parts: list[bytes], count: int) -> int:
    """Move up to `count` frames; how many it were."""
    moved = frames[:count]
    del frames[:count]
    parts += moved
    return len(moved)
