"""Sockets of the simulated kernel, with the methods of `socket.socket` that asyncio and the product call."""

import errno
import os
import socket
import struct
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, final

from tests.simulation.end import End
from tests.simulation.kernel import EPHEMERAL, HOST, Kernel, Listener

FIRST_NUMBER: Final = 5_000_000
"""Far from real descriptors, so that a mix-up cannot go unseen."""


@final
class Short(Exception):  # noqa: N818 - an instruction
    """Not an error: this read or write moves one byte only."""


@final
@dataclass(frozen=True, slots=True)
class Failing:
    """Which point fails, counted from 1, with what, and whether all of its kind do from then on."""

    at: int
    error: Exception
    is_sticky: bool = False


@final
class Points:
    """Every operation that can fail, counted as the product comes by; one of them may be made to fail."""

    def __init__(self) -> None:
        self.count = 0
        self.is_on = False
        self.names: Final[list[str]] = []
        self.fails_at = 0
        """Which one fails, counted from 1; 0 for none."""
        self.failed = 0
        self._failing: Failing | None = None
        self._kind = ""

    def fail(self, failing: Failing) -> None:
        """Make one of them fail."""
        self._failing, self.fails_at = failing, failing.at

    def heal(self) -> None:
        """Nothing fails any more."""
        self.is_on = False

    def reach(self, name: str) -> None:
        """Come by one operation; raises when it is the one that fails."""
        if not self.is_on or HOST.get() not in PRODUCT:
            return
        self.count += 1
        failing = self._failing
        if failing is None:
            self.names.append(name)
            return
        if self.count == failing.at:
            self._kind = name
        elif not (failing.is_sticky and self.count > failing.at and name == self._kind):
            return
        self.failed += 1
        raise copy(failing.error)


PRODUCT: Final[set[str]] = set()
"""Hosts on which the product runs; what visitors and local services do is no point of failure of ours."""


