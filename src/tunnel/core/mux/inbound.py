"""What each frame of the peer does to the session. The reader's side: it fills the outbox and never waits for it."""

from typing import Final, final

from tunnel.core.base.limits import Limits
from tunnel.core.mux.errors import (
    FlowControlViolated,
    MuxError,
    StreamFault,
    StreamReopened,
    WindowOverflow,
    WrongParity,
)
from tunnel.core.mux.events import Event, PeerGoingAway, Pong, StreamData, StreamEnded, StreamOpened, StreamReset
from tunnel.core.mux.header import ACK, DATA, FIN, INITIAL_WINDOW_BYTES, PING, RST, SYN, WINDOW_UPDATE
from tunnel.core.mux.keepalive import Keepalive
from tunnel.core.mux.outbox import Outbox
from tunnel.core.mux.reader import Frame
from tunnel.core.mux.stream import Stream
from tunnel.core.mux.table import StreamTable

__all__ = ["Inbound"]

_NO_CODE: Final = -1


@final
class Inbound:
    """Frames in, events out; a fault of the session comes back instead of being acted on."""

    __slots__ = ("_buffer_bytes_max", "_keepalive", "_outbox", "_table", "is_refusing", "peer_code", "violations")

    def __init__(self, limits: Limits, table: StreamTable, outbox: Outbox, keepalive: Keepalive) -> None:
        self._buffer_bytes_max: Final = limits.session_buffer_bytes_max
        self._table: Final = table
        self._outbox: Final = outbox
        self._keepalive: Final = keepalive
        self.is_refusing = False  # we sent GOAWAY
        self.peer_code = _NO_CODE
        self.violations = 0

    @property
    def is_peer_going(self) -> bool:
        """Whether the peer sent GOAWAY."""
        return self.peer_code != _NO_CODE

    def on_frame(self, frame: Frame, events: list[Event]) -> MuxError | None:
        """Act on one frame or piece; what it breaks for the whole session, if it does."""
        if frame.kind in (DATA, WINDOW_UPDATE):
            return self._on_stream_frame(frame, events)
        if frame.kind == PING:
            self._on_ping(frame, events)
        elif frame.length != self.peer_code:
            self.peer_code = frame.length
            events.append(PeerGoingAway(frame.length))
        return None

    def _on_stream_frame(self, frame: Frame, events: list[Event]) -> StreamFault | None:
        if frame.flags & SYN:
            fault = self._on_open(frame, events)
            if fault is not None:
                return fault
        stream = self._table.live.get(frame.stream)
        if stream is None:
            # A stream we refused, or dropped a moment ago while the peer was sending: an RST would answer an honest
            # peer's last frames with a breach of the protocol. Nothing is kept, so nothing needs a bound.
            return None
        if frame.flags & RST:
            self._table.forget(stream)
            events.append(StreamReset(stream.id))
            return None
        if frame.kind == DATA:
            return self._on_data(stream, frame, events)
        return self._on_window_update(stream, frame, events)

    def _on_open(self, frame: Frame, events: list[Event]) -> StreamFault | None:
        """The one place where a stream of the peer begins, whatever kind of frame its SYN is on."""
        if self._table.is_ours(frame.stream):
            return WrongParity(frame.stream)
        if frame.stream in self._table.live:
            return StreamReopened(frame.stream)
        if frame.kind == DATA and frame.length > INITIAL_WINDOW_BYTES:
            # Before anything is made of it: a half-made stream was CVE-2026-32314.
            return FlowControlViolated(frame.stream, frame.length, INITIAL_WINDOW_BYTES)
        if self.is_refusing or self._table.is_full:
            self._outbox.refuse(frame.stream)
            return None
        self._table.open_peers(frame.stream)
        events.append(StreamOpened(frame.stream))
        return None

    def _on_data(self, stream: Stream, frame: Frame, events: list[Event]) -> StreamFault | None:
        if stream.peer_ended:
            if frame.length or frame.flags & FIN:
                self._break_off(stream, events)
            return None
        window = stream.receive_window
        if not window.spend(frame.length):
            return FlowControlViolated(stream.id, frame.length, window.credit)
        if frame.payload:
            self._table.hold(stream, len(frame.payload))
            events.append(StreamData(stream.id, frame.payload))
        if frame.flags & FIN:
            self._on_end(stream, events)
        if self._table.unread > self._buffer_bytes_max:
            self._shed(stream, events)
        return None

    def _on_window_update(self, stream: Stream, frame: Frame, events: list[Event]) -> StreamFault | None:
        window = stream.send_window
        if not window.widen(frame.length):
            return WindowOverflow(stream.id, window.credit, frame.length)
        self._outbox.offer(stream)
        if frame.flags & FIN:
            self._on_end(stream, events)
        return None

    def _on_end(self, stream: Stream, events: list[Event]) -> None:
        if stream.peer_ended:
            self._break_off(stream, events)
            return
        stream.peer_ended = True
        events.append(StreamEnded(stream.id))
        if stream.is_closed:
            self._table.forget(stream)

    def _break_off(self, stream: Stream, events: list[Event]) -> None:
        """Something came after FIN: that stream cannot be trusted, the others can; some real peers do it."""
        self.violations += 1
        self._table.abandon(stream)
        events.append(StreamReset(stream.id))

    def _shed(self, latest: Stream, events: list[Event]) -> None:
        """Reset the stream that holds most: its reader has stalled, and one broken exchange beats a stalled link.

        `latest` took the session over its limit, so it is live: had its FIN closed it, its bytes would not count.
        """
        stream = self._table.most_unread(latest)
        self._table.abandon(stream)
        events.append(StreamReset(stream.id))

    def _on_ping(self, frame: Frame, events: list[Event]) -> None:
        if frame.flags & SYN:
            self._outbox.pong(frame.length)
            return
        if not (frame.flags & ACK and self._keepalive.has_asked(frame.length)):
            self.violations += 1
            return
        # The frame was heard at this very moment, so `heard_at` is now.
        rtt_seconds = self._keepalive.round_trip(frame.length, self._keepalive.heard_at)
        if rtt_seconds is not None:
            events.append(Pong(rtt_seconds))
