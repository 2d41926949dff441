"""How long a small exchange takes beside bulk transfers of the same agent, in milliseconds and in write turns.

    python -m bench.fairness --megabytes 12.5 --exchanges 100 [--json FILE]

The agent dials the server through a proxy of ours that is a narrow line: so many megabytes a second towards the server,
and next to no buffer. So what a small answer waits behind is what agent and kernel let it wait behind: each write turn
of 64 KiB that is ahead of it costs the same known time. The driver is the line, the local service and all visitors.

*On the line* is what the line carried between the moment in which the local service answered and the one in which the
visitor had the answer: the same, in bytes, so that a busy machine changes nothing about it.
"""

import argparse
import asyncio
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import uvloop
from bench.machine import Watch
from bench.pair import LOOPBACK, Pair, pair

from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.mux.session import Role, Session

_MEGABYTE: Final = 1_000_000
_TURN_BYTES: Final = 64 * 1024
_PIECE: Final = bytes(64 * 1024)
_ENDLESS: Final = 1 << 40
_LINE_PIECE: Final = 8 * 1024
_LINE_BUFFER: Final = 8 * 1024
_SEGMENT: Final = 1460
_SMALL: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + bytes(100)
_SETTLING_BYTES: Final = 2 * _MEGABYTE
"""Of every bulk transfer, before the first small exchange is measured."""


@final
@dataclass
class Line:
    """A narrow line that runs, and how much it has carried on its narrow side."""

    host: str
    port: int
    carried: int = 0


