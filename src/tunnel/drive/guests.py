"""Guests at a Unix socket: each a conversation in a task of its own, known from the moment it is accepted to its end.

Not `start_unix_server`: what asyncio accepts in the turn in which it closes is left to the garbage collection, and an
accept for which there was no descriptor is tried again a second later, by then perhaps of a socket that is closed.
"""

import asyncio
import socket
from typing import Final, Protocol, final

from tunnel.drive.address import Address
from tunnel.drive.guard import guarded
from tunnel.drive.listener import Listener
from tunnel.observe.escapes import note_escape


class Host(Protocol):
    """Who converses with guests."""

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The whole conversation with one; the connection is dropped after it, unless it is closing by then."""


@final
class Guests:
    """Whoever is connected to one listening socket, which is ours from here on. Finished once `close` has returned."""

    def __init__(self, listening: socket.socket, host: Host, line_bytes_max: int, guests_max: int) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._host: Final = host
        self._line_bytes_max: Final = line_bytes_max
        self._guests_max: Final = guests_max
        self._running: Final[set[asyncio.Task[None]]] = set()
        self._listener: Final = Listener([listening], self)

    @property
    def count(self) -> int:
        """How many are there."""
        return len(self._running)

    def receive(self, accepted: socket.socket, peer: Address) -> None:
        """Attend to one more, or hang up when there are as many as may be."""
        if self.count >= self._guests_max:
            accepted.close()
            return
        task = self._loop.create_task(self._attend(accepted))
        self._running.add(task)
        task.add_done_callback(self._on_ended)

    def abort_session(self) -> None:
        """Nothing: what escaped from one conversation is counted and ends no other."""

    async def close(self) -> None:
        """Let nobody in, hang up on everybody, and return when nobody is left."""
        self._listener.stop()
        # A task that has not had its first step would be cancelled without its socket; one turn gives it that.
        await asyncio.sleep(0)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _attend(self, accepted: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(sock=accepted, limit=self._line_bytes_max)
        except OSError:
            accepted.close()
            return
        try:
            await self._host.attend(reader, writer)
        finally:
            if not writer.is_closing():
                writer.transport.abort()

    @guarded
    def _on_ended(self, task: asyncio.Task[None]) -> None:
        """A conversation is over; what nobody foresaw is counted and not lost with it."""
        self._running.discard(task)
        escaped = None if task.cancelled() else task.exception()
        if escaped is not None:
            note_escape("Guests", escaped)
