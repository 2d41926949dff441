"""One visitor's stream at the agent: a local connection of its own, and bytes passed both ways untouched."""

import asyncio
import errno
import ssl
from enum import Enum
from math import inf
from time import monotonic
from typing import Final, Protocol, final

from tunnel.agent.dial import Dialler
from tunnel.agent.settings import AgentSettings
from tunnel.core.base.ids import EndpointId, Instant, StreamId
from tunnel.core.base.limits import READ_BYTES
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.link.preface import PrefaceReader, StreamPreface, StreamReply, encode_reply
from tunnel.core.proxy.writer import proxy_header_bytes
from tunnel.core.relay.tap import Tap
from tunnel.core.token.token import EndpointKind
from tunnel.drive.alarm import Alarm
from tunnel.drive.callbacks import Callbacks
from tunnel.drive.guard import guarded
from tunnel.drive.link import Link
from tunnel.drive.reading import read_buffer
from tunnel.drive.transport import close_once, end_writing, reset, stream_transport
from tunnel.observe.escapes import note_escape
from tunnel.observe.events import EventSink, ExchangeDone, LocalUnreachable
from tunnel.observe.targets import shown_target

_NEVER: Final = Instant(inf)
_OUT_OF_SOCKETS: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
"""This machine has none left; that says nothing about the local service."""


@final
class _State(Enum):
    PREFACE = "awaiting the preface"
    CONNECTING = "connecting"
    PIPING = "piping"
    DROPPING = "without a local connection; what still comes is dropped"
    OVER = "over"


class Host(Protocol):
    """The link that a pipe lives on."""

    def exposes(self, endpoint: EndpointId) -> bool:
        """Whether the endpoint is granted now."""

    def on_pipe_over(self) -> None:
        """The pipe is done with, once."""


