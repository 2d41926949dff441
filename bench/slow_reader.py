"""One visitor reads 100 kB/s of a huge download while others want theirs: what server and agent hold in memory.

    python -m bench.slow_reader --gigabytes 2 --seconds 60

The driver is the local service as well as all visitors. After `--seconds` the slow visitor reads the rest as fast as it
can, so that the whole of it has passed through both processes.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

import uvloop
from bench.pair import LOOPBACK, Pair, pair

MEGABYTE: Final = 1_000_000
SLOW_BYTES_A_SECOND: Final = 100_000
_OTHER_BYTES: Final = 64 * MEGABYTE
_PIECE: Final = bytes(64 * 1024)
_STEP_SECONDS: Final = 0.1
_RECEIVE_BUFFER_BYTES: Final = 64 * 1024
"""Of the slow visitor: what its own kernel takes ahead of it is not our memory, and hides nothing from us."""


@final
@dataclass
class Report:
    """What was seen; bytes, and megabytes a second of the other visitor's downloads."""

    idle: tuple[int, int] = (0, 0)
    warm: tuple[int, int] = (0, 0)
    peak: tuple[int, int] = (0, 0)
    ahead_peak: int = 0
    """Most bytes that the local service had sent and the slow visitor had not got: buffers of the kernel included."""
    others_before: float = 0.0
    others_during: list[float] = field(default_factory=list)
    passed: int = 0

    def grown(self) -> tuple[int, int]:
        """By how much server and agent grew over their idle size."""
        return self.peak[0] - self.idle[0], self.peak[1] - self.idle[1]


@final
class Source:
    """The local service: `GET /N` gets N bytes, and how many have left it is counted for the slow one."""

    def __init__(self) -> None:
        self.sent_slow = 0
        self.port = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Every request of one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ")[1]
                left = int(target.rpartition(b"/")[2])
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
                is_slow = target.startswith(b"/slow")
                while left:
                    piece = _PIECE if left >= len(_PIECE) else _PIECE[:left]
                    writer.write(piece)
                    await writer.drain()
                    left -= len(piece)
                    if is_slow:
                        self.sent_slow += len(piece)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def source() -> AsyncIterator[Source]:
    """The local service while it runs."""
    one = Source()
    server = await asyncio.start_server(one.take, LOOPBACK, 0)
    one.port = int(server.sockets[0].getsockname()[1])
    try:
        yield one
    finally:
        server.close()


async def measure(
    folder: Path, *, offered: int, seconds: float, others: int, rate: int = SLOW_BYTES_A_SECOND, is_told: bool = False
) -> Report:
    """Download `offered` bytes slowly for `seconds` and then fast, beside `others` quick downloads one by one."""
    report = Report()
    async with source() as local, pair(local.port, folder) as ours:
        await download(ours, 1000)
        report.idle = report.peak = ours.resident_bytes()
        report.others_before = max([await download(ours, _OTHER_BYTES) for _ in range(3)])
        report.warm = ours.resident_bytes()
        watching = asyncio.create_task(_watch(ours, local, report, is_told=is_told))
        slow = await _connect(ours, f"/slow/{offered}", _RECEIVE_BUFFER_BYTES)
        try:
            beside = asyncio.create_task(_others(ours, report, others))
            await _read_slowly(slow, report, rate, seconds)
            await beside
            await _read_rest(slow, report, offered)
        finally:
            slow.close()
            watching.cancel()
            await asyncio.wait([watching])
    return report


async def download(ours: Pair, count: int) -> float:
    """Megabytes a second of one quick download."""
    begun = time.monotonic()
    sock = await _connect(ours, f"/quick/{count}", 0)
    try:
        loop = asyncio.get_running_loop()
        got, head = 0, b""
        while b"\r\n\r\n" not in head:
            head += await loop.sock_recv(sock, 4096)
        got = len(head) - head.index(b"\r\n\r\n") - 4
        while got < count:
            got += len(await loop.sock_recv(sock, 256 * 1024))
    finally:
        sock.close()
    return count / MEGABYTE / (time.monotonic() - begun)


async def _connect(ours: Pair, target: str, receive_buffer: int) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(0)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, (LOOPBACK, ours.port))
    await loop.sock_sendall(sock, f"GET {target} HTTP/1.1\r\nHost: {ours.host}\r\n\r\n".encode("ascii"))
    return sock


async def _others(ours: Pair, report: Report, count: int) -> None:
    for _ in range(count):
        report.others_during.append(await download(ours, _OTHER_BYTES))


async def _read_slowly(sock: socket.socket, report: Report, rate: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        report.passed += len(await loop.sock_recv(sock, int(rate * _STEP_SECONDS)))
        await asyncio.sleep(_STEP_SECONDS)


async def _read_rest(sock: socket.socket, report: Report, offered: int) -> None:
    loop = asyncio.get_running_loop()
    while report.passed < offered:  # the head's few hundred bytes come on top and do not matter here
        got = len(await loop.sock_recv(sock, 1 << 20))
        if not got:
            message = f"the download ended after {report.passed} of {offered} bytes"
            raise ConnectionError(message)
        report.passed += got


async def _watch(ours: Pair, local: Source, report: Report, *, is_told: bool) -> None:
    begun = told = time.monotonic()
    while True:
        server, agent = ours.resident_bytes()
        report.peak = max(report.peak[0], server), max(report.peak[1], agent)
        report.ahead_peak = max(report.ahead_peak, local.sent_slow - report.passed)
        now = time.monotonic()
        if is_told and now - told >= 5.0:  # noqa: PLR2004 - a line every five seconds
            told = now
            others = f"{report.others_during[-1]:.0f} MB/s" if report.others_during else "-"
            line = f"{now - begun:6.0f} s  server {_mb(server)}  agent {_mb(agent)}"
            print(f"{line}  slow {report.passed / MEGABYTE:8.1f} MB  others {others}", flush=True)
        await asyncio.sleep(_STEP_SECONDS)


def _mb(count: int) -> str:
    return f"{count / MEGABYTE:6.1f} MB"


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Memory of server and agent beside one slow visitor.")
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--others", type=int, default=40)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        report = uvloop.run(
            measure(
                Path(made),
                offered=int(asked.gigabytes * 1000 * MEGABYTE),
                seconds=asked.seconds,
                others=asked.others,
                is_told=True,
            )
        )
    server, agent = report.grown()
    print(f"idle   server {_mb(report.idle[0])}  agent {_mb(report.idle[1])}")
    print(f"warm   server {_mb(report.warm[0])}  agent {_mb(report.warm[1])}")
    print(f"peak   server {_mb(report.peak[0])}  agent {_mb(report.peak[1])}")
    print(f"grown  server {_mb(server)}  agent {_mb(agent)}")
    print(f"on the way to the slow visitor, all kernel buffers included: at most {_mb(report.ahead_peak)}")
    during = sorted(report.others_during)
    middle = during[len(during) >> 1] if during else 0.0
    print(f"others: {report.others_before:.0f} MB/s before, {middle:.0f} MB/s beside the slow one (median)")


if __name__ == "__main__":
    main(sys.argv[1:])