@final
class SimSocket:
    """A TCP socket: new, listening or connected. Finished at `close`."""

    def __init__(self, system: "System", family: int, end: End | None = None) -> None:
        self.family: Final = family
        self.type: Final = socket.SOCK_STREAM
        self.proto: Final = socket.IPPROTO_TCP
        self._system: Final = system
        self._kernel: Final = system.kernel
        self._host: Final = HOST.get()
        self._number: Final = system.next_number()
        self._end = end
        self._listener: Listener | None = None
        self._bound: tuple[str, int] | None = None if end is None else end.address
        self._is_closed = False
        system.sockets[self._number] = self
        if end is not None:
            end.on_change = self._touch
        system.trace_socket(self._host, self._number)

    def _touch(self) -> None:
        self._system.touch(self._number)

    @property
    def end(self) -> End | None:
        """The connection behind it."""
        return self._end

    @property
    def host(self) -> str:
        """The machine that holds it."""
        return self._host

    def readiness(self, wanted: int) -> int:
        """Which of the events that a selector wants are there: 1 to read, 2 to write."""
        if self._listener is not None:
            return wanted & 1 if self._listener.waiting else 0
        end = self._end
        if end is None:
            return 0
        return (wanted & 1 if end.is_readable else 0) | (wanted & 2 if wanted & 2 and end.is_writable else 0)

    # What a program calls.

    def fileno(self) -> int:
        """Its number, -1 once closed."""
        return -1 if self._is_closed else self._number

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def bind(self, address: tuple[str, int] | str) -> None:
        """Choose the address; port 0 for any. A Unix socket is a name in the file system, too."""
        self._system.points.reach("bind")
        if isinstance(address, str):
            Path(address).touch(exist_ok=False)
            self._bound = (_place(address), 0)
            return
        port = address[1] or self._kernel.free_port()
        if (address[0], port) in self._kernel.listeners:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._bound = (address[0], port)

    def listen(self, backlog: int = 128) -> None:
        """Take connections; a second call changes nothing, as asyncio makes it."""
        self._system.points.reach("listen")
        if self._listener is None:
            host, port = self._bound or (self._host, self._kernel.free_port())
            self._bound = (host, port)
            self._listener = self._kernel.listen(host, port, backlog, self._touch)

    def accept(self) -> "tuple[SimSocket, tuple[str, int]]":
        """The next connection and where it comes from."""
        self._system.points.reach("accept" if self.family != socket.AF_UNIX else "accept-beside")
        if self._listener is None or not self._listener.waiting:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self._system.trouble("accept", self._host)
        end = self._listener.waiting.popleft()
        return SimSocket(self._system, self.family, end), end.peer_address

    def connect(self, address: tuple[str, int] | str) -> None:
        """Begin to connect; in the background, but for a Unix socket."""
        self._system.points.reach("connect")
        if isinstance(address, str):
            self._end = self._kernel.connect_beside(self._host, _place(address), self._touch)
            return
        self._end = self._kernel.connect(self._host, address[0], address[1], self._touch)
        self._bound = self._end.address
        raise BlockingIOError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS))

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """How many bytes were taken."""
        if self._is_short("send"):
            data = bytes(data[:1])
        return self._stand().send(data)

    def sendmsg(self, buffers: "list[bytes | bytearray | memoryview]") -> int:
        """The same for several buffers."""
        return self.send(b"".join(buffers))

    def recv(self, count: int, flags: int = 0) -> bytes:
        """Bytes that came, b"" at the end."""
        count = 1 if self._is_short("recv") else count
        return self._stand().receive(count, is_peek=bool(flags & socket.MSG_PEEK))

    def recv_into(self, buffer: bytearray | memoryview, count: int = 0, flags: int = 0) -> int:
        """How many bytes came."""
        is_short = self._is_short("recv")
        with memoryview(buffer) as view:
            data = self._stand().receive(1 if is_short else count or len(view), is_peek=bool(flags & socket.MSG_PEEK))
            view[: len(data)] = data
        return len(data)

    def shutdown(self, how: int) -> None:
        """End our side."""
        self._system.points.reach("shutdown")
        if how != socket.SHUT_RD:
            self._stand().shut()

    def close(self) -> None:
        """Give it up; what is queued still goes out, if the peer may have it."""
        if self._is_closed:
            return
        self._is_closed = True
        self._system.sockets.pop(self._number, None)
        self._system.forget(self._number)
        if self._listener is not None:
            self._kernel.unlisten(self._listener)
        if self._end is not None:
            self._end.close()

    def detach(self) -> int:
        """Only asyncio's sendfile wants this; ours does not."""
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    def getsockname(self) -> tuple[str, int]:
        """Our address."""
        self._system.points.reach("getsockname")
        return self._bound or (self._host, 0)

    def getpeername(self) -> tuple[str, int]:
        """The other side's."""
        end = self._stand()
        if not end.is_connected:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return end.peer_address

    def getsockopt(self, level: int, option: int, size: int = 0) -> int:
        """The pending error, or nothing much."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR) and self._end is not None:
            self._system.points.reach("connected")
            return self._end.take_error()
        return 0

    def setsockopt(self, level: int, option: int, value: int | bytes = 0, size: int = 0) -> None:
        """Only the hard close and the low water of reads change what happens here."""
        is_nodelay = (level, option) == (socket.IPPROTO_TCP, socket.TCP_NODELAY)
        self._system.points.reach("nodelay" if is_nodelay else "setsockopt")
        if (level, option) == (socket.SOL_SOCKET, socket.SO_RCVLOWAT) and self._end is not None:
            self._end.low_water = int.from_bytes(value, sys.byteorder) if isinstance(value, bytes) else value
            self._touch()
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER) and isinstance(value, bytes):
            wanted, seconds = struct.unpack("ii", value)
            if wanted and not seconds and self._end is not None:
                self._end.linger_none()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as in the standard library
        """Nothing ever blocks."""

    def settimeout(self, seconds: float | None) -> None:
        """Nothing ever blocks."""

    def gettimeout(self) -> float:
        """Nothing ever blocks."""
        return 0.0

    def _is_short(self, name: str) -> bool:
        try:
            self._system.points.reach(name)
        except Short:
            return True
        return False

    def _stand(self) -> End:
        if self._is_closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self._end is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._end


@final
class System:
    """The system calls of all hosts: which sockets are open, and who waits for which."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel: Final = kernel
        self.points: Final = Points()
        self.sockets: Final[dict[int, SimSocket]] = {}
        self.opened: Final[dict[str, int]] = {}
        """Sockets that each host ever had."""
        self.touch: Callable[[int], None] = _nobody
        self.forget: Callable[[int], None] = _nobody
        self.has_beside = False
        """Whether there are Unix sockets."""
        self.has_failing_files = False
        """Whether operations of files are points, too."""
        self.disk_error = 0
        """What the disk says when something is to be made durable."""
        self.accept_errors: Final[dict[str, list[int]]] = {}
        """Errors that the next accepts of a host have."""
        self._numbers = FIRST_NUMBER

    def next_number(self) -> int:
        """A descriptor never used before."""
        self._numbers += 1
        return self._numbers

    def trace_socket(self, host: str, number: int) -> None:
        """Count one more."""
        self.opened[host] = self.opened.get(host, 0) + 1

    def trouble(self, what: str, host: str) -> None:
        """Fail an accept that was meant to fail."""
        errors = self.accept_errors.get(host)
        if errors:
            error = errors.pop(0)
            self.kernel.say(f"{what} at {host} fails: {errno.errorcode[error]}")
            raise OSError(error, os.strerror(error))

    def socket(
        self,
        family: int = socket.AF_INET,
        type: int = socket.SOCK_STREAM,  # noqa: A002 - as in the standard library
        proto: int = 0,
        fileno: object = None,
    ) -> SimSocket:
        """A new socket of the host where the caller stands."""
        self.points.reach("socket")
        if family == socket.AF_UNIX and not self.has_beside:
            # Without a control plane nobody asks the server anything from beside it.
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return SimSocket(self, family)

    def synced(self, name: str) -> Callable[[int], None]:
        """A call that makes something durable; it costs nothing while no file is to fail, as this machine goes on."""

        def sync(number: int) -> None:
            if self.disk_error:
                raise OSError(self.disk_error, os.strerror(self.disk_error))
            if self.has_failing_files:
                getattr(os, name)(number)

        return sync

    def unsent(self, number: int) -> int:
        """TIOCOUTQ of a descriptor."""
        found = self.sockets.get(number)
        return 0 if found is None or found.end is None else found.end.unacknowledged

    def open_at(self, host: str) -> list[SimSocket]:
        """Sockets that a host has open."""
        return [each for each in self.sockets.values() if each.host == host]


def _place(path: str) -> str:
    """The name of a Unix socket, whichever way leads there."""
    return str(Path(path).parent.resolve() / Path(path).name)


def _nobody(number: int) -> None:
    """Nobody waits yet."""


__all__ = ["EPHEMERAL", "PRODUCT", "SimSocket", "System"]
