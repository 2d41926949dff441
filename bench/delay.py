"""One stream over a path of 100 ms, each way, with a fixed window of 256 KiB and with windows that grow.

    python -m bench.delay --seconds 4 --milliseconds 50

The agent dials the server through a proxy of ours that delays every byte and limits nothing. The driver is the proxy,
the local service and the visitor; what it reports are the bytes that passed within the seconds.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import uvloop
from bench.pair import LOOPBACK, Pair, pair
from tests.support.delay_proxy import delay_proxy

_MEGABYTE: Final = 1_000_000
_PIECE: Final = bytes(64 * 1024)
_ENDLESS: Final = 1 << 40
FIXED: Final = "version = 1\n[limits]\nstream_window_bytes_max = 262144\nrequest_body_bytes_max = 1099511627776\n"
GROWING: Final = "version = 1\n[limits]\nrequest_body_bytes_max = 1099511627776\n"


@final
@dataclass(frozen=True, slots=True)
class Rates:
    """Megabytes a second, to the visitor and from it."""

    down: float
    up: float


@final
class Service:
    """The local service: a GET gets bytes without end, the body of a POST is counted."""

    def __init__(self) -> None:
        self.taken = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One exchange."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _ENDLESS)
                while True:
                    writer.write(_PIECE)
                    await writer.drain()
            while piece := await reader.read(1 << 20):
                self.taken += len(piece)
        writer.transport.abort()


def config_in(folder: Path, words: str) -> Path:
    """A config file in a new folder."""
    folder.mkdir()
    file = folder / "limits.toml"
    file.write_text(words, "utf-8")
    return file


async def measure(config: Path, *, seconds: float, one_way: float) -> Rates:
    """What one download and one upload carry; `config` is that of server and agent."""
    service = Service()
    local = await asyncio.start_server(service.take, LOOPBACK, 0)
    port = int(local.sockets[0].getsockname()[1])
    try:
        flags = ("--config", str(config))
        async with pair(port, config.parent, flags=flags, between=lambda to: delay_proxy(to, one_way)) as ours:
            down = await _download(ours, seconds)
            up = await _upload(ours, service, seconds)
    finally:
        local.close()
    return Rates(down, up)


async def _download(ours: Pair, seconds: float) -> float:
    reader, writer = await asyncio.open_connection(LOOPBACK, ours.port, limit=1 << 20)
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {ours.host}\r\n\r\n".encode("ascii"))
        await reader.readuntil(b"\r\n\r\n")
        begun, got = time.monotonic(), 0
        while (now := time.monotonic()) < begun + seconds:
            got += len(await reader.read(1 << 20))
        return got / _MEGABYTE / (now - begun)
    finally:
        writer.transport.abort()


async def _upload(ours: Pair, service: Service, seconds: float) -> float:
    _, writer = await asyncio.open_connection(LOOPBACK, ours.port)
    try:
        head = f"POST / HTTP/1.1\r\nHost: {ours.host}\r\nContent-Length: {_ENDLESS}\r\n\r\n"
        writer.write(head.encode("ascii"))
        begun, before = time.monotonic(), service.taken
        while (now := time.monotonic()) < begun + seconds:
            writer.write(_PIECE)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + begun + seconds - now):
                    await writer.drain()
        return (service.taken - before) / _MEGABYTE / (now - begun)
    finally:
        writer.transport.abort()


def compare(folder: Path, seconds: float, one_way: float) -> tuple[Rates, Rates]:
    """With a fixed window and with one that grows, in one run."""
    files = config_in(folder / "fixed", FIXED), config_in(folder / "growing", GROWING)
    fixed, growing = (uvloop.run(measure(file, seconds=seconds, one_way=one_way)) for file in files)
    return fixed, growing


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="One stream over a path with a delay.")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each of the four transfers")
    parser.add_argument("--milliseconds", type=float, default=50.0, help="of delay, each way")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        fixed, growing = compare(Path(made), asked.seconds, asked.milliseconds / 1000)
    print(f"one stream, {2 * asked.milliseconds:g} ms round trip, {asked.seconds:g} s each, slow start included")
    print(f"{'':24}{'down':>12}{'up':>12}")
    print(f"{'window of 256 KiB':24}{fixed.down:7.1f} MB/s{fixed.up:7.1f} MB/s")
    print(f"{'window that grows':24}{growing.down:7.1f} MB/s{growing.up:7.1f} MB/s")
    print(f"{'times':24}{growing.down / fixed.down:12.1f}{growing.up / fixed.up:12.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
