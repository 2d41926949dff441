"""An agent made of raw bytes: real TLS, and whatever frames a test wants to send; it reads frames without our code."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from struct import Struct
from typing import Final, final

from tests.support.shell_world import PATIENCE, World

from tunnel.core.base.ids import EndpointId
from tunnel.core.link.codec import encode_message
from tunnel.core.link.messages import LINK_VERSION, Expose, Hello, Keep
from tunnel.core.token.token import TOKEN_BYTES, EndpointKind

DATA, UPDATE, PING, AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
CONTROL: Final = 1

_HEADER: Final = Struct(">BBHII")

Seen = tuple[int, int, int, int, bytes]
"""Kind, flags, stream, length, payload."""


def header(kind: int, flags: int, stream: int, length: int, version: int = 0) -> bytes:
    """Any header, sound or not."""
    return _HEADER.pack(version, kind, flags, stream, length)


def data(stream: int, payload: bytes, flags: int = 0) -> bytes:
    """A Data frame."""
    return header(DATA, flags, stream, len(payload)) + payload


def hello(token: bytes, instance: bytes = b"i" * 16) -> bytes:
    """The control stream opened, and the hello on it."""
    message = encode_message(Hello(LINK_VERSION, instance, token, "raw"))
    return header(UPDATE, SYN, CONTROL, 0) + data(CONTROL, message)


def half_a_hello() -> bytes:
    """The control stream opened, and a hello whose last byte is missing, in a whole frame."""
    message = encode_message(Hello(LINK_VERSION, b"i" * 16, b"t" * TOKEN_BYTES, "raw"))
    return header(UPDATE, SYN, CONTROL, 0) + data(CONTROL, message[:-1])


def expose(name: str, endpoint: int = 1) -> bytes:
    """Ask for a name on the control stream."""
    return data(CONTROL, encode_message(Expose(EndpointId(endpoint), EndpointKind.HTTP, name, Keep())))


@final
class RawAgent:
    """One TLS connection to the agents' port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, wire: bytes) -> None:
        """Return once the bytes are on their way."""
        self.writer.write(wire)
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

    async def frame(self) -> Seen:
        """The next frame of the server; IncompleteReadError when it closed."""
        async with asyncio.timeout(PATIENCE):
            version, kind, flags, stream, length = _HEADER.unpack(await self.reader.readexactly(_HEADER.size))
            assert version == 0
            payload = await self.reader.readexactly(length) if kind == DATA else b""
        return kind, flags, stream, length, payload

    async def frame_of(self, kind: int, flags: int = 0, stream: int = -1) -> Seen:
        """The next frame of a kind that has these flags."""
        while True:
            seen = await self.frame()
            if seen[0] == kind and seen[1] & flags == flags and stream in {-1, seen[2]}:
                return seen

    async def all_frames(self) -> list[Seen]:
        """Every frame until the server closes."""
        frames: list[Seen] = []
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frames.append(await self.frame())
        return frames

    async def login(self, token: bytes, name: str = "demo") -> None:
        """Return once the server has granted the name."""
        await self.send(hello(token))
        await self.frame_of(DATA, stream=CONTROL)  # the welcome; before it a server takes nothing but a hello
        await self.send(expose(name))
        heard = b""
        while name.encode() not in heard:
            heard += (await self.frame_of(DATA, stream=CONTROL))[4]


def trusting(world: World, *, alpn: list[str]) -> ssl.SSLContext:
    """A client that trusts the server and offers these protocols."""
    context = ssl.create_default_context(cafile=str(world.authority))
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


@asynccontextmanager
async def raw_agent(world: World, alpn: str = "tunnel/1") -> AsyncIterator[RawAgent]:
    """A raw agent, whose connection is dropped afterwards."""
    context = trusting(world, alpn=[alpn] if alpn else [])
    reader, writer = await asyncio.open_connection(world.agents.host, world.agents.port, ssl=context)
    try:
        yield RawAgent(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
