"""A visitor at the public port: sends the bytes it is told to, and reads answers strictly enough to be a witness."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import final

from tests.support.shell_world import PATIENCE, World


@final
@dataclass(frozen=True)
class Answer:
    """One response: fields by lower-case name (the last one counts), and the body without its framing."""

    status: int
    fields: dict[str, str]
    body: bytes


@final
class CutShort(Exception):  # noqa: N818 - what happened, not whose fault it is
    """The connection ended before the answer was whole; what had come is the argument."""


@final
class Visitor:
    """One connection to the public port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Return once the bytes are on their way."""
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

    def end(self) -> None:
        """Send FIN; answers still come."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def read(self, count: int = 1 << 16) -> bytes:
        """What is there, once something is; nothing at the end."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read(count)

    async def exactly(self, count: int) -> bytes:
        """That many bytes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(count)

    async def to_the_end(self) -> bytes:
        """Everything until the connection ends, in whatever way."""
        parts: list[bytes] = []
        try:
            while part := await self.read():
                parts.append(part)
        except ConnectionError:
            pass
        return b"".join(parts)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and fields of the next response, interim ones included."""
        async with asyncio.timeout(PATIENCE):
            try:
                raw = await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as cause:
                raise CutShort(cause.partial) from cause
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(": ")
            fields[name.lower()] = value
        return int(first.split(" ")[1]), fields

    async def answer(self, method: str = "GET") -> Answer:
        """The next final response, whole; raises CutShort when it is not."""
        status, fields = await self.head()
        while status < 200 and status != 101:
            status, fields = await self.head()
        return Answer(status, fields, await self._body(method, status, fields))

    async def _body(self, method: str, status: int, fields: dict[str, str]) -> bytes:
        if method == "HEAD" or status in {101, 204, 304}:
            return b""
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(PATIENCE):
                if "chunked" in fields.get("transfer-encoding", ""):
                    await self._chunks(parts)
                elif "content-length" in fields:
                    parts.append(await self.reader.readexactly(int(fields["content-length"])))
                else:
                    while part := await self.reader.read(1 << 16):
                        parts.append(part)
        except asyncio.IncompleteReadError as cause:
            raise CutShort(b"".join([*parts, cause.partial])) from cause
        except ConnectionError as cause:
            raise CutShort(b"".join(parts)) from cause
        return b"".join(parts)

    async def _chunks(self, parts: list[bytes]) -> None:
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            if size == 0:
                await self.reader.readuntil(b"\r\n")
                return
            parts.append(await self.reader.readexactly(size))
            assert await self.reader.readexactly(2) == b"\r\n"


@asynccontextmanager
async def visitor(world: World) -> AsyncIterator[Visitor]:
    """A connection, closed afterwards."""
    reader, writer = await asyncio.open_connection(world.public.host, world.public.port)
    try:
        yield Visitor(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


def get(world: World, target: str = "/", name: str = "demo", *fields: str, method: str = "GET") -> bytes:
    """A request without a body."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {world.host(name).decode()}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def post(world: World, body: bytes, target: str = "/", name: str = "demo", *fields: str) -> bytes:
    """A request with a body of declared length."""
    return get(world, target, name, f"Content-Length: {len(body)}", *fields, method="POST") + body


async def fetched(world: World, target: str = "/", name: str = "demo", *fields: str) -> Answer:
    """One request on a connection of its own."""
    async with visitor(world) as one:
        await one.send(get(world, target, name, *fields))
        return await one.answer()
