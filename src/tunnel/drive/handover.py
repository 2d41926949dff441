"""From an accepted socket to a transport: the moment in which a connection belongs to nobody but a task of ours."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, Protocol, final

from tunnel.drive.guard import guarded
from tunnel.observe.escapes import note_escape


class Newcomer(Protocol):
    """Who a connection becomes."""

    def on_handed_over(self, detail: str) -> None:
        """The attempt is over, in whatever way; `detail` is why there is no connection, unless there is one."""


@final
class Handovers:
    """The attempts that run. Finished once `hang_up` has returned."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._running: Final[set[asyncio.Task[None]]] = set()

    def hand_over(
        self,
        accepted: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext | None,
        newcomer: Newcomer,
        seconds: float,
    ) -> None:
        """Give the socket to `protocol`, behind TLS when there is a context; the newcomer hears when that is done.

        A handshake may take so many `seconds`.
        """
        within = None if context is None else seconds
        task = self._loop.create_task(self._hand_over(accepted, protocol, context, newcomer, within))
        self._running.add(task)
        task.add_done_callback(self._on_ended)

    async def none_left(self) -> None:
        """Return once the attempts that run now have ended by themselves."""
        if self._running:
            await asyncio.wait(self._running)

    async def hang_up(self) -> None:
        """End the attempts that run, and return when none is left."""
        # An attempt that has not had its first step cannot be cancelled cleanly by uvloop; one turn gives it that.
        await asyncio.sleep(0)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def abort_session(self) -> None:
        """Nothing: what escaped from one attempt is counted and ends no other."""

    async def _hand_over(
        self,
        accepted: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext | None,
        newcomer: Newcomer,
        seconds: float | None,
    ) -> None:
        detail = "the connection was lost" if context is None else "the connection was lost during the TLS handshake"
        try:
            await self._loop.connect_accepted_socket(protocol, accepted, ssl=context, ssl_handshake_timeout=seconds)
        except ssl.SSLError as cause:
            detail = f"TLS failed: {cause.reason or cause}"
        except OSError as cause:
            detail = cause.strerror or str(cause) or detail
        finally:
            # An abort during the handshake looks like success to the waiter, so the newcomer itself must know.
            newcomer.on_handed_over(detail)

    @guarded
    def _on_ended(self, task: asyncio.Task[None]) -> None:
        """An attempt is over; what nobody foresaw is counted and not lost with it."""
        self._running.discard(task)
        escaped = None if task.cancelled() else task.exception()
        if escaped is not None:
            note_escape("Handovers", escaped)
