"""The local services of an endurance run: HTTP that fails as asked, bytes behind the PROXY protocol, TLS of its own."""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, final

from bench.failure import BenchError
from bench.fleet import DOMAIN
from bench.pair import LOOPBACK

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, value_of
from tunnel.drive.address import Address
from tunnel.server.authority import leaf_pem, read_authority
from tunnel.server.state import AUTHORITY, AUTHORITY_KEY

BREAK: Final = b"!"
"""What a visitor without HTTP begins with that wants its service to reset the connection."""
_PIECE: Final = 16_384
_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_OVER_IPV4: Final = 0x11
_PROXY_HEAD_BYTES: Final = 16
_KEY_END: Final = b"-----END PRIVATE KEY-----\n"

_Speaker: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@final
@dataclass(frozen=True, slots=True)
class LocalServices:
    """Where they are."""

    http: Address
    behind_proxy: Address
    """Wants the PROXY protocol, version 2, and says first who it was told that it speaks to."""
    tls: Address


@asynccontextmanager
async def local_services(state: Path, tls_names: Sequence[str]) -> AsyncIterator[LocalServices]:
    """All three until the block ends; the server in `state` has signed the certificate."""
    async with AsyncExitStack() as until:

        async def listening(speak: _Speaker, context: ssl.SSLContext | None = None) -> Address:
            server = await asyncio.start_server(speak, LOOPBACK, 0, ssl=context, limit=1 << 17)
            until.callback(server.close)
            return Address(LOOPBACK, int(server.sockets[0].getsockname()[1]))

        yield LocalServices(
            await listening(_speak_http),
            await listening(_speak_proxied),
            await listening(_echo, _own_tls(state, tls_names)),
        )


def reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection so that its other side sees it."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Echoes bodies, and fails in every way that its target asks for."""
    with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
        while await _answered(reader, writer):
            pass
    writer.close()


async def _answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One exchange; whether another may follow."""
    head = await reader.readuntil(b"\r\n\r\n")
    target = head.split(b" ", 2)[1]
    if b"upgrade: echo" in head.lower():
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        await _returned(reader, writer)
        return False
    body = await reader.readexactly(int(field_of(head, b"content-length") or b"0"))
    match target:
        case b"/reset":
            reset(writer)
            return False
        case b"/nonsense":
            writer.write(b"HTTP/1.1 two hundred\r\n\r\n")
            return False
        case b"/short":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot so much")
            return False
        case b"/who":
            body = field_of(head, b"x-forwarded-for")
        case _ if target.startswith(b"/down/"):
            body = bytes(int(target[6:]))
        case _:
            pass
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
    for begin in range(0, len(body), _PIECE):
        writer.write(body[begin : begin + _PIECE])
        await writer.drain()
    return True


def field_of(head: bytes, name: bytes) -> bytes:
    """The value of a field of a head; b"" when it has none."""
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


async def _speak_proxied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says who it was told that it speaks to, and sends back what comes."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        head = await reader.readexactly(_PROXY_HEAD_BYTES)
        rest = await reader.readexactly(int.from_bytes(head[14:16], "big"))
        if head.startswith(_SIGNATURE) and head[13] == _OVER_IPV4:
            writer.write(f"{socket.inet_ntoa(rest[:4])} {int.from_bytes(rest[8:10], 'big')}\n".encode("ascii"))
            await _returned(reader, writer)
    writer.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        await _returned(reader, writer)
    writer.close()


async def _returned(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes until its end; break the connection when the first byte asks for that."""
    is_first = True
    while piece := await reader.read(_PIECE):
        if is_first and piece.startswith(BREAK):
            reset(writer)
            return
        is_first = False
        writer.write(piece)
        await writer.drain()


def _own_tls(state: Path, names: Sequence[str]) -> ssl.SSLContext:
    now = UnixSeconds(int(time.time()))
    authority = read_authority((state / AUTHORITY).read_bytes(), (state / AUTHORITY_KEY).read_bytes(), now)
    hosts = [f"{name}.{DOMAIN}" for name in names]
    made = leaf_pem(value_of(authority), hosts, now) if isinstance(authority, Success) else authority
    if not isinstance(made, Success):
        message = f"no certificate for the local TLS service: {made}"
        raise BenchError(message)
    key, _, chain = value_of(made).partition(_KEY_END)
    (state.parent / "local.key").touch(0o600)
    (state.parent / "local.key").write_bytes(key + _KEY_END)
    (state.parent / "local.pem").write_bytes(chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(state.parent / "local.pem", state.parent / "local.key")
    return context
