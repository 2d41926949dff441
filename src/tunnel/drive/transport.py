"""The transport that the event loop hands to a stream protocol, with its real type, and what it still holds."""

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from typing import Final, cast

if sys.platform != "win32":
    import fcntl
    import termios


_SIOCOUTQNSD: Final = 0x894B
"""Linux's SIOCOUTQNSD, which Python has no name for."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on with zero seconds: close sends RST, the only visible cut where the close alone would be an end."""


def stream_transport(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """The same object. A stream protocol gets a stream transport (documented); uvloop's is no subclass to test for."""
    return cast("asyncio.Transport", transport)


def close_once(transport: asyncio.Transport) -> None:
    """Close it, unless that has begun: at a second close asyncio's TLS transport forgets what an abort would end."""
    if not transport.is_closing():
        transport.close()


def end_writing(transport: asyncio.Transport) -> None:
    """End our side where that is possible. asyncio raises here for a peer that has reset it and was not yet read."""
    if transport.can_write_eof():
        with suppress(OSError):
            transport.write_eof()


def unsent_bytes(transport: asyncio.Transport) -> int:
    """Bytes written that the peer's machine has not acknowledged, those in the kernel's send queue included.

    The transport's own count is too coarse to see a slow reader by: the kernel asks for more only when a third of a
    send buffer of up to 4 MiB is free, so at 10 kB/s that count stands still for minutes.
    """
    waiting = transport.get_write_buffer_size()
    sock: object = transport.get_extra_info("socket")
    if sys.platform != "win32" and sock is not None and hasattr(sock, "fileno"):
        with suppress(OSError):
            queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
            waiting += int.from_bytes(queued, sys.byteorder)
    return waiting


def unsendable_bytes(sock: socket.socket) -> int:
    """Bytes in the kernel that the network does not take yet, as its window is used up; 0 where that cannot be asked.

    TCP_NOTSENT_LOWAT alone does not bound them: the kernel looks at it before it begins a segment of up to 64 KiB, and
    lets that one fill up.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            return int.from_bytes(fcntl.ioctl(sock.fileno(), _SIOCOUTQNSD, b"\0\0\0\0"), sys.byteorder)
    return 0


def keep_unsent_below(sock: socket.socket, count: int) -> None:
    """Let the kernel take no more than about `count` bytes that it cannot send yet (TCP_NOTSENT_LOWAT).

    It would take up to 4 MiB, which no later frame can overtake: three seconds of a 10 Mbit/s uplink. It reports room
    again once there are less than half of them.
    """
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, count)


def reset(transport: asyncio.Transport) -> None:
    """Close at once by a TCP reset; what was not sent yet is dropped."""
    sock: object = transport.get_extra_info("socket")
    if sock is not None and hasattr(sock, "setsockopt"):
        with suppress(OSError):  # the peer may have reset it already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
