"""A TCP relay in user space between agent and server: it forwards, delays, goes silent with its sockets open, or cuts.

`hold` is the half-open link of known bug B3: both sides keep an established connection on which nothing arrives.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

from tests.support.shell_world import LOOPBACK
from typing_extensions import override

from tunnel.drive.address import Address
from tunnel.drive.transport import stream_transport


@final
class _End(asyncio.Protocol):
    """One of the two sockets of a relayed connection."""

    def __init__(self, pair: "Pair") -> None:
        self.pair = pair
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.early: list[bytes] = []

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = stream_transport(transport)
        self.pair.relay.open_ends += 1
        if self.pair.relay.is_refusing:
            self.transport.abort()
        for data in self.early:
            self.transport.write(data)

    @override
    def data_received(self, data: bytes) -> None:
        self.pair.forward(self, data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.pair.relay.note_lost()
        if self.pair.relay.delay_seconds:
            # Behind what is on its way: an end never overtakes bytes.
            asyncio.get_running_loop().call_later(self.pair.relay.delay_seconds, self._end_other)
        else:
            self._end_other()

    def _end_other(self) -> None:
        if not self.pair.is_held and self.other is not None and self.other.transport is not None:
            self.other.transport.close()


@final
class Pair:
    """One relayed connection."""

    def __init__(self, relay: "Relay") -> None:
        self.relay = relay
        self.near = _End(self)
        self.far = _End(self)
        self.near.other, self.far.other = self.far, self.near
        self.is_held = False

    def forward(self, end: _End, data: bytes) -> None:
        """Pass on what one end received."""
        if self.is_held or end.other is None:
            return
        if end is self.near and end.other.transport is None:
            end.other.early.append(data)  # it is still being dialled
        elif self.relay.delay_seconds:
            asyncio.get_running_loop().call_later(self.relay.delay_seconds, self._write, end.other, data)
        else:
            self._write(end.other, data)

    def _write(self, to: _End, data: bytes) -> None:
        if to.transport is not None and not self.is_held:
            to.transport.write(data)

    def hold(self) -> None:
        """Swallow everything from now on and tell nobody."""
        self.is_held = True

    def end(self, *, reset: bool) -> None:
        """Close both sockets, with FIN or with RST."""
        for one in (self.near, self.far):
            if one.transport is None:
                continue
            if reset:
                sock = one.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.transport.abort()


@final
class Relay:
    """Listens for agents and relays each to the server."""

    def __init__(self, to: Address) -> None:
        self.to = to
        self.address = Address(LOOPBACK, 0)
        self.delay_seconds = 0.0
        self.open_ends = 0
        self.pairs: list[Pair] = []
        self.is_refusing = False
        """Whether new connections are accepted by the kernel and then closed."""
        self._dialling: set[asyncio.Task[None]] = set()
        self._lost = asyncio.Event()

    def hold(self) -> None:
        """Every connection that stands goes silent; new ones are relayed as before."""
        for pair in self.pairs:
            pair.hold()

    def cut(self, *, reset: bool = False) -> None:
        """End every connection that stands."""
        for pair in self.pairs:
            pair.end(reset=reset)

    def accept(self) -> _End:
        """Take a new connection and dial its other half."""
        pair = Pair(self)
        self.pairs.append(pair)
        task = asyncio.get_running_loop().create_task(self._dial(pair))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)
        return pair.near

    def note_lost(self) -> None:
        """Count a socket out."""
        self.open_ends -= 1
        self._lost.set()

    async def close(self) -> None:
        """Return once no socket is left."""
        for task in list(self._dialling):
            await task
        for pair in self.pairs:
            pair.end(reset=False)
        while self.open_ends:
            self._lost.clear()
            await self._lost.wait()

    async def _dial(self, pair: Pair) -> None:
        if self.is_refusing:
            return
        try:
            await asyncio.get_running_loop().create_connection(lambda: pair.far, self.to.host, self.to.port)
        except OSError:
            pair.end(reset=False)


@asynccontextmanager
async def relaying(to: Address) -> AsyncIterator[Relay]:
    """A relay for the time of a test."""
    relay = Relay(to)
    server = await asyncio.get_running_loop().create_server(relay.accept, LOOPBACK, 0)
    relay.address = Address(LOOPBACK, int(server.sockets[0].getsockname()[1]))
    try:
        yield relay
    finally:
        server.close()
        await relay.close()
