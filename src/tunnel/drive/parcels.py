"""Parcels: open sockets handed from one process to another, each set under a number (SCM_RIGHTS, unix(7)).

They travel on a socket of packets of their own: on a stream the event loop would read the bytes and lose the sockets.
"""

import asyncio
import socket
from collections import deque
from contextlib import suppress
from typing import Final, Protocol, final

from tunnel.drive.guard import guarded

SOCKETS_MAX: Final = 64
"""In one parcel: one for each address that a name of this machine may have."""
_NUMBER_BYTES: Final = 8


class Recipient(Protocol):
    """Who gets parcels."""

    def on_parcel(self, number: int, sockets: list[socket.socket]) -> None:
        """The sockets are the recipient's from here on."""

    def on_no_more_parcels(self) -> None:
        """The other process is gone, or what came was no parcel."""


def parcel_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a way for parcels."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(0)
    return ours, theirs


@final
class ParcelSender:
    """Sends in order and never waits; finished after `close`."""

    def __init__(self, sock: socket.socket) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._sock: Final = sock
        self._waiting: Final[deque[tuple[int, list[socket.socket]]]] = deque()
        self._is_closed = False

    def send(self, number: int, sockets: list[socket.socket]) -> None:
        """Hand these over; they stay ours, too. Those that are closed before they can leave arrive as none at all."""
        if self._is_closed:
            return
        self._waiting.append((number, sockets))
        if len(self._waiting) == 1:
            self._send_waiting()

    def close(self) -> None:
        """Send nothing more. A second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_writer(self._sock)
            self._sock.close()
            self._waiting.clear()

    def abort_session(self) -> None:
        """Likewise."""
        self.close()

    @guarded
    def _send_waiting(self) -> None:
        while self._waiting:
            number, sockets = self._waiting[0]
            descriptors = [each.fileno() for each in sockets if each.fileno() >= 0]
            try:
                socket.send_fds(self._sock, [number.to_bytes(_NUMBER_BYTES, "big")], descriptors)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock, self._send_waiting)
                return
            except OSError:  # the other process is gone, which its own watch will say
                self.close()
                return
            self._waiting.popleft()
        self._loop.remove_writer(self._sock)


@final
class ParcelReader:
    """Reads until `close`, or until the other end is closed."""

    def __init__(self, sock: socket.socket, recipient: Recipient) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._sock: Final = sock
        self._recipient: Final = recipient
        self._is_closed = False
        sock.settimeout(0)
        self._loop.add_reader(sock, self._on_readable)

    def close(self) -> None:
        """Read nothing more. A second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def abort_session(self) -> None:
        """Likewise."""
        self.close()

    @guarded
    def _on_readable(self) -> None:
        while not self._is_closed:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._sock, _NUMBER_BYTES + 1, SOCKETS_MAX)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data, descriptors = b"", []
            sockets = [_taken(descriptor) for descriptor in descriptors]
            if len(data) != _NUMBER_BYTES:
                for each in sockets:
                    each.close()
                self.close()
                self._recipient.on_no_more_parcels()
                return
            self._recipient.on_parcel(int.from_bytes(data, "big"), sockets)


def _taken(descriptor: int) -> socket.socket:
    taken = socket.socket(fileno=descriptor)
    with suppress(OSError):
        taken.set_inheritable(False)
    return taken
