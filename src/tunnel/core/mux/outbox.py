"""What waits to be sent: control frames, bounded and first; then data, one frame a stream in turn (ADR 0006)."""

from typing import Final, final

from tunnel.core.base.ids import StreamId
from tunnel.core.base.partial import discard, frame_header_bytes, quotient
from tunnel.core.mux.events import Event, StreamWritable
from tunnel.core.mux.header import ACK, GO_AWAY, HEADER_BYTES, PING, RST, SYN, WINDOW_UPDATE
from tunnel.core.mux.stream import Stream

__all__ = ["Outbox"]


@final
class Outbox:
    """The writer's side of a session, which the reader's side fills and never waits for.

    Lists, not deques: ten thousand idle sessions keep empty ones, and 56 bytes are less than 624. Each is bounded: by
    the streams of the session, or by whoever looks at `answers_waiting` and `resets_waiting`.
    """

    __slots__ = ("_answers", "_frame_bytes_max", "_go_away", "_half_queue", "_offered", "_owed", "_ping", "_resets")

    def __init__(self, frame_bytes_max: int, queue_bytes: int) -> None:
        self._frame_bytes_max: Final = frame_bytes_max
        self._half_queue: Final = queue_bytes >> 1
        self._answers: list[bytes] = []  # what the peer caused: pongs, and RST for streams we do not take
        self._resets: list[bytes] = []
        self._owed: list[Stream] = []
        self._ping = b""
        self._go_away = b""
        self._offered: list[Stream] = []

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
        return bool(self._offered) or self.has_control

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
        if not stream.is_owed:
            stream.is_owed = True
            self._owed.append(stream)

    def offer(self, stream: Stream) -> None:
        """List a stream for data at the end of the turn, once, if it has any to send."""
        if not stream.is_offered and stream.is_sendable:
            stream.is_offered = True
            self._offered.append(stream)

    def withdraw(self, stream: Stream) -> None:
        """Unlist a stream that is gone; what it had queued is dropped."""
        if stream.is_offered:
            discard(self._offered, stream)
        if stream.is_owed:
            discard(self._owed, stream)
        stream.queue.clear()

    def clear(self) -> None:
        """Drop everything."""
        self._answers.clear()
        self._resets.clear()
        self._owed.clear()
        self._offered.clear()
        self._ping = b""
        self._go_away = b""

    def poll(self, bytes_max: int, events: list[Event], closed: list[Stream]) -> bytes:
        """Up to `bytes_max` bytes of whole frames; streams that closed by it, and became writable by it, are listed."""
        parts: list[bytes] = []
        room = self._take_control(parts, bytes_max) if self.has_control else bytes_max
        if self._offered and room > HEADER_BYTES:
            self._take_data(parts, room, events, closed)
        return b"".join(parts)

    def _take_control(self, parts: list[bytes], room: int) -> int:
        """Move control frames to `parts`; the room left, which takes no data frame while a control frame is left."""
        frames = max(quotient(room, HEADER_BYTES), 0)
        frames -= _move(self._answers, parts, frames)
        frames -= _move(self._resets, parts, frames)
        granted = self._owed[:frames]
        del self._owed[:frames]
        for stream in granted:
            stream.is_owed = False
            stream.write_update(parts)
        frames -= len(granted)
        if self._ping and frames > 0:
            parts.append(self._ping)
            self._ping = b""
            frames -= 1
        if self._go_away and frames > 0:
            parts.append(self._go_away)
            self._go_away = b""
        return room - len(parts) * HEADER_BYTES

    def _take_data(self, parts: list[bytes], room: int, events: list[Event], closed: list[Stream]) -> None:
        offered = self._offered
        taken = 0
        # The loop also visits what it appends: a stream with more to send has its next turn after all others.
        for stream in offered:
            if room <= HEADER_BYTES:
                break
            taken += 1
            room -= stream.write_data(parts, min(room - HEADER_BYTES, self._frame_bytes_max))
            if stream.is_sendable:
                offered.append(stream)
            else:
                stream.is_offered = False
            if stream.is_crowded and stream.queue.size <= self._half_queue:
                stream.is_crowded = False
                events.append(StreamWritable(stream.id))
            if stream.is_closed:
                closed.append(stream)
        del offered[:taken]


def _move(frames: list[bytes], parts: list[bytes], count: int) -> int:
    """Move up to `count` frames; how many it were."""
    moved = frames[:count]
    del frames[:count]
    parts += moved
    return len(moved)
