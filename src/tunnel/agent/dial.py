"""Connecting to the local service. `localhost` is looked up once; then where it led is remembered, and tried first."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, final

from tunnel.drive.address import Address

_LOCALHOST: Final = "localhost"
"""The one name that is remembered: whatever it resolves to is this machine."""


@final
class Dialler:
    """The way to one local service. It lives as long as its agent."""

    def __init__(self, service: Address, tls: ssl.SSLContext | None, loop: asyncio.AbstractEventLoop) -> None:
        self._service: Final = service
        self._tls: Final = tls
        self._loop: Final = loop
        self._server_name: Final = None if tls is None else service.host
        """Whom its certificate is for: the name that was configured, whatever address answers."""
        self._known = ""
        """Where `localhost` was reached last, of ::1 and 127.0.0.1; "" while nobody knows."""

    async def dial(self, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Give a new connection to `protocol`; raises what the loop's `create_connection` does when there is none."""
        if self._known and await self._is_still_there(protocol):
            return
        transport = await self._reach(self._service.host, protocol)
        peer: object = transport.get_extra_info("peername") if self._service.host == _LOCALHOST else None
        if isinstance(peer, tuple):
            self._known = str(peer[0])

    async def _is_still_there(self, protocol: Callable[[], asyncio.BaseProtocol]) -> bool:
        """Whether the service answers where `localhost` led last; else it may have moved to the other address.

        A resolver has a thread for each question, which costs more processor time than the connection.
        """
        try:
            await self._reach(self._known, protocol)
        except ssl.SSLError:
            raise
        except OSError:
            self._known = ""
            return False
        return True

    async def _reach(self, host: str, protocol: Callable[[], asyncio.BaseProtocol]) -> asyncio.BaseTransport:
        transport, _ = await self._loop.create_connection(
            protocol, host, self._service.port, ssl=self._tls, server_hostname=self._server_name
        )
        return transport
