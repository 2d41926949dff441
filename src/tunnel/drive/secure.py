"""TLS of a link on its own socket, with no buffer between the session and the kernel but one write (ADR 0087).

The loop's TLS transport keeps 64 KiB and more of what it was given, and nothing that the session decides later can
overtake it. Here a write is encrypted, sent, and then either in the kernel or all there is; and the kernel is asked how
much it has that it cannot send yet.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, final

from tunnel.drive.guard import guarded
from tunnel.drive.transport import keep_unsent_below, unsendable_bytes

_UNASKED_BYTES: Final = 8 * 1024
"""Sent before the kernel is asked whether the network still takes it all; asking costs half a microsecond."""
_LOW_WATER_BYTES: Final = 16 * 1024
"""TCP_NOTSENT_LOWAT: the kernel reports room once it has less than half of this that it cannot send."""
_READS: Final = 4
"""Full buffers taken in one turn of the loop, as uvloop does."""


class Secured(Protocol):
    """Who talks behind the TLS."""

    @property
    def read_buffer(self) -> memoryview:
        """Where what was read is put; the bytes are reported before anybody else may use it."""

    def on_secured(self, line: "SecureLine") -> None:
        """TLS stands, and the peer is who it has to be."""

    def on_read(self, count: int) -> None:
        """So many bytes are in the buffer."""

    def on_eof(self) -> bool:
        """The peer ended its side; ours ends, too."""

    def on_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""

    def on_full(self) -> None:
        """What is written from here on waits behind the last write."""

    def on_room(self) -> None:
        """No more."""

    def abort_session(self) -> None:
        """End at once; must not raise."""


class Reading(Protocol):
    """What `ssl.SSLObject` does when it is given a buffer: it answers with a count, though typeshed says bytes.

    Compiled code holds a library to its annotations, and would refuse that count.
    """

    def read(self, length: int, buffer: memoryview, /) -> object:
        """Fill the buffer as far as there is anything, at most so far."""


@final
class Tls:
    """One side of TLS without a socket: what came is put in, what is to be sent is taken out.

    The client's, when there is a name that the server's certificate has to be for.
    """

    def __init__(self, context: ssl.SSLContext, hostname: str | None) -> None:
        self.incoming: Final = ssl.MemoryBIO()
        self.outgoing: Final = ssl.MemoryBIO()
        self.records: Final = context.wrap_bio(
            self.incoming, self.outgoing, server_side=hostname is None, server_hostname=hostname
        )
        self.reading: Final[Reading] = self.records


@final
class SecureLine:
    """A connected socket whose TLS handshake is done, and that belongs to this object. Finished at `on_lost`.

    Closing takes two ends: what was written and ours, then the peer's, whose bytes nobody reads any more. A socket
    that is closed with bytes unread answers with a reset, and that may destroy what we said last.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, tls: Tls, secured: Secured) -> None:
        self._loop: Final = loop
        self._sock: Final = sock
        self._tls: Final = tls
        self._secured: Final = secured
        self._buffer: Final = secured.read_buffer
        self._names: Final = {"sockname": _name_of(sock.getsockname), "peername": _name_of(sock.getpeername)}
        self._waiting = b""
        """Encrypted, and not taken by the kernel."""
        self._unasked = 0
        """Sent since the kernel had nothing that it could not send."""
        self._is_full = False
        self._is_closing = False
        self._has_ended = False
        """Whether the peer has."""
        self._is_over = False

    def begin(self) -> None:
        """Read and write from now on; the owner is told first."""
        with suppress(OSError):
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_unsent_below(self._sock, _LOW_WATER_BYTES)
        self._loop.add_reader(self._sock, self._on_readable)
        self._on_secured()

    # What the owner asks for.

    def get_extra_info(self, name: str) -> object:
        """As of a transport: `socket`, `ssl_object`, `peername` or `sockname`."""
        if name == "ssl_object":
            return self._tls.records
        return self._sock if name == "socket" else self._names.get(name)

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._is_closing

    def write(self, data: bytes) -> None:
        """Encrypt and send; the owner is told at once when that leaves no room for more."""
        if self._is_closing:
            return
        records = self._tls.records
        try:
            taken = records.write(data)
            while taken < len(data):
                taken += records.write(data[taken:])
        except ssl.SSLError as cause:
            self._finish(cause)
            return
        self._push()

    def close(self) -> None:
        """End well, behind what was written. A second call does nothing."""
        if self._is_closing:
            return
        self._is_closing = True
        with suppress(ssl.SSLError):  # it wants to read the peer's goodbye, which we do not wait for
            self._tls.records.unwrap()
        self._push()
        if not self._waiting:
            self._end()

    def abort(self) -> None:
        """Drop it at once."""
        self._finish(None)

    def abort_session(self) -> None:
        """Pass an escape on to the owner."""
        self._secured.abort_session()

    # What the loop says.

    @guarded
    def _on_secured(self) -> None:
        if not self._is_over:
            self._secured.on_secured(self)
            self._take()  # what came right behind the handshake

    @guarded
    def _on_readable(self) -> None:
        for _ in range(_READS):
            try:
                count = self._sock.recv_into(self._buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as cause:
                self._finish(cause)
                return
            if not count:
                self._on_peer_ended()
            elif not self._is_closing:
                self._tls.incoming.write(self._buffer[:count])
                self._take()
            if count < len(self._buffer) or self._has_ended or self._is_over:
                return

    @guarded
    def _on_writable(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, b""
            self._send(waiting)
            if self._waiting or self._is_over:
                return
        self._loop.remove_writer(self._sock)
        self._is_full = False
        if self._is_closing:
            self._end()
        else:
            self._secured.on_room()

    @guarded
    def _on_lost(self, cause: Exception | None) -> None:
        self._secured.on_lost(cause)

    # Helpers.

    def _take(self) -> None:
        """Hand on what has come in whole records, a buffer at a time."""
        reading, incoming, buffer = self._tls.reading, self._tls.incoming, self._buffer
        filled = 0
        while not self._is_closing:
            try:
                read = reading.read(len(buffer) - filled, buffer[filled:] if filled else buffer)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as cause:
                self._refuse(filled, cause)
                return
            if not isinstance(read, int) or not read:
                self._hand_on(filled)
                self._on_peer_ended()
                return
            filled += read
            if filled == len(buffer):
                self._hand_on(filled)
                filled = 0
            elif not incoming.pending:
                break  # OpenSSL keeps no other record back, and to be told that none came costs an exception
        self._hand_on(filled)
        if self._tls.outgoing.pending and not self._is_closing:
            self._push()  # the answer to new keys

    def _hand_on(self, count: int) -> None:
        if count and not self._is_closing:
            self._secured.on_read(count)

    def _refuse(self, filled: int, cause: ssl.SSLError) -> None:
        """The peer broke the rules of TLS: what came before that counts, and it gets the alert."""
        self._hand_on(filled)
        if not self._is_closing:
            self._push()
        self._finish(cause)

    def _on_peer_ended(self) -> None:
        self._has_ended = True
        self._loop.remove_reader(self._sock)  # an end stays readable
        if not self._is_closing:
            self._secured.on_eof()
            self.close()
        elif not self._waiting:
            self._finish(None)

    def _push(self) -> None:
        """Send what is encrypted, behind what waits."""
        made = self._tls.outgoing.read()
        if self._waiting:
            self._waiting += made
        else:
            self._send(made)

    def _send(self, made: bytes) -> None:
        try:
            sent = self._sock.send(made)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as cause:
            self._finish(cause)
            return
        if sent < len(made):
            self._waiting = made[sent:]
            self._await_room()
            return
        self._unasked += sent
        if self._unasked > _UNASKED_BYTES:
            self._unasked = 0
            if unsendable_bytes(self._sock):
                self._await_room()

    def _await_room(self) -> None:
        if not self._is_full:
            self._is_full = True
            self._loop.add_writer(self._sock, self._on_writable)
            if not self._is_closing:
                self._secured.on_full()

    def _end(self) -> None:
        """All is said: end our side, and wait for the end of the peer's unless that has come."""
        if self._has_ended:
            self._finish(None)
        else:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    def _finish(self, cause: Exception | None) -> None:
        if self._is_over:
            return
        self._is_over = self._is_closing = True
        self._waiting = b""
        self._loop.remove_reader(self._sock)
        if self._is_full:
            self._loop.remove_writer(self._sock)
        self._sock.close()
        self._loop.call_soon(self._on_lost, cause)


def _name_of(asked: Callable[[], object]) -> object:
    """A name of the socket; None when it has none any more."""
    try:
        return asked()
    except OSError:
        return None
