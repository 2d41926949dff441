"""One link: a yamux session on a TLS connection, driven by the event loop's callbacks.

Bytes move here and nowhere else: one read becomes one `receive`, everything that is to be sent in one turn of
the loop becomes one write. Who uses the link gives a handler for each stream.
"""

import asyncio
from time import monotonic
from typing import Final, Protocol, final

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.core.mux.errors import CannotOpen, describe
from tunnel.core.mux.events import (
    Event,
    PeerGoingAway,
    StreamData,
    StreamEnded,
    StreamOpened,
    StreamReset,
    StreamWritable,
)
from tunnel.core.mux.session import Role, Session
from tunnel.drive.alarm import Alarm
from tunnel.drive.guard import guarded
from tunnel.drive.joining import joined
from tunnel.drive.pace import Pace
from tunnel.drive.tls import speaks_tunnel
from tunnel.drive.transport import stream_transport

_WRITE_HIGH_BYTES: Final = 1
_WRITE_LOW_BYTES: Final = 0
"""A transport of the loop stops us as soon as it keeps anything back: no frame can overtake what it has (ADR 0036)."""


class Road(Protocol):
    """What a link writes to: a `SecureLine`, or between workers the loop's transport of a Unix socket."""

    def write(self, data: bytes) -> None:
        """Send, or keep and say that it is full."""

    def is_closing(self) -> bool:
        """Whether it takes nothing more."""

    def close(self) -> None:
        """End well."""

    def abort(self) -> None:
        """End at once."""

    def get_extra_info(self, name: str) -> object:
        """What is known of it."""


class StreamHandler(Protocol):
    """Who reads one stream. What its methods raise must end that stream alone: they have a guard of their own."""

    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """Bytes came; their credit is returned by the handler once they have left us."""

    def on_stream_end(self, now: Instant) -> None:
        """The peer ended its side."""

    def on_stream_reset(self, now: Instant) -> None:
        """The stream is gone; the handler is already forgotten."""

    def on_stream_writable(self, now: Instant) -> None:
        """The stream's queue has room again."""


class LinkOwner(Protocol):
    """Who a link belongs to."""

    def on_link_up(self, link: "Link", now: Instant) -> None:
        """TLS stands; the session may be used."""

    def on_stream_opened(self, stream: StreamId, now: Instant) -> StreamHandler | None:
        """The peer opened a stream; answers who reads it, or None to reset it."""

    def on_peer_leaving(self, now: Instant) -> None:
        """The peer sent GOAWAY: it opens nothing more and accepts nothing more."""

    def on_link_closed(self, reason: str, now: Instant) -> None:
        """Nothing passes any more; said once, just before each stream's handler is told. `reason` is for people."""

    def on_link_gone(self) -> None:
        """The connection under the link is gone, too; said once, and last."""


