"""A visitor over TLS, step by step: what is sent when is the test's to say."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import final

from tests.support.shell_visitor import Visitor
from tests.support.shell_world import PATIENCE, World


def trusting(authority: Path, *protocols: str) -> ssl.SSLContext:
    """A client that trusts this authority alone, and offers these protocols."""
    context = ssl.create_default_context(cafile=str(authority))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@asynccontextmanager
async def secure_visitor(
    world: World, context: ssl.SSLContext | None = None, name: str = "localhost"
) -> AsyncIterator[Visitor]:
    """A connection to the TLS port, closed afterwards; the server is verified as `name`."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(
            world.agents.host, world.agents.port, ssl=context or trusting(world.authority, "http/1.1"),
            server_hostname=name,
        )  # fmt: skip
    try:
        yield Visitor(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


@final
class Handshake:
    """A TLS client whose bytes the test carries."""

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    def step(self, received: bytes = b"") -> bytes:
        """What is to be sent once these bytes have come."""
        self._incoming.write(received)
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    @property
    def is_done(self) -> bool:
        """Whether the handshake is over."""
        return self._tls.version() is not None and self._tls.cipher() is not None
