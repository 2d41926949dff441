"""A relay before a Postgres that cuts the connection at a COMMIT, let through or not: a client cannot tell which."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, final

from tests.support.postgres import PostgresServer

COMMIT: Final = b"COMMIT\x00"
"""The statement in a message of the protocol; READ COMMITTED goes on differently."""


@final
class Relay:
    """Passes bytes on; when `cuts` is set, the next COMMIT ends its connection."""

    def __init__(self, socket: Path) -> None:
        self._socket: Final = socket
        self._serving: Final[list[asyncio.Task[None] | None]] = []
        self._open: Final[list[asyncio.StreamWriter]] = []
        self.cuts = False
        self.lets_through = False

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection, until either end is done or nobody needs the relay any more."""
        self._serving.append(asyncio.current_task())
        server, onward = await asyncio.open_unix_connection(self._socket)
        self._open.extend((back, onward))
        answers = asyncio.create_task(_pass_on(server, back))
        try:
            commit = await self._pass_on_until_cut(client, onward)
            answers.cancel()
            await asyncio.wait({answers})
            if commit and self.lets_through:
                onward.write(commit)
                await server.read(1)  # done, and nobody is told
        finally:
            answers.cancel()
            onward.close()
            back.close()

    async def end(self) -> None:
        """Ends what is still open; nothing is cancelled, which `asyncio.start_server` would take for a defect."""
        for writer in self._open:
            writer.close()
        serving = {task for task in self._serving if task is not None}
        if serving:
            await asyncio.wait(serving)

    async def _pass_on_until_cut(self, client: asyncio.StreamReader, onward: asyncio.StreamWriter) -> bytes:
        """The bytes with the COMMIT that was kept back; none when either end ended the connection."""
        with suppress(ConnectionError):
            while data := await client.read(1 << 16):
                if self.cuts and COMMIT in data:
                    self.cuts = False
                    return data
                onward.write(data)
        return b""


async def _pass_on(server: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await server.read(1 << 16):
            back.write(data)
    back.close()


@asynccontextmanager
async def relayed(server: PostgresServer) -> AsyncIterator[tuple[Relay, int]]:
    """A relay in front of the server, and its port."""
    relay = Relay(server.socket_path)
    listener = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    port: int = listener.sockets[0].getsockname()[1]
    try:
        yield relay, port
    finally:
        listener.close()
        await relay.end()
