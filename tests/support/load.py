"""Constant load for a deploy that nobody is to notice: keep-alive requests, one-shot ones, WebSocket echoes, downloads.

Every kind runs until it is told to stop and counts; anything but the answer that was owed is kept as a failure, with
the moment and the kind.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, final

from tests.support.shell_local import Connection
from tests.support.shell_visitor import CutShort, Visitor, get, post, visitor
from tests.support.shell_world import World

CHUNK: Final = bytes(range(256)) * 64
CHUNKS: Final = 24
PAUSE_SECONDS: Final = 0.02
"""Between two pieces of a download, which so takes half a second: less than any grace period, more than a move."""
ECHOES: Final = 40


async def service(connection: Connection) -> None:
    """What is asked for by its path: an answer, an echo, a slow download, or an upgraded echo."""
    while True:
        first, fields = await connection.request()
        if not first:
            return
        body = await connection.body(fields)
        if first.startswith(b"GET /download"):
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(CHUNK) * CHUNKS)
            await connection.send(head)
            for _ in range(CHUNKS):
                await connection.send(CHUNK)
                await asyncio.sleep(PAUSE_SECONDS)
        elif first.startswith(b"GET /socket"):
            await connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            while part := await connection.reader.read(1 << 16):
                await connection.send(part)
            return
        else:
            await connection.answer(hashlib.sha256(body).digest())


@final
class Load:
    """Visitors of every kind; finished after `ended`."""

    def __init__(self, world: World) -> None:
        self._world: Final = world
        self._stop: Final = asyncio.Event()
        self._tasks: Final[list[asyncio.Task[None]]] = []
        self.done: Final[Counter[str]] = Counter()
        self.failures: Final[list[str]] = []
        self.slowest = 0.0

    def start(self, kept: int, single: int, sockets: int, downloads: int) -> None:
        """So many of each kind at once."""
        kinds: list[tuple[str, int, Callable[[], Awaitable[None]]]] = [
            ("kept-alive", kept, self._kept_alive),
            ("single", single, self._single),
            ("socket", sockets, self._socket),
            ("download", downloads, self._download),
        ]
        for kind, count, run in kinds:
            self._tasks.extend(asyncio.create_task(self._repeat(kind, run)) for _ in range(count))

    async def ended(self) -> None:
        """Let each finish what it is at."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _repeat(self, kind: str, run: Callable[[], Awaitable[None]]) -> None:
        while not self._stop.is_set():
            try:
                await run()
            except (CutShort, OSError, EOFError, TimeoutError, AssertionError) as cause:
                self.failures.append(f"{time.monotonic():.2f} {kind}: {type(cause).__name__} {cause}")

    async def _kept_alive(self) -> None:
        """Requests on one connection until the server says that it closes it: what a good client does."""
        async with visitor(self._world) as one:
            number = 0
            while not self._stop.is_set():
                number += 1
                body = b"%d" % number * 100
                closes = await self._exchange(one, post(self._world, body), hashlib.sha256(body).digest())
                self.done["kept-alive"] += 1
                if closes:
                    return

    async def _single(self) -> None:
        async with visitor(self._world) as one:
            asked = get(self._world, "/", "demo", "Connection: close")
            await self._exchange(one, asked, hashlib.sha256(b"").digest())
            self.done["single"] += 1

    async def _download(self) -> None:
        async with visitor(self._world) as one:
            await self._exchange(one, get(self._world, "/download"), CHUNK * CHUNKS)
            self.done["download"] += 1

    async def _socket(self) -> None:
        async with visitor(self._world) as one:
            await one.send(get(self._world, "/socket", "demo", "Connection: Upgrade", "Upgrade: echo"))
            status, _ = await one.head()
            assert status == 101, status
            for number in range(ECHOES):
                word = b"%08d" % number
                await one.send(word)
                assert await one.exactly(len(word)) == word
                with suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE_SECONDS):
                        await self._stop.wait()
            self.done["socket"] += 1

    async def _exchange(self, one: Visitor, asked: bytes, owed: bytes) -> bool:
        begun = time.monotonic()
        await one.send(asked)
        answer = await one.answer()
        if b"download" not in asked:
            self.slowest = max(self.slowest, time.monotonic() - begun)
        assert answer.status == 200, (answer.status, answer.fields.get("x-tunnel-error", ""), answer.body[:200])
        assert answer.body == owed, "another body than was owed"
        return answer.fields.get("connection") == "close"