@final
class Link:
    """The driver of one session. It is finished when its owner hears `on_link_gone`.

    Two ends, because they can be far apart: from `close` on not one byte passes in either direction, while the goodbye
    to a peer that does not listen may take until its deadline.
    """

    def __init__(
        self, role: Role, limits: Limits, owner: LinkOwner, loop: asyncio.AbstractEventLoop, buffer: memoryview
    ) -> None:
        self._limits: Final = limits
        self._owner: Final = owner
        self._loop: Final = loop
        self._session: Final = Session(role, limits, Instant(monotonic()))
        self._alarm: Final = Alarm(loop, self)
        self._handlers: Final[dict[StreamId, StreamHandler]] = {}
        self._transport: Road | None = None
        self._buffer: Final = buffer
        self._is_paused = False
        self._pace: Final = Pace()
        self._flush_is_due = False
        self._reason = ""
        self._is_closed = False
        self._is_gone = False

    # What the owner and the handlers ask for.

    @property
    def live_streams(self) -> int:
        """Streams open now, the control stream included."""
        return self._session.live_streams

    @property
    def is_up(self) -> bool:
        """Whether TLS stands."""
        return self._transport is not None

    @property
    def is_closed(self) -> bool:
        """Whether nothing passes any more."""
        return self._is_closed

    @property
    def is_gone(self) -> bool:
        """Whether the connection is gone, or was given up before there was one."""
        return self._is_gone

    @property
    def is_draining(self) -> bool:
        """Whether a GOAWAY was sent or received."""
        return self._session.is_draining

    @property
    def heard_at(self) -> Instant:
        """When bytes last came from the peer."""
        return self._session.heard_at

    def peer(self) -> str:
        """The peer's address, for people."""
        name: object = None if self._transport is None else self._transport.get_extra_info("peername")
        return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unknown"

    def speaks_tunnel(self) -> bool:
        """Whether the TLS handshake agreed on `tunnel/1`; nothing else may go on."""
        return self._transport is not None and speaks_tunnel(self._transport.get_extra_info("ssl_object"))

    def handlers(self) -> list[StreamHandler]:
        """Everybody who reads a stream now."""
        return list(self._handlers.values())

    def open_stream(self, handler: StreamHandler) -> Outcome[StreamId, CannotOpen]:
        """A new stream read by `handler`."""
        opened = self._session.open_stream()
        if isinstance(opened, Success):
            self._handlers[value_of(opened)] = handler
            self._flush_soon()
        return opened

    def send(self, stream: StreamId, data: bytes) -> int:
        """Queue bytes; answers how many are now queued on the stream (0 when it is gone)."""
        queued = self._session.send(stream, data)
        self._flush_soon()
        return value_of(queued) if isinstance(queued, Success) else 0

    def end(self, stream: StreamId) -> None:
        """FIN after what is queued."""
        self._session.end(stream)
        self._flush_soon()

    def leave(self, stream: StreamId, *, reset: bool) -> None:
        """Have no more to do with a stream: FIN, or RST when its peer may still send."""
        self._handlers.pop(stream, None)
        if reset:
            self._session.reset(stream)
        else:
            self._session.end(stream)
        self._flush_soon()

    def break_off(self, stream: StreamId) -> None:
        """Leave with RST, but only behind what is queued: the peer gets every byte from before the break."""
        self._handlers.pop(stream, None)
        self._session.break_off(stream)
        self._flush_soon()

    def return_credit(self, stream: StreamId, count: int) -> None:
        """Let the peer send `count` more bytes: as many have left us."""
        self._session.return_credit(stream, count, Instant(monotonic()))
        if self._session.has_output:
            self._flush_soon()

    def go_away(self) -> None:
        """Open and accept nothing more (GOAWAY 0); what runs goes on, what was said before this leaves before it."""
        self._flush_now()
        self._session.go_away(0)
        self._flush_soon()

    def close(self, reason: str) -> None:
        """Say what is queued as far as the socket takes it, then nothing more; the streams end here and now."""
        if self._is_closed:
            return
        self._flush_now()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
        self._end(reason)

    def abort_session(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        self._end("aborted")
        if self._transport is None:
            self._go()

    # What the event loop says.

    def on_connected(self, transport: asyncio.BaseTransport) -> None:
        """A connection without TLS stands, to another process of ours."""
        stream = stream_transport(transport)
        stream.set_write_buffer_limits(high=_WRITE_HIGH_BYTES, low=_WRITE_LOW_BYTES)
        self.on_secured(stream)

    def on_secured(self, line: Road) -> None:
        """The connection stands."""
        self._transport = line
        if self._is_closed:
            line.abort()
            return
        now = Instant(monotonic())
        self._owner.on_link_up(self, now)
        if not self._is_closed:
            # Now, while nothing waits: the nearest to the true round trip that will ever be measured.
            self._session.ping(now)
        self._alarm.set_by(self._session.next_deadline())
        self._flush_soon()

    @property
    def read_buffer(self) -> memoryview:
        """Where the loop puts what it reads."""
        return self._buffer

    def on_read(self, count: int) -> None:
        """So many bytes are in the buffer."""
        if self._is_closed:
            return
        now = Instant(monotonic())
        received = self._session.receive(bytes(self._buffer[:count]), now)
        if isinstance(received, Success):
            self._dispatch(value_of(received), now)
        else:
            self._dispatch(self._session.take_events(), now)
            self.close(describe(error_of(received)))
        if self._session.has_output:
            self._flush_soon()

    def on_eof(self) -> bool:
        """The peer ended its side; whether ours stays open."""
        self._reason = self._reason or "the peer closed the connection"
        return False

    def on_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._transport = None
        self._end(str(exc) if exc else "the connection was closed")
        self._go()

    def on_full(self) -> None:
        """The transport holds as much as it may."""
        self._is_paused = True

    def on_room(self) -> None:
        """The transport has room again."""
        self._is_paused = False
        self._pace.note_room(monotonic())
        self._flush_now()

    def on_alarm(self, now: Instant) -> Instant:
        """Heartbeat time: a ping goes out, or the silence has been too long. After `close`: the goodbye has."""
        if self._is_closed:
            self.abort_session()
            return self._farewell(now)
        beaten = self._session.on_time(now)
        if not isinstance(beaten, Success):
            self._reason = describe(error_of(beaten))
            self.abort_session()
            return self._farewell(now)
        self._flush_now()
        return self._session.next_deadline()

    # Helpers.

    def _end(self, reason: str) -> None:
        """Tell everybody that it is over; what had come before the end still reaches its reader."""
        if self._is_closed:
            return
        self._is_closed = True
        self._reason = self._reason or reason
        now = Instant(monotonic())
        self._alarm.set_by(self._farewell(now))
        # The owner first: nobody who hears of a reset may find this link in a table and turn to it again.
        self._owner.on_link_closed(self._reason, now)
        self._dispatch(self._session.on_link_lost(), now)
        for handler in self.handlers():
            handler.on_stream_reset(now)
        self._handlers.clear()

    def _go(self) -> None:
        self._alarm.cancel()
        if not self._is_gone:
            self._is_gone = True
            self._owner.on_link_gone()

    def _farewell(self, now: Instant) -> Instant:
        return Instant(now + self._limits.goodbye_seconds_max)

    def _dispatch(self, events: list[Event], now: Instant) -> None:
        for event in joined(events):
            if isinstance(event, StreamData):
                handler = self._handlers.get(event.stream)
                if handler is None:
                    # Left by FIN, and its peer goes on: whoever stops consuming sends RST, behind what is queued.
                    self._session.return_credit(event.stream, len(event.data), now)
                    self.break_off(event.stream)
                else:
                    handler.on_stream_data(event.data, now)
            else:
                self._dispatch_rare(event, now)

    def _dispatch_rare(self, event: Event, now: Instant) -> None:
        if isinstance(event, StreamEnded):
            handler = self._handlers.get(event.stream)
            if handler is not None:
                handler.on_stream_end(now)
        elif isinstance(event, StreamReset):
            handler = self._handlers.pop(event.stream, None)
            if handler is not None:
                handler.on_stream_reset(now)
        elif isinstance(event, StreamWritable):
            handler = self._handlers.get(event.stream)
            if handler is not None:
                handler.on_stream_writable(now)
        elif isinstance(event, StreamOpened):
            self._take_stream(event.stream, now)
        elif isinstance(event, PeerGoingAway) and not self._is_closed:
            self._owner.on_peer_leaving(now)

    def _take_stream(self, stream: StreamId, now: Instant) -> None:
        reader = None if self._is_closed else self._owner.on_stream_opened(stream, now)
        if reader is None:
            self._session.reset(stream)
        else:
            self._handlers[stream] = reader

    def _flush_soon(self) -> None:
        if not self._flush_is_due and not self._is_closed:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    @guarded
    def _flush(self) -> None:
        self._flush_is_due = False
        self._flush_now()

    def _flush_now(self) -> None:
        transport, session, pace = self._transport, self._session, self._pace
        if transport is None or self._is_closed:
            return
        while not self._is_paused and session.has_output:
            data = session.poll_output(pace.portion_bytes)
            if not data:
                break
            pace.note_written(len(data))
            transport.write(data)
        events = session.take_events()
        if events:
            self._dispatch(events, Instant(monotonic()))
