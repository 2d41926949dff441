"""Listening: sockets are bound here and served here, as two steps, so that they may also come from somewhere else.

Not `create_server`: where it runs out of descriptors libuv closes what it accepted without a word, and a connection
in its TLS handshake is known to nobody, so it could be neither counted, nor named in a log, nor closed at the end.
"""

import asyncio
import socket
from dataclasses import dataclass
from typing import Final, Protocol, final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.drive.address import Address
from tunnel.drive.guard import guarded

_BACKLOG: Final = 1024
_BATCH: Final = 64
"""Connections taken in one turn of the loop; a flood of them must not hold up those that stand."""
_PAUSE_SECONDS: Final = 0.25
"""Before accepting again when the system is out of descriptors or memory; a busy loop would not free any."""


class Reception(Protocol):
    """Who takes new connections in."""

    def receive(self, accepted: socket.socket, peer: Address) -> None:
        """A new connection, which belongs to the reception from here on: it is closed by it, too."""


@final
@dataclass(frozen=True, slots=True)
class Place:
    """An address of this machine, without a port."""

    family: int
    host: str
    scope: int


async def places_of(at: Address) -> Outcome[list[Place], str]:
    """Every address that `at` names; the system's reason when it knows none."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(at.host or None, at.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as cause:
        return Failure(_reason(cause))
    return Success(list(dict.fromkeys(_place_of(family, name) for family, _, _, _, name in found)))


def bind(places: list[Place], port: int, *, reuse_port: bool = False) -> Outcome[list[socket.socket], str]:
    """A listening socket at each place, all on one port; none is left when one cannot be had.

    With `reuse_port` other processes of the same user may listen there, too, and the system spreads what comes.
    """
    sockets: list[socket.socket] = []
    try:
        for place in places:
            made = socket.socket(place.family, socket.SOCK_STREAM)
            sockets.append(made)
            made.settimeout(0)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if place.family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                made.bind((place.host, port, 0, place.scope))
            else:
                made.bind((place.host, port))
            made.listen(_BACKLOG)
            port = int(made.getsockname()[1])
    except OSError as cause:
        for made in sockets:
            made.close()
        return Failure(_reason(cause))
    return Success(sockets)


def places_beside(sockets: list[socket.socket]) -> list[Place]:
    """Where these sockets listen, for others on another port."""
    return list(dict.fromkeys(_place_of(each.family, each.getsockname()) for each in sockets))


def address_of(sockets: list[socket.socket], asked: str) -> Address:
    """Where they really listen, by the host that was asked for: a port of 0 was the system's to choose."""
    return Address(asked, int(sockets[0].getsockname()[1]))


@final
class Listener:
    """Accepts until `stop`, which also closes the sockets."""

    def __init__(self, sockets: list[socket.socket], reception: Reception) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._sockets: Final = sockets
        self._reception: Final = reception
        self._pauses: Final[dict[socket.socket, asyncio.TimerHandle]] = {}
        for each in sockets:
            each.settimeout(0)
            self._loop.add_reader(each, self._on_readable, each)

    def stop(self) -> None:
        """Accept nothing more; what was accepted is not touched. A second call does nothing."""
        for each in self._sockets:
            pause = self._pauses.pop(each, None)
            if pause is None:
                self._loop.remove_reader(each)
            else:
                pause.cancel()
            each.close()
        self._sockets.clear()

    def abort_session(self) -> None:
        """Nothing: what could not be received is dropped by the guard, and the next one is accepted."""

    @guarded
    def _on_readable(self, listening: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                accepted, name = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._pause(listening)
                return
            accepted.settimeout(0)
            self._receive(accepted, _peer_of(name))
            if listening.fileno() < 0:
                return  # whoever received it stopped us

    @guarded
    def _receive(self, accepted: socket.socket, peer: Address) -> None:
        self._reception.receive(accepted, peer)

    def _pause(self, listening: socket.socket) -> None:
        self._loop.remove_reader(listening)
        self._pauses[listening] = self._loop.call_later(_PAUSE_SECONDS, self._resume, listening)

    @guarded
    def _resume(self, listening: socket.socket) -> None:
        self._pauses.pop(listening, None)
        self._loop.add_reader(listening, self._on_readable, listening)


def _peer_of(name: object) -> Address:
    """Who connected; whoever came by a Unix socket has no address."""
    return Address(str(name[0]), int(name[1])) if isinstance(name, tuple) else Address("", 0)


def _place_of(family: int, name: tuple[object, ...]) -> Place:
    """An IPv6 name is host, port, flow and scope; others have no scope."""
    host, *rest = name
    scope = rest[2] if family == socket.AF_INET6 else 0
    return Place(family, str(host), scope if isinstance(scope, int) else 0)


def _reason(cause: Exception) -> str:
    return getattr(cause, "strerror", None) or str(cause)
