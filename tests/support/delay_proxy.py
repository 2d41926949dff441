"""A TCP proxy that is far away: every byte and every end arrives later by the same time, at any rate, in order.

No sleep for each piece: a piece is due at a moment, and one timer a direction waits for the first that is due. Nothing
is held back, so what is on the way is what the protocols above put there: a path with a delay and no other limit.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, final

from typing_extensions import override

from tunnel.drive.transport import stream_transport

LOOPBACK: Final = "127.0.0.1"
_EARLY_SECONDS: Final = 0.0005
"""Half the resolution of uvloop's timers: what is due so soon goes at once."""


@final
@dataclass
class Far:
    """A proxy that runs: where it listens, and how many bytes were on the way to the listener at most."""

    host: str
    port: int
    most_to_listener: int = 0


@final
class _Way:
    """One direction: what is on its way to a transport, which may not stand yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.size = 0
        self._loop: Final = loop
        self._seconds: Final = seconds
        self._pieces: Final[deque[tuple[float, bytes | None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._to: asyncio.Transport | None = None

    def arrive_at(self, transport: asyncio.Transport) -> None:
        """From here on, pieces that are due have somewhere to go."""
        self._to = transport
        self._set()

    def put(self, piece: bytes | None) -> None:
        """A piece sets out; None is the end of them."""
        self.size += len(piece or b"")
        self._pieces.append((self._loop.time() + self._seconds, piece))
        self._set()

    def cut(self) -> None:
        """Nothing arrives any more."""
        self._pieces.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._to is not None:
            self._to.abort()

    def _set(self) -> None:
        if self._timer is None and self._to is not None and self._pieces:
            self._timer = self._loop.call_at(self._pieces[0][0], self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        due, now = list[bytes](), self._loop.time() + _EARLY_SECONDS
        is_over = False
        while self._pieces and self._pieces[0][0] <= now:
            piece = self._pieces.popleft()[1]
            if piece is None:
                is_over = True
            else:
                due.append(piece)
                self.size -= len(piece)
        if self._to is not None and not self._to.is_closing():
            self._to.writelines(due)
            if is_over:
                self._to.write_eof()
        self._set()


@final
class _Side(asyncio.Protocol):
    """One of the two connections: what it reads sets out on one way, what the other way brings is written to it."""

    def __init__(self, away: _Way, here: _Way, sides: "_Sides", far: Far | None = None) -> None:
        self._far: Final = far
        self._away: Final = away
        self._here: Final = here
        self._sides: Final = sides

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = stream_transport(transport)
        stream.set_write_buffer_limits(high=1 << 30)
        self._sides.open.add(self)
        self._here.arrive_at(stream)

    @override
    def data_received(self, data: bytes) -> None:
        self._away.put(data)
        if self._far is not None:
            self._far.most_to_listener = max(self._far.most_to_listener, self._away.size)

    @override
    def eof_received(self) -> bool:
        self._away.put(None)
        return True

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._sides.leave(self)
        self._here.cut()
        if exc is not None:
            self._away.cut()

    def cut(self) -> None:
        """Both directions end here and now."""
        self._here.cut()
        self._away.cut()


@final
class _Sides:
    """The connections that are open."""

    def __init__(self) -> None:
        self.open: Final[set[_Side]] = set()
        self._left: Final = asyncio.Event()

    def leave(self, side: _Side) -> None:
        """One is gone."""
        self.open.discard(side)
        self._left.set()

    async def gone(self) -> None:
        """Return once none is left."""
        while self.open:
            self._left.clear()
            await self._left.wait()


@asynccontextmanager
async def delay_proxy(port: int, one_way_seconds: float) -> AsyncIterator[Far]:
    """A proxy to a port of loopback while the block runs; its connections are cut at the end."""
    loop = asyncio.get_running_loop()
    sides = _Sides()
    dialling: set[asyncio.Task[object]] = set()

    def accept() -> _Side:
        there, back = _Way(loop, one_way_seconds), _Way(loop, one_way_seconds)
        dial = loop.create_connection(lambda: _Side(back, there, sides), LOOPBACK, port)
        task: asyncio.Task[object] = loop.create_task(dial)
        dialling.add(task)
        task.add_done_callback(dialling.discard)
        return _Side(there, back, sides, far)

    far = Far(LOOPBACK, 0)
    server = await loop.create_server(accept, LOOPBACK, 0)
    far.port = int(server.sockets[0].getsockname()[1])
    try:
        yield far
    finally:
        server.close()
        if dialling:
            await asyncio.wait(list(dialling))
        for side in list(sides.open):
            side.cut()
        await sides.gone()
        await server.wait_closed()