@asynccontextmanager
async def narrow_line(port: int, bytes_a_second: float) -> AsyncIterator[Line]:
    """A proxy to a port of loopback: paced from its dialler to the port, and as fast as it goes the other way.

    It reads no byte before that is due, and its kernel takes little ahead of it: a line with a short queue.
    """
    loop = asyncio.get_running_loop()
    line = Line(LOOPBACK, 0)
    listening = socket.socket()
    # Inherited by what is accepted: the kernel would take megabytes ahead of a slow reader otherwise, and on loopback
    # open its window only for segments of 64 KiB.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LINE_BUFFER)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
    listening.bind((LOOPBACK, 0))
    listening.listen()
    listening.settimeout(0)
    tasks: set[asyncio.Task[None]] = set()

    async def take(near: socket.socket) -> None:
        with near, socket.socket() as far:
            far.settimeout(0)
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError):
                await loop.sock_connect(far, (LOOPBACK, port))
                paced = asyncio.create_task(_carry(near, far, line, bytes_a_second))
                free = asyncio.create_task(_return(far, near))
                try:
                    await asyncio.wait([paced, free], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for one in (paced, free):
                        one.cancel()
                    await asyncio.wait([paced, free])

    async def accept() -> None:
        while True:
            near, _ = await loop.sock_accept(listening)
            task = asyncio.create_task(take(near))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    accepting = asyncio.create_task(accept())
    try:
        line.port = int(listening.getsockname()[1])
        yield line
    finally:
        running = [accepting, *tasks]
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        listening.close()


async def _carry(near: socket.socket, far: socket.socket, line: Line, rate: float) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    with suppress(OSError):
        while piece := await loop.sock_recv(near, _LINE_PIECE):
            line.carried += len(piece)
            await loop.sock_sendall(far, piece)
            # By due time: a sleep that was too long is made good by the next ones.
            due = max(due, loop.time() - 0.01) + len(piece) / rate
            if due > loop.time():
                await asyncio.sleep(due - loop.time())


async def _return(far: socket.socket, near: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while piece := await loop.sock_recv(far, len(_PIECE)):
            await loop.sock_sendall(near, piece)


@final
class Service:
    """The local service: `GET /bulk` never ends, anything else is small."""

    def __init__(self) -> None:
        self.line = Line("", 0)
        self.carried_at_answer = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the agent."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /bulk"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _ENDLESS)
                    while True:
                        writer.write(_PIECE)
                        await writer.drain()
                self.carried_at_answer = self.line.carried
                writer.write(_SMALL)
        writer.transport.abort()


async def _bulk(ours: Pair, is_running: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, ours.port)
    got = 0
    try:
        writer.write(f"GET /bulk HTTP/1.1\r\nHost: {ours.host}\r\n\r\n".encode("ascii"))
        while True:
            got += len(await reader.read(1 << 20))
            if got > _SETTLING_BYTES:
                is_running.set()
    finally:
        writer.transport.abort()


@final
@dataclass(frozen=True, slots=True)
class Taken:
    """One small exchange: how long it took, and what the line carried from its answer's leaving to its coming."""

    seconds: float
    ahead: int


async def _small(ours: Pair, service: Service, count: int) -> list[Taken]:
    """So many exchanges, one after the other on one connection."""
    reader, writer = await asyncio.open_connection(LOOPBACK, ours.port)
    taken: list[Taken] = []
    try:
        for _ in range(count):
            begun = time.monotonic()
            writer.write(f"GET /small HTTP/1.1\r\nHost: {ours.host}\r\n\r\n".encode("ascii"))
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(100)
            taken.append(Taken(time.monotonic() - begun, service.line.carried - service.carried_at_answer))
    finally:
        writer.transport.abort()
    return taken


def portions_before(crowd: int) -> int:
    """How many portions of output leave a session before a small answer, given to it beside busy streams, leaves."""
    session = Session(Role.CLIENT, Limits(), Instant(0.0))
    streams = [value_of(one) for one in (session.open_stream() for _ in range(crowd + 1)) if isinstance(one, Success)]
    for stream in streams[:-1]:
        session.send(stream, bytes(4 * _TURN_BYTES))
    session.poll_output(_TURN_BYTES)
    session.send(streams[-1], _SMALL)
    portions = 0
    while session.has_output and _SMALL not in session.poll_output(_TURN_BYTES):
        portions += 1
    return portions


async def measure(folder: Path, *, rate: float, exchanges: int, crowds: Sequence[int]) -> dict[int, list[Taken]]:
    """Small exchanges, by how many bulk transfers ran beside them."""
    service = Service()
    local = await asyncio.start_server(service.serve, LOOPBACK, 0)
    port = int(local.sockets[0].getsockname()[1])
    measured: dict[int, list[Taken]] = {}

    @asynccontextmanager
    async def between(to: int) -> AsyncIterator[Line]:
        async with narrow_line(to, rate) as service.line:
            yield service.line

    try:
        async with pair(port, folder, flags=("--quiet",), between=between) as ours:
            await _small(ours, service, 10)
            for crowd in crowds:
                running = [asyncio.Event() for _ in range(crowd)]
                tasks = [asyncio.create_task(_bulk(ours, one)) for one in running]
                try:
                    await asyncio.gather(*(one.wait() for one in running))
                    measured[crowd] = await _small(ours, service, exchanges)
                finally:
                    for task in tasks:
                        task.cancel()
                    if tasks:
                        await asyncio.wait(tasks)
    finally:
        local.close()
    return measured


@final
class _Typed(argparse.Namespace):
    """What argparse fills in, with the defaults."""

    megabytes: float = 12.5
    exchanges: int = 100
    json: Path | None = None


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Small exchanges beside bulk transfers.")
    parser.add_argument("--megabytes", type=float, help="a second, on the line")
    parser.add_argument("--exchanges", type=int)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked = parser.parse_args(arguments, _Typed())
    watch = Watch()
    rate = asked.megabytes * _MEGABYTE
    with tempfile.TemporaryDirectory() as made:
        measured = uvloop.run(measure(Path(made), rate=rate, exchanges=asked.exchanges, crowds=(0, 1, 4, 16)))
    turn = _TURN_BYTES / rate
    alone = statistics.median(one.seconds for one in measured[0])
    rows = [_row(crowd, taken, turn, alone) for crowd, taken in measured.items()]
    print(f"a line of {asked.megabytes:g} MB/s: one write turn of 64 KiB takes {turn * 1000:.1f} ms")
    print(f"{'bulk':>6}{'median':>11}{'90th':>11}{'more than alone':>17}{'on the line':>13}{'90th':>11}{'session':>10}")
    for row in rows:
        print(
            f"{row['bulk']:6.0f}{row['median_ms']:8.1f} ms{row['late_ms']:8.1f} ms"
            f"{row['turns_more_than_alone']:11.1f} turns{row['turns_on_the_line']:7.1f} turns"
            f"{row['turns_on_the_line_late']:5.1f} turns{row['turns_in_the_session']:4.0f} turns"
        )
    settings = {"megabytes_a_second": asked.megabytes, "exchanges": asked.exchanges, "turn_bytes": _TURN_BYTES}
    watch.write(asked.json, settings, {"rows": rows})


def _row(crowd: int, taken: Sequence[Taken], turn: float, alone: float) -> dict[str, float]:
    """Medians, and the 90th percentile as `late`."""
    seconds = sorted(one.seconds for one in taken)
    ahead = sorted(one.ahead / _TURN_BYTES for one in taken)
    middle, late = len(taken) >> 1, len(taken) * 9 // 10
    return {
        "bulk": crowd,
        "median_ms": seconds[middle] * 1000,
        "late_ms": seconds[late] * 1000,
        "turns_more_than_alone": (seconds[middle] - alone) / turn,
        "turns_on_the_line": ahead[middle],
        "turns_on_the_line_late": ahead[late],
        "turns_in_the_session": portions_before(crowd),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
