"""A look at the first bytes of an accepted connection that leaves them where they are, for whoever goes on with it."""

import asyncio
import socket
from contextlib import suppress
from typing import Final, Protocol, final

from tunnel.drive.guard import guarded

_AGAIN_SECONDS: Final = 0.05
"""Before looking again where the system called the socket readable although nothing was added: the peer has ended its
side in the middle, memory is short, or the system does not know SO_RCVLOWAT. A busy loop would not bring more."""


class Looker(Protocol):
    """Who wants to see."""

    def on_look(self, seen: bytes) -> None:
        """Everything that has come, from the first byte on; more of it each time, until `stop`."""

    def on_nothing_to_see(self) -> None:
        """The connection ended or broke; the peek has stopped."""

    def abort_session(self) -> None:
        """End at once."""


@final
class Peek:
    """Shows its owner the beginning of what a peer sends. Finished after `stop`; the socket stays open."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, looker: Looker, bytes_max: int) -> None:
        self._loop: Final = loop
        self._sock: Final = sock
        self._looker: Final = looker
        self._bytes_max: Final = bytes_max
        self._seen = 0
        self._pause: asyncio.TimerHandle | None = None
        self._is_over = False
        loop.add_reader(sock, self._on_readable)

    def await_bytes(self, count: int) -> None:
        """Look again only when so many bytes are there, counted from the first; less would be of no use."""
        self._set_low_water(max(count, self._seen + 1))

    def stop(self) -> None:
        """Look no more; the socket is as it was. A second call does nothing."""
        if self._is_over:
            return
        self._is_over = True
        if self._pause is None:
            self._loop.remove_reader(self._sock)
        else:
            self._pause.cancel()
        self._set_low_water(1)

    def abort_session(self) -> None:
        """Pass an escape on to the owner, whose session it is."""
        self._looker.abort_session()

    @guarded
    def _on_readable(self) -> None:
        try:
            seen = self._sock.recv(self._bytes_max, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            seen = b""
        if not seen:
            self.stop()
            self._looker.on_nothing_to_see()
        elif len(seen) > self._seen:
            self._seen = len(seen)
            self._looker.on_look(seen)
        else:
            self._loop.remove_reader(self._sock)
            self._pause = self._loop.call_later(_AGAIN_SECONDS, self._look_again)

    @guarded
    def _look_again(self) -> None:
        self._pause = None
        if not self._is_over:
            self._loop.add_reader(self._sock, self._on_readable)

    def _set_low_water(self, count: int) -> None:
        with suppress(OSError):  # then the pause above is what keeps us from spinning
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
