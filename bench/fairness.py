"""How long a small exchange takes beside bulk transfers of the same agent, in milliseconds and in write turns.

    python -m bench.fairness --megabytes 12.5 --exchanges 100

The agent dials the server through a proxy of ours that is a narrow line: so many megabytes a second towards the server,
and next to no buffer. So what a small answer waits behind is what agent and kernel let it wait behind: each write turn
of 64 KiB that is ahead of it costs the same known time. The driver is the line, the local service and all visitors.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import uvloop
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
_LINE_BUFFER: Final = 32 * 1024
_SMALL: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + bytes(100)
_SETTLING_BYTES: Final = 2 * _MEGABYTE
"""Of every bulk transfer, before the first small exchange is measured."""


@final
@dataclass
class Line:
    """A narrow line that runs."""

    host: str
    port: int


@asynccontextmanager
async def narrow_line(port: int, bytes_a_second: float) -> AsyncIterator[Line]:
    """A proxy to a port of loopback: paced from its dialler to the port, and as fast as it goes the other way."""
    tasks: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
        there, back = await asyncio.open_connection(LOOPBACK, port)
        paced = asyncio.create_task(_carry(reader, back, bytes_a_second))
        free = asyncio.create_task(_carry(there, writer, 0.0))
        try:
            await asyncio.wait([paced, free], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (paced, free):
                one.cancel()
            writer.transport.abort()
            back.transport.abort()

    listening = socket.socket()
    # Inherited by what is accepted: the kernel would take megabytes ahead of a slow reader otherwise.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LINE_BUFFER)
    listening.bind((LOOPBACK, 0))
    server = await asyncio.start_server(take, sock=listening, limit=_LINE_PIECE)
    try:
        yield Line(LOOPBACK, int(listening.getsockname()[1]))
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        with suppress(ValueError):
            await asyncio.wait(tasks)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    with suppress(ConnectionError):
        while piece := await reader.read(_LINE_PIECE):
            writer.write(piece)
            await writer.drain()
            if rate:
                # By due time: a sleep that was too long is made good by the next ones.
                due = max(due, loop.time() - 0.01) + len(piece) / rate
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The local service: `GET /bulk` never ends, anything else is small."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /bulk"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _ENDLESS)
                while True:
                    writer.write(_PIECE)
                    await writer.drain()
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


async def _small(ours: Pair, count: int) -> list[float]:
    """Seconds of each of so many exchanges, one after the other on one connection."""
    reader, writer = await asyncio.open_connection(LOOPBACK, ours.port)
    taken: list[float] = []
    try:
        for _ in range(count):
            begun = time.monotonic()
            writer.write(f"GET /small HTTP/1.1\r\nHost: {ours.host}\r\n\r\n".encode("ascii"))
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(100)
            taken.append(time.monotonic() - begun)
    finally:
        writer.transport.abort()
    return sorted(taken)


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


async def measure(folder: Path, *, rate: float, exchanges: int, crowds: Sequence[int]) -> dict[int, list[float]]:
    """Sorted seconds of small exchanges, by how many bulk transfers ran beside them."""
    local = await asyncio.start_server(_serve, LOOPBACK, 0)
    port = int(local.sockets[0].getsockname()[1])
    measured: dict[int, list[float]] = {}
    try:
        async with pair(port, folder, flags=("--quiet",), between=lambda to: narrow_line(to, rate)) as ours:
            await _small(ours, 10)
            for crowd in crowds:
                running = [asyncio.Event() for _ in range(crowd)]
                tasks = [asyncio.create_task(_bulk(ours, one)) for one in running]
                try:
                    await asyncio.gather(*(one.wait() for one in running))
                    measured[crowd] = await _small(ours, exchanges)
                finally:
                    for task in tasks:
                        task.cancel()
                    if tasks:
                        await asyncio.wait(tasks)
    finally:
        local.close()
    return measured


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Small exchanges beside bulk transfers.")
    parser.add_argument("--megabytes", type=float, default=12.5, help="a second, on the line")
    parser.add_argument("--exchanges", type=int, default=100)
    asked = parser.parse_args(arguments)
    rate = asked.megabytes * _MEGABYTE
    with tempfile.TemporaryDirectory() as made:
        measured = uvloop.run(measure(Path(made), rate=rate, exchanges=asked.exchanges, crowds=(0, 1, 4, 16)))
    turn = _TURN_BYTES / rate
    print(f"a line of {asked.megabytes:g} MB/s: one write turn of 64 KiB takes {turn * 1000:.1f} ms")
    print(f"{'bulk':>6}{'median':>12}{'90th':>12}{'more than alone':>20}{'in the session':>18}")
    alone = measured[0][len(measured[0]) >> 1]
    for crowd, taken in measured.items():
        middle, late = taken[len(taken) >> 1], taken[len(taken) * 9 // 10]
        more = f"{(middle - alone) / turn:.1f} turns"
        print(f"{crowd:6}{middle * 1000:9.1f} ms{late * 1000:9.1f} ms{more:>20}{portions_before(crowd):12} turns")


if __name__ == "__main__":
    main(sys.argv[1:])
