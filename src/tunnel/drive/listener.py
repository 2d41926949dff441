"""The door for agents: accepts TCP connections and completes TLS on each, as tasks that this listener owns.

Not `create_server(ssl=...)`: there a connection in its handshake is known to nobody, so it could be neither counted,
nor named in a log when it fails, nor closed when the server ends.
"""

import asyncio
import socket
import ssl
from typing import Final, Protocol, final

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.drive.address import Address
from tunnel.drive.guard import guarded
from tunnel.drive.link import Link
from tunnel.observe.escapes import note_escape

_BACKLOG: Final = 1024
_PAUSE_SECONDS: Final = 0.25
"""Before accepting again when the system is out of descriptors or memory; a busy loop would not free any."""


class Guest(Protocol):
    """One accepted connection on its way to becoming a link."""

    @property
    def link(self) -> Link:
        """Gets the TLS connection."""

    def on_handshake_failed(self, detail: str) -> None:
        """There is no TLS; the connection is gone."""


class Reception(Protocol):
    """Who takes new connections in."""

    def receive_guest(self, peer: Address) -> Guest | None:
        """Who a new connection becomes, or None to drop it unheard."""


async def listening_sockets(at: Address) -> Outcome[list[socket.socket], str]:
    """Bound sockets for every address that `at` names, on one port; the system's reason when one cannot be had."""
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    port = at.port
    try:
        found = await loop.getaddrinfo(at.host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, name in dict.fromkeys(found):
            made = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(made)
            made.settimeout(0)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((name[0], port, *name[2:]))
            made.listen(_BACKLOG)
            port = int(made.getsockname()[1])
    except (OSError, UnicodeError) as cause:
        for made in sockets:
            made.close()
        return Failure(getattr(cause, "strerror", None) or str(cause))
    return Success(sockets)


@final
class TlsListener:
    """Accepts until `stop`; finished once `hang_up` has returned."""

    def __init__(
        self, sockets: list[socket.socket], context: ssl.SSLContext, limits: Limits, reception: Reception
    ) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._sockets: Final = sockets
        self._context: Final = context
        self._limits: Final = limits
        self._reception: Final = reception
        self._accepting: Final = [self._loop.create_task(self._accept(each)) for each in sockets]
        self._handshakes: Final[set[asyncio.Task[None]]] = set()
        for task in self._accepting:
            task.add_done_callback(self._on_ended)

    @property
    def port(self) -> int:
        """Where it really listens: a port of 0 was the system's to choose."""
        return int(self._sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Accept nothing more; handshakes go on."""
        for task in self._accepting:
            task.cancel()

    async def hang_up(self) -> None:
        """Stop, end the handshakes, too, and return when no task of this listener is left."""
        self.stop()
        await asyncio.wait(self._accepting)
        # A handshake that has not had its first step cannot be cancelled cleanly by uvloop; one turn gives it that.
        await asyncio.sleep(0)
        for task in self._handshakes:
            task.cancel()
        if self._handshakes:
            await asyncio.wait(self._handshakes)

    def abort_session(self) -> None:
        """Nothing: what could not be received is dropped by the guard, and the next one is accepted."""

    async def _accept(self, listening: socket.socket) -> None:
        try:
            while True:
                try:
                    accepted, name = await self._loop.sock_accept(listening)
                except OSError:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                self._receive(accepted, Address(str(name[0]), int(name[1])))
        finally:
            listening.close()

    @guarded
    def _receive(self, accepted: socket.socket, peer: Address) -> None:
        guest = self._reception.receive_guest(peer)
        if guest is None:
            accepted.close()
            return
        task = self._loop.create_task(self._shake_hands(guest, accepted))
        self._handshakes.add(task)
        task.add_done_callback(self._on_ended)

    async def _shake_hands(self, guest: Guest, accepted: socket.socket) -> None:
        detail = "the connection was lost during the TLS handshake"
        try:
            await self._loop.connect_accepted_socket(
                lambda: guest.link,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake_seconds_max,
            )
        except ssl.SSLError as cause:
            detail = f"TLS failed: {cause.reason or cause}"
        except OSError as cause:
            detail = cause.strerror or str(cause) or detail
        finally:
            # An abort during the handshake looks like success to the waiter, so the link itself is asked.
            if not guest.link.is_up and not guest.link.is_gone:
                guest.on_handshake_failed(detail)

    @guarded
    def _on_ended(self, task: asyncio.Task[None]) -> None:
        """A task of this listener is over; what nobody foresaw is counted and not lost with it."""
        self._handshakes.discard(task)
        escaped = None if task.cancelled() else task.exception()
        if escaped is not None:
            note_escape("TlsListener", escaped)