@final
class LocalGround:
    """What all pipes of one agent share."""

    def __init__(
        self, settings: AgentSettings, tls: ssl.SSLContext | None, events: EventSink, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.service: Final = settings.local
        self.proxy_protocol: Final = settings.proxy_protocol
        self.limits: Final = settings.limits
        self.is_raw: Final = settings.kind is not EndpointKind.HTTP
        """Whether what passes is not ours to read, and a break of one side is told to the other as one."""
        self.requests_shown: Final = settings.requests_shown and not self.is_raw
        self.tls: Final = tls
        self.dialler: Final = Dialler(settings.local.address, tls, loop)
        self.events: Final = events
        self.loop: Final = loop
        self.buffer: Final = read_buffer()
        self.pipes: Final[set[LocalPipe]] = set()
        """Those that have a local connection, or try to get one."""
        self._pipe_left: Final = asyncio.Event()

    def note_left(self, pipe: "LocalPipe") -> None:
        """A pipe has no local connection any more and will get none."""
        self.pipes.discard(pipe)
        self._pipe_left.set()

    async def no_pipes(self) -> None:
        """Return once no local connection and no attempt at one is left."""
        while self.pipes:
            self._pipe_left.clear()
            await self._pipe_left.wait()


@final
class LocalPipe:
    """A byte pipe between a stream and a local connection. Finished when both have ended or either broke."""

    def __init__(self, link: Link, stream: StreamId, ground: LocalGround, host: Host) -> None:
        self._host: Final = host
        self._link: Final = link
        self._stream: Final = stream
        self._ground: Final = ground
        self._loop: Final = ground.loop
        self._tap: Final = Tap(ground.limits) if ground.requests_shown else None
        self._preface: Final = PrefaceReader()
        self._state = _State.PREFACE
        self._hello = b""
        """What the local service is told before anything of the visitor."""
        self._held: list[bytes] = []
        """What came before the local connection stood; the stream's window bounds it, for its credit waits."""
        self._owed = 0
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._alarm: Final = Alarm(ground.loop, self)
        self._is_paused = False
        self._is_reading = True
        self._stream_ended = False
        self._local_ended = False

    # The stream.

    @guarded
    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """Bytes of the visitor."""
        self._owed += len(data)
        match self._state:
            case _State.PIPING:
                self._to_local(data, now)
            case _State.PREFACE:
                self._read_preface(data)
            case _State.CONNECTING:
                self._held.append(data)
            case _State.DROPPING | _State.OVER:
                self._return_credit()

    @guarded
    def on_stream_end(self, now: Instant) -> None:
        """The visitor's side is done."""
        self._stream_ended = True
        if self._state is _State.PIPING:
            self._end_local()
        elif self._state is not _State.CONNECTING:
            self._finish(reset=False)

    @guarded
    def on_stream_reset(self, now: Instant) -> None:
        """Nobody wants this any more."""
        if self._state is not _State.OVER:
            self._state = _State.OVER
            self._drop_local(abort=True)
            self._host.on_pipe_over()

    @guarded
    def on_stream_writable(self, now: Instant) -> None:
        """The stream takes data again."""
        if not self._is_reading and self._transport is not None and not self._transport.is_closing():
            self._is_reading = True
            self._transport.resume_reading()

    # The local connection.

    def on_connected(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        stream = stream_transport(transport)
        if self._state is not _State.CONNECTING:
            # Too late. Not kept: uvloop may close it under the cancelled task and then never says that it is lost.
            stream.abort()
            return
        self._transport = stream
        stream.set_write_buffer_limits(high=READ_BYTES)
        self._state = _State.PIPING
        if self._hello:
            stream.write(self._hello)
        self._link.send(self._stream, encode_reply(StreamReply.CONNECTED))
        held, self._held = b"".join(self._held), []
        if held:
            self._to_local(held, Instant(monotonic()))
        if self._stream_ended:
            self._end_local()

    @property
    def read_buffer(self) -> memoryview:
        """Where the loop puts what it reads."""
        return self._ground.buffer

    def on_read(self, count: int) -> None:
        """So many bytes are in the buffer."""
        data = bytes(self._ground.buffer[:count])
        if self._state is not _State.PIPING:
            return
        if self._tap is not None:
            self._tap.receive_down(data, Instant(monotonic()))
            self._tell(self._tap)
        queued = self._link.send(self._stream, data)
        if queued > self._ground.limits.stream_queue_bytes and self._transport is not None:
            self._is_reading = False
            self._transport.pause_reading()

    def on_eof(self) -> bool:
        """The peer ended its side; whether ours stays open."""
        self._end_stream()
        return self._ground.tls is None and not self._stream_ended

    def on_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._transport = None
        self._note_left()
        if self._state is not _State.PIPING:
            return
        if exc is not None and not self._local_ended:
            # What it said before it broke is queued and still counts: it may be a whole answer, given early.
            self._state = _State.OVER
            self._link.break_off(self._stream)
            self._host.on_pipe_over()
        else:
            # Everything it said is queued, with the FIN behind it: a reset now would take that back.
            self._state = _State.DROPPING
            self._return_credit()
            self._end_stream()

    def on_full(self) -> None:
        """The transport holds as much as it may."""
        self._is_paused = True

    def on_room(self) -> None:
        """The transport has room again."""
        self._is_paused = False
        self._return_credit()

    def abort_session(self) -> None:
        """End stream and connection at once."""
        self._finish(reset=True)

    def on_alarm(self, now: Instant) -> Instant:
        """The local service did not accept in time, or does not take the last bytes."""
        if self._state is _State.CONNECTING:
            self._fail(StreamReply.TIMED_OUT, f"no connection within {self._ground.limits.connect_seconds_max:g} s")
            self._drop_local(abort=True)
        elif self._state is _State.OVER and self._transport is not None:
            self._transport.abort()
        return _NEVER

    # Helpers.

    def _read_preface(self, data: bytes) -> None:
        read = self._preface.receive(data)
        if not isinstance(read, Success):
            self._finish(reset=True)
            return
        preface = value_of(read)
        if preface is not None:
            self._begin(preface)

    def _begin(self, preface: StreamPreface) -> None:
        if not self._host.exposes(preface.endpoint):
            self._refuse(StreamReply.UNKNOWN_ENDPOINT)
            return
        version, rest = self._ground.proxy_protocol, self._preface.take_rest()
        if version is not None:
            visitor, public = (preface.address, preface.port), (preface.public_address, preface.public_port)
            self._hello = proxy_header_bytes(version, *visitor, *public)
        if rest:
            self._held.append(rest)
        self._state = _State.CONNECTING
        self._ground.pipes.add(self)
        self._alarm.set_by(Instant(monotonic() + self._ground.limits.connect_seconds_max))
        self._task = self._loop.create_task(self._connect())
        self._task.add_done_callback(self._on_attempted)

    async def _connect(self) -> None:
        """Connect; every way this can fail is a reply on the stream. Cancelled when nobody wants it any more."""
        address = self._ground.service.address
        try:
            await self._ground.dialler.dial(lambda: Callbacks(self))
        except ConnectionRefusedError:
            self._fail(StreamReply.REFUSED, "connection refused")
        except ssl.SSLError as cause:
            self._fail(StreamReply.TLS_FAILED, cause.reason or str(cause))
        except OSError as cause:
            reply = StreamReply.OVERLOADED if cause.errno in _OUT_OF_SOCKETS else StreamReply.UNREACHABLE
            self._fail(reply, cause.strerror or str(cause))
        except UnicodeError:
            self._fail(StreamReply.UNREACHABLE, f"{address.host} is not a host name")

    @guarded
    def _on_attempted(self, attempt: asyncio.Task[None]) -> None:
        """The attempt is over, whatever came of it."""
        self._task = None
        self._note_left()
        if attempt.cancelled():
            return
        escaped = attempt.exception()
        if escaped is not None:
            note_escape("LocalPipe._connect", escaped)
            self.abort_session()
        elif self._state is _State.CONNECTING:
            # The connection was lost while TLS shook hands, which the loop reports as if all were well.
            self._fail(StreamReply.TLS_FAILED, "the connection was lost during the TLS handshake")

    def _fail(self, reply: StreamReply, reason: str) -> None:
        self._ground.events.emit(LocalUnreachable(str(self._ground.service.address), reason))
        self._refuse(reply)

    def _refuse(self, reply: StreamReply) -> None:
        """Say why there is no connection, end our side, and drop what the visitor still sends."""
        if self._state is _State.OVER:
            return
        self._state = _State.DROPPING
        self._held = []
        self._return_credit()
        self._link.send(self._stream, encode_reply(reply))
        self._link.end(self._stream)
        if self._stream_ended:
            self._finish(reset=False)

    def _to_local(self, data: bytes, now: Instant) -> None:
        if self._tap is not None:
            self._tap.receive_up(data, now)
        if self._transport is not None:
            self._transport.write(data)
            if not self._is_paused:
                self._return_credit()

    def _end_local(self) -> None:
        """Pass the visitor's FIN on; when the local service had ended too, that is the end."""
        transport = self._transport
        if self._local_ended:
            self._finish(reset=False)
        elif transport is not None and not transport.is_closing():
            if transport.can_write_eof():
                end_writing(transport)
            else:
                # TLS in asyncio has no half-close: the end of the visitor can only be told by a whole one.
                transport.close()

    def _end_stream(self) -> None:
        """Pass the local service's FIN on."""
        if not self._local_ended:
            self._local_ended = True
            if self._tap is not None:
                self._tap.on_down_end(Instant(monotonic()))
                self._tell(self._tap)
            self._link.end(self._stream)
            if self._stream_ended:
                self._finish(reset=False)

    def _tell(self, tap: Tap) -> None:
        for seen in tap.poll_seen():
            self._ground.events.emit(
                ExchangeDone(
                    request_id=seen.request_id,
                    name="",
                    method=seen.method,
                    target=shown_target(seen.target),
                    status=seen.status,
                    milliseconds=seen.seconds * 1000,
                    outcome="ok",
                    bytes_up=0,
                    bytes_down=0,
                    peer="",
                )
            )

    def _finish(self, *, reset: bool) -> None:
        if self._state is not _State.OVER:
            has_begun = self._state is _State.PIPING
            self._state = _State.OVER
            self._return_credit()
            if reset and has_begun:
                # Behind the reply, which may still be queued: a reset before it says that nothing was begun.
                self._link.break_off(self._stream)
            else:
                self._link.leave(self._stream, reset=reset)
            self._drop_local(abort=reset)
            self._host.on_pipe_over()

    def _drop_local(self, *, abort: bool) -> None:
        transport = self._transport
        if transport is None:
            # Only while there is no connection: with one the attempt ends by itself within a turn of the loop, and a
            # cancellation at that point would close the socket without `connection_lost`.
            if self._task is not None:
                self._task.cancel()
        elif abort and self._ground.is_raw:
            reset(transport)
        elif abort:
            transport.abort()
        else:
            close_once(transport)
            self._alarm.set_by(Instant(monotonic() + self._ground.limits.goodbye_seconds_max))

    def _note_left(self) -> None:
        if self._transport is None and self._task is None:
            self._alarm.cancel()
            self._ground.note_left(self)

    def _return_credit(self) -> None:
        if self._owed:
            self._link.return_credit(self._stream, self._owed)
            self._owed = 0
