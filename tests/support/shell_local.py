"""Local services behind an agent: each connection is given to a handler, and none outlives its test."""

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import final

from tests.support.shell_world import LOOPBACK, until

from tunnel.drive.address import Address

Handler = Callable[["Connection"], Awaitable[None]]


@final
class Connection:
    """One connection of the agent to the local service."""

    def __init__(self, service: "Service", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.service = service
        self.number = len(service.connections)
        self.reader = reader
        self.writer = writer
        self.ended = asyncio.Event()
        """Set when the agent's side is known to be over: end of file or reset."""

    async def request(self) -> tuple[bytes, dict[bytes, bytes]]:
        """The next head: its first line and its fields by lower-case name; b"" when there is none."""
        try:
            raw = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()
            return b"", {}
        first, *lines = raw[:-4].split(b"\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(b": ")
            fields[name.lower()] = value
        self.service.heads.append(raw)
        return first, fields

    async def body(self, fields: dict[bytes, bytes]) -> bytes:
        """The body of declared length."""
        return await self.reader.readexactly(int(fields.get(b"content-length", b"0")))

    async def send(self, data: bytes) -> None:
        """Return once the bytes are on their way."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes, status: bytes = b"200 OK", *fields: bytes) -> None:
        """A whole response."""
        lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields]
        await self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    async def until_ended(self) -> bytes:
        """Everything until the agent's side is over."""
        parts: list[bytes] = []
        with suppress(ConnectionError):
            while part := await self.reader.read(1 << 16):
                parts.append(part)
        self.ended.set()
        return b"".join(parts)

    async def delivered(self) -> None:
        """Return once the agent's machine has everything that was sent: a reset would drop what is still here."""
        descriptor = self.writer.get_extra_info("socket").fileno()

        def is_out() -> bool:
            waiting = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
            return int(waiting) == 0 and self.writer.transport.get_write_buffer_size() == 0

        await until(is_out)
        assert is_out()

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@final
class Service:
    """A local service that is listening."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.address = Address(LOOPBACK, 0)
        self.connections: list[Connection] = []
        self.heads: list[bytes] = []
        self.errors: list[BaseException] = []
        self._connected = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        """Accept from now on; `address` says where."""
        self._server = await asyncio.start_server(self._take, LOOPBACK, port, ssl=context, backlog=2048)
        self.address = Address(LOOPBACK, int(self._server.sockets[0].getsockname()[1]))

    async def connection(self, number: int = 1) -> Connection:
        """The connection with this number, counted from 1, once it is there."""
        while len(self.connections) < number:
            self._connected.clear()
            await self._connected.wait()
        return self.connections[number - 1]

    async def stop(self) -> None:
        """Accept nothing, and end what runs."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(self, reader, writer)
        self.connections.append(connection)
        self._connected.set()
        try:
            await self.handler(connection)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except BaseException as cause:  # noqa: BLE001 - told by `serving`, where the test sees it
            self.errors.append(cause)
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
    """A local service for the time of a test."""
    service = Service(handler)
    await service.start(context)
    try:
        yield service
    finally:
        await service.stop()
    assert service.errors == []


async def hello(connection: Connection) -> None:
    """Answers every request with its own first line."""
    while True:
        first, fields = await connection.request()
        if not first:
            return
        await connection.body(fields)
        await connection.answer(first)
