"""From an accepted socket to a transport: the moment in which a connection belongs to nobody but an attempt of ours."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Final, Protocol, final

from tunnel.drive.guard import guarded
from tunnel.drive.handshake import secure
from tunnel.drive.secure import Secured
from tunnel.observe.escapes import note_escape

_LOST: Final = "the connection was lost"


class Newcomer(Protocol):
    """Who a connection becomes."""

    def on_handed_over(self, detail: str) -> None:
        """The attempt is over, in whatever way; `detail` is why there is no connection, unless there is one."""


@final
class Handovers:
    """The attempts that run. Finished once `hang_up` has returned."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._running: Final[set[asyncio.Future[None]]] = set()

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
        if context is None:
            _Adoption(self._loop.connect_accepted_socket(protocol, accepted), newcomer, self._running).begin()
        else:
            self._run(self._hand_over(accepted, protocol, context, newcomer, seconds))

    def secure(
        self, accepted: socket.socket, link: Secured, context: ssl.SSLContext, newcomer: Newcomer, seconds: float
    ) -> None:
        """Give the socket to a link, behind TLS of its own; the newcomer hears when that is done."""
        self._run(self._secure(accepted, link, context, newcomer, seconds))

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
        context: ssl.SSLContext,
        newcomer: Newcomer,
        seconds: float,
    ) -> None:
        detail = "the connection was lost during the TLS handshake"
        try:
            await self._loop.connect_accepted_socket(protocol, accepted, ssl=context, ssl_handshake_timeout=seconds)
        except ssl.SSLError as cause:
            detail = f"TLS failed: {cause.reason or cause}"
        except OSError as cause:
            detail = cause.strerror or str(cause) or detail
        finally:
            # An abort during the handshake looks like success to the waiter, so the newcomer itself must know.
            newcomer.on_handed_over(detail)

    async def _secure(
        self, accepted: socket.socket, link: Secured, context: ssl.SSLContext, newcomer: Newcomer, seconds: float
    ) -> None:
        detail = "the connection was lost during the TLS handshake"
        try:
            async with asyncio.timeout(seconds):
                await secure(self._loop, accepted, context, link, None)
        except ssl.SSLError as cause:
            detail = f"TLS failed: {cause.reason or cause}"
        except TimeoutError as cause:
            detail = cause.strerror or "the TLS handshake took too long"
        except OSError as cause:
            detail = cause.strerror or str(cause) or detail
        finally:
            newcomer.on_handed_over(detail)

    def _run(self, attempt: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(attempt)
        self._running.add(task)
        task.add_done_callback(self._on_ended)

    @guarded
    def _on_ended(self, task: asyncio.Task[None]) -> None:
        """An attempt is over; what nobody foresaw is counted and not lost with it."""
        self._running.discard(task)
        escaped = None if task.cancelled() else task.exception()
        if escaped is not None:
            note_escape("Handovers", escaped)


@final
class _Adoption:
    """Takes both steps of an attempt without TLS by hand: a task for each plain visitor would cost more than they do.

    The first makes the transport and ends where its connection is awaited; the second is left to be told of it.
    """

    def __init__(
        self, attempt: Coroutine[object, object, object], newcomer: Newcomer, running: set[asyncio.Future[None]]
    ) -> None:
        self._attempt: Final = attempt
        self._newcomer: Final = newcomer
        self._running: Final = running

    def begin(self) -> None:
        """Take the first step; whoever hangs up cancels what is awaited then."""
        try:
            awaited = self._attempt.send(None)
        except OSError as cause:
            self._newcomer.on_handed_over(_reason(cause))
            return
        if isinstance(awaited, asyncio.Future):
            self._running.add(awaited)
            awaited.add_done_callback(self._on_awaited)
        else:
            # No loop that we know of; one that did could not be waited for from here.
            self._attempt.close()
            self._newcomer.on_handed_over(_LOST)

    def abort_session(self) -> None:
        """Nothing: what escaped here is counted, and the newcomer has heard that it is over."""

    @guarded
    def _on_awaited(self, awaited: "asyncio.Future[None]") -> None:
        """The connection stands, or was given up; the attempt hears of it, and is over."""
        self._running.discard(awaited)
        detail = _LOST
        try:
            self._attempt.send(None)
        except (asyncio.CancelledError, StopIteration):
            pass
        except OSError as cause:
            detail = _reason(cause)
        finally:
            self._newcomer.on_handed_over(detail)


def _reason(cause: OSError) -> str:
    return cause.strerror or str(cause) or _LOST
