"""A local service that holds requests until it is told to answer them all, as a process of its own.

    python -m bench.holding

It prints its port. `GET /hold/N` is held, `GET /held/COUNT` is answered once so many are, `GET /release` has all of
them answered, and whatever else is asked for is answered at once. Each answer's body is the path that was asked for.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, final

import uvloop
from bench.failure import BenchError
from bench.pair import LOOPBACK

_BACKLOG: Final = 4096
_START_SECONDS_MAX: Final = 30.0


@final
class _Service:
    """What all its connections share."""

    def __init__(self) -> None:
        self._held = 0
        self._news: Final = asyncio.Event()
        self._go_on: Final = asyncio.Event()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for as many requests as it brings."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ")[1]
                await self._until_due(path)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))
                await writer.drain()
        writer.transport.abort()

    async def _until_due(self, path: bytes) -> None:
        if path == b"/release":
            self._go_on.set()
        elif path.startswith(b"/hold/"):
            self._held += 1
            self._news.set()
            await self._go_on.wait()
        elif path.startswith(b"/held/"):
            while self._held < int(path.removeprefix(b"/held/")):
                self._news.clear()
                await self._news.wait()


@final
class Holding:
    """The service, as who measures sees it: past any tunnel."""

    def __init__(self, port: int) -> None:
        self.port: Final = port

    async def held(self, count: int) -> None:
        """Return once it holds so many."""
        await self._ask(f"/held/{count}")

    async def release(self) -> None:
        """Have them answered, and those that still come."""
        await self._ask("/release")

    async def _ask(self, path: str) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode("ascii"))
            await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.transport.abort()


@asynccontextmanager
async def holding() -> AsyncIterator[Holding]:
    """The service for the length of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.holding", stdout=asyncio.subprocess.PIPE
    )
    try:
        line = b"" if process.stdout is None else await asyncio.wait_for(process.stdout.readline(), _START_SECONDS_MAX)
        if not line:
            message = "the local service did not start"
            raise BenchError(message)
        yield Holding(int(line))
    finally:
        process.terminate()
        await process.wait()


async def _serve() -> None:
    server = await asyncio.start_server(_Service().take, LOOPBACK, 0, backlog=_BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
