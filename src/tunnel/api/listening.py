"""Serving an ASGI application with uvicorn inside a loop that is ours: no signals, no sockets of its own, no log lines.

Why uvicorn, and what it is told not to do: docs/adr/0071.
"""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, final

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from tunnel.core.base.limits import KIB

_CONNECTIONS_MAX: Final = 256
"""Requests and connections at once; people and their scripts need a few. Above it uvicorn answers 503 by itself."""
_HEAD_BYTES_MAX: Final = 64 * KIB
_IDLE_SECONDS: Final = 15
_END_SECONDS: Final = 2
"""What running requests get once the end has been asked for; streams of events would otherwise hold it up."""


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
        http="h11",
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
