"""From a socket to a link behind TLS: dialled by the agent, accepted by the server (ADR 0087)."""

import asyncio
import os
import socket
import ssl
from contextlib import suppress

from tunnel.core.base.limits import READ_BYTES
from tunnel.drive.secure import Secured, SecureLine, Tls


async def dial(loop: asyncio.AbstractEventLoop, host: str, port: int, context: ssl.SSLContext, to: Secured) -> None:
    """Connect to a server whose certificate names `host`, verify it, and tell `to` so.

    Raises OSError (of the last address tried), ssl.SSLError, and UnicodeError for what can be no name.
    """
    await secure(loop, await _connected(loop, host, port), context, to, host)


async def secure(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, context: ssl.SSLContext, to: Secured, hostname: str | None
) -> None:
    """Shake hands on a connected socket, as the server when there is no `hostname`, and give it to its owner.

    Until then it is ours: it is closed whatever goes wrong. Raises OSError and ssl.SSLError.
    """
    is_given = False
    try:
        tls = Tls(context, hostname)
        await _shake_hands(loop, sock, tls)
        is_given = True
    finally:
        if not is_given:
            sock.close()
    SecureLine(loop, sock, tls, to).begin()


async def _shake_hands(loop: asyncio.AbstractEventLoop, sock: socket.socket, tls: Tls) -> None:
    while True:
        try:
            tls.records.do_handshake()
        except ssl.SSLWantReadError:
            await _send(loop, sock, tls)
            came = await loop.sock_recv(sock, READ_BYTES)
            if not came:
                raise ConnectionResetError from None
            tls.incoming.write(came)
        except ssl.SSLError:
            # The alert says what we did not like. Only as far as the socket takes it now: the peer may be hostile.
            with suppress(OSError):
                sock.send(tls.outgoing.read())
            raise
        else:
            await _send(loop, sock, tls)
            return


async def _send(loop: asyncio.AbstractEventLoop, sock: socket.socket, tls: Tls) -> None:
    made = tls.outgoing.read()
    if made:
        await loop.sock_sendall(sock, made)


async def _connected(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """A socket connected to the first address of `host` that answers."""
    refused: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            return await _connected_to(loop, socket.socket(family, kind, protocol), address)
        except OSError as cause:
            # The loop says "Connect call failed" instead of what the system said.
            refused = OSError(cause.errno, os.strerror(cause.errno)) if cause.errno else cause
    raise refused


async def _connected_to(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, address: tuple[object, ...]
) -> socket.socket:
    is_connected = False
    try:
        sock.settimeout(0)
        await loop.sock_connect(sock, address)
        is_connected = True
    finally:
        if not is_connected:
            sock.close()
    return sock
