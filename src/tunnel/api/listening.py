"""Serving an ASGI application with uvicorn inside a loop that is ours: no signals, no sockets of its own, no log lines.

Why uvicorn, and what it is told not to do: docs/adr/0071.
"""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, final

import h11
import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from tunnel.core.base.limits import KIB
from tunnel.drive.guard import guarded

_CONNECTIONS_MAX: Final = 256
"""Requests and connections at once; people and their scripts need a few. Above it uvicorn answers 503 by itself."""
_HEAD_BYTES_MAX: Final = 64 * KIB
HEAD_SECONDS_MAX: Final = 10.0
"""For a whole head, from the connection or its first byte on; as much as a body gets."""
_IDLE_SECONDS: Final = 15
_END_SECONDS: Final = 2
"""What running requests get once the end has been asked for; streams of events would otherwise hold it up."""


@final
class _Connection(H11Protocol):
    """One connection. A head has to be whole in time: uvicorn would wait for the rest of one for ever."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._late: asyncio.TimerHandle | None = self.loop.call_later(HEAD_SECONDS_MAX, self._on_late)

    @override
    @guarded
    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a head that is not whole give it no more time."""
        super().data_received(data)
        self._look()

    @override
    @guarded
    def on_response_complete(self) -> None:
        """Wait for the next head, with uvicorn's own deadline for connections that rest."""
        super().on_response_complete()
        self._look()

    @override
    @guarded
    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._wait_no_more()

    def abort_session(self) -> None:
        """End this connection and no other, after a defect of ours."""
        self.transport.abort()

    def _look(self) -> None:
        """Begin to wait where nothing else bounds how long a head takes; end it where one is whole."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._wait_no_more()
        elif self._late is None and self.timeout_keep_alive_task is None:
            self._late = self.loop.call_later(HEAD_SECONDS_MAX, self._on_late)

    def _wait_no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    @guarded
    def _on_late(self) -> None:
        """Close: who has not asked yet has nothing to be answered."""
        self._late = None
        self.transport.close()


@final
class _Embedded(uvicorn.Server):
    """A server whose process belongs to somebody else, signals included."""

    @override
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


async def serve_application(application: ASGIApp, sockets: list[socket.socket], stop: asyncio.Event) -> None:
    """Serve at these sockets until `stop` is set; they are closed, and no connection is left, when it returns."""
    config = uvicorn.Config(
        application,
        http=_Connection,
        ws="none",
        lifespan="off",
        loop="none",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS_MAX,
        h11_max_incomplete_event_size=_HEAD_BYTES_MAX,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_END_SECONDS,
    )
    server = _Embedded(config)

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        await server.serve(sockets)
    finally:
        ending.cancel()
