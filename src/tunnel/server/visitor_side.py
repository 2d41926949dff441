"""What every public connection has, whatever is spoken on it: the socket, the stream behind it, the credit between."""

import asyncio
from typing import Final, final

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import READ_BYTES
from tunnel.core.policy.door import Meter
from tunnel.core.route.table import Lease
from tunnel.drive.address import Address
from tunnel.drive.link import Link
from tunnel.drive.transport import close_once, end_writing, reset, stream_transport, unsent_bytes
from tunnel.server.parties import OpenStream
from tunnel.server.throttle import Throttle

_NOBODY: Final = Instant(0.0)


@final
class VisitorSide:
    """Moves bytes and decides nothing; finished when its connection is.

    Credit goes back for what has left: not while the visitor's socket is full, nor while bytes wait to be paid for.
    """

    def __init__(self, queue_bytes_max: int) -> None:
        self._queue_bytes_max: Final = queue_bytes_max
        self.transport: asyncio.Transport | None = None
        self.link: Link | None = None
        self.stream = StreamId(0)
        self.lease: Lease | None = None
        """Under which the current stream was opened."""
        self.is_direct = False
        """The current stream is on the agent's own link: who resets it is the agent."""
        self.is_last = False
        """The agent of the current stream leaves: what runs on the stream is the last."""
        self.has_ended = False
        """The visitor's FIN was seen; libuv must not be asked to read again."""
        self._throttle: Throttle | None = None
        """Present where bytes a second are limited."""
        self._owed = 0
        """Bytes of the stream that went to the visitor's socket and whose credit is not yet returned."""
        self._is_paused = False
        """The visitor's socket holds as much as it may."""
        self._is_stuck = False
        """The stream holds as much as it may."""
        self._is_reading = True
        self._written = 0
        self._taken = 0
        """How much of what was written the visitor had taken when we last looked."""

    # The visitor's socket.

    def connect(self, transport: asyncio.BaseTransport) -> asyncio.Transport:
        """The connection stands."""
        stream = stream_transport(transport)
        self.transport = stream
        stream.set_write_buffer_limits(high=READ_BYTES)
        return stream

    def peer(self) -> Address:
        """Who connected."""
        return self._name_of("peername")

    def public_address(self) -> Address:
        """Where the visitor connected to. It costs a system call."""
        return self._name_of("sockname")

    def write(self, data: bytes) -> None:
        """Bytes for the visitor."""
        if self.transport is not None:
            self._written += len(data)
            self.transport.write(data)

    def end_visitor(self) -> None:
        """Nothing more comes for the visitor; it may go on."""
        if self.transport is not None:
            end_writing(self.transport)

    def close(self, *, abort: bool) -> None:
        """Close the visitor's connection behind what was written, or reset it at once."""
        if self.transport is None:
            return
        if abort:
            reset(self.transport)
            return
        if self.transport.get_write_buffer_size() or not self.transport.can_write_eof():
            # Else nothing is left to be taken: a plain socket that waits for nothing is closed in this turn.
            self.has_taken()
        close_once(self.transport)

    def abort(self) -> None:
        """Drop the connection and its stream at once."""
        self.leave(reset=True)
        if self.transport is not None:
            self.transport.abort()

    def on_full(self) -> None:
        """The transport holds as much as it may."""
        self._is_paused = True
        self.has_taken()

    def on_room(self) -> None:
        """The transport has room again."""
        self._is_paused = False
        self.settle()

    def has_taken(self) -> bool:
        """Whether the visitor took at least one byte since this was last asked."""
        before = self._taken
        if self.transport is not None:
            self._taken = self._written - unsent_bytes(self.transport)
        return self._taken > before

    def update_reading(self, *, is_full: bool) -> None:
        """Read while there is room behind us and all is paid for: it is its own socket that makes the visitor wait."""
        wanted, transport = not (is_full or self._is_stuck or self.is_held), self.transport
        if wanted is self._is_reading or transport is None or self.has_ended or transport.is_closing():
            return
        self._is_reading = wanted
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()

    # The agent's stream.

    def attach(self, opened: OpenStream, lease: Lease) -> None:
        """Visit this stream from here on."""
        self.link, self.stream, self.lease, self.is_direct = opened.link, opened.stream, lease, opened.is_direct

    def send(self, data: bytes) -> bool:
        """Bytes for the local service; whether the stream holds too much with these, and did not before."""
        if self.link is None or self.link.send(self.stream, data) <= self._queue_bytes_max or self._is_stuck:
            return False
        self._is_stuck = True
        return True

    def on_stream_writable(self) -> None:
        """The stream takes data again."""
        self._is_stuck = False

    def receive(self, count: int, now: Instant) -> None:
        """So many bytes came on the stream; `settle` once they are written."""
        self._owed += count
        self.count(count, now)

    def settle(self) -> None:
        """Return the credit of what has left."""
        if not self._is_paused and not self.is_held:
            self._return_credit()

    def end_stream(self) -> None:
        """The visitor has said all it has to say."""
        if self.link is not None:
            self.link.end(self.stream)

    def leave(self, *, reset: bool) -> None:
        """Have no more to do with the stream: FIN, or RST when its peer may still send."""
        if self.link is not None:
            self._return_credit()
            self.link.leave(self.stream, reset=reset)
            self.forget()

    def forget(self) -> None:
        """The stream is gone by itself."""
        self.link, self.stream, self.lease, self.is_direct = None, StreamId(0), None, False
        self._owed = 0
        self._is_stuck = False
        self.is_last = False

    # Bytes a second.

    @property
    def is_held(self) -> bool:
        """Whether bytes that have passed wait to be paid for."""
        return self._throttle is not None and self._throttle.is_holding

    @property
    def held_until(self) -> Instant:
        """When they are paid for, while held."""
        return _NOBODY if self._throttle is None else self._throttle.until

    def limit(self, meter: Meter | None) -> None:
        """Count bytes by this meter from here on; one that is not limited pays off what the last one counted."""
        if meter is not None and self._throttle is not None:
            self._throttle.meter = meter
        elif meter is not None:
            self._throttle = Throttle(meter)

    def count(self, count: int, now: Instant) -> None:
        """Bytes have passed, in either direction."""
        if self._throttle is not None:
            self._throttle.count(count, now)

    def pay(self, now: Instant) -> bool:
        """Let go on what is paid for by now; whether anything had to wait, so that nobody is blamed for it."""
        throttle = self._throttle
        if throttle is None or not throttle.is_holding:
            return False
        if throttle.release(now):
            self.settle()
        return True

    # Helpers.

    def _name_of(self, which: str) -> Address:
        name: object = None if self.transport is None else self.transport.get_extra_info(which)
        return Address(str(name[0]), int(name[1])) if isinstance(name, tuple) else Address("", 0)

    def _return_credit(self) -> None:
        if self._owed and self.link is not None:
            self.link.return_credit(self.stream, self._owed)
        self._owed = 0
