"""A yamux session without I/O: bytes and time in, events, bytes and deadlines out (yamux spec; spec/wire.md)."""

from math import inf
from typing import TYPE_CHECKING, Final, final

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.mux.errors import (
    GO_AWAY_NORMAL,
    CannotOpen,
    MuxError,
    PeerDoesNotRead,
    SessionDraining,
    SessionOver,
    StreamGone,
    StreamIdsExhausted,
    StreamLimitReached,
    go_away_code,
)
from tunnel.core.mux.events import Event, StreamReset
from tunnel.core.mux.header import STREAM_ID_MAX
from tunnel.core.mux.inbound import Inbound
from tunnel.core.mux.keepalive import Keepalive
from tunnel.core.mux.outbox import Outbox
from tunnel.core.mux.reader import FrameReader
from tunnel.core.mux.role import Role
from tunnel.core.mux.table import StreamTable
from tunnel.core.mux.tuning import WindowTuner

if TYPE_CHECKING:
    from tunnel.core.mux.stream import Stream

__all__ = ["Role", "Session"]


@final
class Session:
    """One end of a link, for its whole life; finished when `is_over` and `has_output` is False.

    After each call its owner takes the events, writes what `poll_output` yields and arms a timer for `next_deadline`.
    """

    __slots__ = ("_events", "_inbound", "_is_over", "_keepalive", "_limits", "_outbox", "_reader", "_table")

    def __init__(self, role: Role, limits: Limits, now: Instant, first_id: int = 0) -> None:
        """Begin a session; `first_id` (0 for the usual one) only serves to reach the end of the ids in a test."""
        self._limits: Final = limits
        self._reader: Final = FrameReader(limits.frame_bytes_max)
        self._outbox: Final = Outbox(limits.frame_bytes_sent_max, limits.stream_queue_bytes)
        self._keepalive: Final = Keepalive(limits.heartbeat_seconds, limits.heartbeat_deadline_seconds, now)
        tuner = WindowTuner(limits, self._keepalive)
        self._table: Final = StreamTable(role, limits, self._outbox, tuner, first_id)
        self._inbound: Final = Inbound(limits, self._table, self._outbox, self._keepalive)
        self._events: list[Event] = []
        self._is_over = False

    # Getters.

    @property
    def live_streams(self) -> int:
        """Streams of both sides that are neither closed nor reset."""
        return len(self._table.live)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is accepted; a last GOAWAY may still wait in `poll_output`."""
        return self._is_over

    @property
    def is_draining(self) -> bool:
        """Whether a GOAWAY was sent or received: open streams go on, no new one begins."""
        return self._inbound.is_refusing or self._inbound.is_peer_going

    @property
    def has_output(self) -> bool:
        """Whether `poll_output` would yield something now."""
        return self._outbox.has_output

    @property
    def heard_at(self) -> Instant:
        """When bytes last arrived; at first, when the session began."""
        return self._keepalive.heard_at

    @property
    def unread(self) -> int:
        """Bytes told as data of live streams and not given back by `return_credit`."""
        return self._table.unread

    @property
    def granted(self) -> int:
        """All receive windows together: what nobody has taken, what the peer may still send, what it will be let."""
        return self._table.tuner.granted

    @property
    def rtt_seconds(self) -> float:
        """The smallest round trip measured lately; negative before the first."""
        return self._keepalive.rtt_seconds

    @property
    def violations(self) -> int:
        """What the peer did against the rules and the session survived, counted."""
        return self._inbound.violations

    def queued(self, stream: StreamId) -> int:
        """Unsent bytes of a stream; 0 when it is gone."""
        live = self._table.live.get(stream)
        return 0 if live is None else live.queue.size

    # What the world did.

    def receive(self, wire: bytes, now: Instant) -> Outcome[list[Event], MuxError]:
        """All events that were not yet taken, the newest caused by `wire`.

        On Failure the session is over and a GOAWAY waits to be sent; what came before the bad frame in the same read
        is not lost, `take_events` has it. After the end bytes are ignored.
        """
        if self._is_over or not wire:
            return Success(self.take_events())
        self._keepalive.heard_at = now
        # Asked here and not for each answer: a peer may ask a thousand times in one write, if it then reads.
        answers = self._outbox.answers_waiting
        if answers > self._limits.control_frames_max:
            return self._fail(PeerDoesNotRead(answers, self._limits.control_frames_max))
        for frame in self._reader.receive(wire):
            error = self._inbound.on_frame(frame, self._events)
            if error is not None:
                return self._fail(error)
        fault = self._reader.fault
        if fault is not None:
            return self._fail(fault)
        return Success(self.take_events())

    def on_time(self, now: Instant) -> Outcome[None, MuxError]:
        """Ping after a heartbeat of silence; Failure, and the session is over, when the peer stays silent."""
        if self._is_over:
            return Success(None)
        silent = self._keepalive.silence(now)
        if silent is not None:
            return self._fail(silent)
        if self._keepalive.is_ping_due(now):
            self.ping(now)
        return Success(None)

    def on_link_lost(self) -> list[Event]:
        """What was not yet taken, then a reset for each live stream; afterwards the session is over and empty."""
        events = self.take_events()
        self._is_over = True
        self._outbox.clear()
        for stream in list(self._table.live.values()):
            self._table.forget(stream)
            events.append(StreamReset(stream.id))
        return events

    # Commands.

    def open_stream(self) -> Outcome[StreamId, CannotOpen]:
        """A new stream of ours; its SYN leaves before its data. Ids are never used twice."""
        if self._is_over:
            return Failure(SessionOver())
        if self.is_draining:
            return Failure(SessionDraining())
        if self._table.is_full:
            return Failure(StreamLimitReached(self._limits.streams_per_session_max))
        if self._table.is_exhausted:
            return Failure(StreamIdsExhausted(STREAM_ID_MAX))
        return Success(self._table.open_own())

    def send(self, stream: StreamId, data: bytes) -> Outcome[int, StreamGone]:
        """Queue bytes of a stream without copying them; how many it has queued now.

        Above `stream_queue_bytes` the caller pauses its source until `StreamWritable`.
        """
        live = self._table.live.get(stream)
        if live is None or live.is_ending or live.is_breaking or self._is_over:
            return Failure(StreamGone(stream))
        live.queue.put(data)
        if live.queue.size > self._limits.stream_queue_bytes:
            live.is_crowded = True
        self._outbox.offer(live)
        return Success(live.queue.size)

    def end(self, stream: StreamId) -> None:
        """Send FIN behind what is queued; we still receive. Nothing on a second call or for a stream that is gone."""
        live = self._table.live.get(stream)
        if live is not None and not live.is_breaking and not self._is_over:
            live.is_ending = True
            self._outbox.offer(live)

    def reset(self, stream: StreamId) -> None:
        """End a stream at once with RST: what is queued is dropped and what still arrives for it ignored."""
        live = self._table.live.get(stream)
        if live is not None and not self._is_over:
            self._table.abandon(live)

    def break_off(self, stream: StreamId) -> None:
        """End a stream with RST as soon as what is queued has left: the peer gets every byte from before the break."""
        live = self._table.live.get(stream)
        if live is None or self._is_over:
            return
        live.is_ending = False  # a FIN would tell that all is well
        live.is_breaking = True
        if live.is_broken:
            self._table.abandon(live)

    def return_credit(self, stream: StreamId, count: int, now: Instant) -> None:
        """Say that `count` received bytes have left us; the peer hears of it when half its window is owed.

        How fast they leave sets how wide the window is, so a busy link is asked for its round trip now and then.
        """
        live = self._table.live.get(stream)
        if live is None or self._is_over:
            return
        if self._table.release(live, count, now) and self._keepalive.is_measure_due(now):
            self.ping(now)

    def go_away(self, code: int) -> None:
        """Take no new streams: with code 0 the open ones go on, with any other the session is over at once."""
        if self._is_over or (code == GO_AWAY_NORMAL and self._inbound.is_refusing):
            return
        if code != GO_AWAY_NORMAL:
            self._close()
        self._inbound.is_refusing = True
        self._outbox.go_away(code)

    def ping(self, now: Instant) -> None:
        """Ask for a sign of life now; `Pong` tells how long it took."""
        if not self._is_over:
            self._outbox.ping(self._keepalive.ask(now))

    # What the caller must do now.

    def take_events(self) -> list[Event]:
        """Events not yet taken, oldest first: after a failed `receive`, and after `poll_output`."""
        events = self._events
        self._events = []
        return events

    def poll_output(self, bytes_max: int) -> bytes:
        """Up to `bytes_max` bytes to write now, in whole frames: control first, then data, a frame a stream in turn.

        b"" when nothing can go; `bytes_max` of 12 or less lets no data pass.
        """
        closed: list[Stream] = []
        wire = self._outbox.poll(bytes_max, self._events, closed)
        for stream in closed:
            if stream.is_breaking:
                self._table.abandon(stream)
            else:
                self._table.forget(stream)
        return wire

    def next_deadline(self) -> Instant:
        """When to call `on_time` next; never (infinity) after the end."""
        return Instant(inf) if self._is_over else self._keepalive.next_deadline

    def _fail(self, error: MuxError) -> Failure[MuxError]:
        self._close()
        self._outbox.go_away(go_away_code(error))
        return Failure(error)

    def _close(self) -> None:
        """Stop for good. Streams stay listed so that `on_link_lost` can name them; what they had queued is dropped."""
        self._is_over = True
        self._outbox.clear()
        for stream in list(self._table.live.values()):
            stream.queue.clear()
