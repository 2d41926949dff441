"""One stream over a path of 100 ms, each way, with a fixed window of 256 KiB and with windows that grow.

    python -m bench.delay [--seconds 8] [--settling 3] [--milliseconds 50] [--json FILE]

The agent dials the server through a proxy of ours that delays every byte and limits nothing. The driver is the proxy,
the local service and the visitor; what it reports are the bytes that passed within the seconds. Each transfer gives two
rates: over all of them, in which a window that grows begins with the 256 KiB of a fixed one and doubles round trip by
round trip (slow start), and over those after the settling, which is what a long transfer gets.
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
from bench.machine import Watch
from bench.pair import LOOPBACK, Pair, pair
from tests.support.delay_proxy import delay_proxy

_MEGABYTE: Final = 1_000_000
_PIECE: Final = bytes(64 * 1024)
_ENDLESS: Final = 1 << 40
FIXED: Final = "version = 1\n[limits]\nstream_window_bytes_max = 262144\nrequest_body_bytes_max = 1099511627776\n"
GROWING: Final = "version = 1\n[limits]\nrequest_body_bytes_max = 1099511627776\n"


@final
@dataclass(frozen=True, slots=True)
class Rate:
    """Megabytes a second of one transfer: from its first byte on, and without its slow start."""

    whole: float
    settled: float


@final
@dataclass(frozen=True, slots=True)
class Rates:
    """To the visitor and from it."""

    down: Rate
    up: Rate


@final
@dataclass(frozen=True, slots=True)
class Times:
    """How long each transfer runs, how much of it counts as slow start, and what the path delays each way."""

    seconds: float
    settling: float
    one_way: float


@final
class Meter:
    """Bytes of one transfer that has begun, told often; done when its seconds are over."""

    def __init__(self, times: Times) -> None:
        self._times: Final = times
        self._began: Final = time.monotonic()
        self._bytes = 0
        self._settled: tuple[float, int] | None = None

    @property
    def is_done(self) -> bool:
        """Whether its seconds are over."""
        return time.monotonic() >= self._began + self._times.seconds

    def so_far(self, count: int) -> None:
        """So many bytes since it began."""
        self._bytes = count
        now = time.monotonic()
        if self._settled is None and now >= self._began + self._times.settling:
            self._settled = now, count

    def rate(self) -> Rate:
        """What passed, up to now."""
        now = time.monotonic()
        settled_at, settled = self._settled or (self._began, 0)
        whole = self._bytes / (now - self._began)
        return Rate(whole / _MEGABYTE, (self._bytes - settled) / (now - settled_at) / _MEGABYTE)


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


async def measure(config: Path, times: Times) -> Rates:
    """What one download and one upload carry; `config` is that of server and agent."""
    service = Service()
    local = await asyncio.start_server(service.take, LOOPBACK, 0)
    port = int(local.sockets[0].getsockname()[1])
    try:
        flags = ("--config", str(config))
        async with pair(port, config.parent, flags=flags, between=lambda to: delay_proxy(to, times.one_way)) as ours:
            down = await _download(ours, times)
            up = await _upload(ours, service, times)
    finally:
        local.close()
    return Rates(down, up)


async def _download(ours: Pair, times: Times) -> Rate:
    reader, writer = await asyncio.open_connection(LOOPBACK, ours.port, limit=1 << 20)
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {ours.host}\r\n\r\n".encode("ascii"))
        await reader.readuntil(b"\r\n\r\n")
        meter, got = Meter(times), 0
        while not meter.is_done:
            got += len(await reader.read(1 << 20))
            meter.so_far(got)
        return meter.rate()
    finally:
        writer.transport.abort()


async def _upload(ours: Pair, service: Service, times: Times) -> Rate:
    _, writer = await asyncio.open_connection(LOOPBACK, ours.port)
    before, meter = service.taken, Meter(times)
    ends_at = asyncio.get_running_loop().time() + times.seconds
    try:
        head = f"POST / HTTP/1.1\r\nHost: {ours.host}\r\nContent-Length: {_ENDLESS}\r\n\r\n"
        writer.write(head.encode("ascii"))
        while not meter.is_done:
            writer.write(_PIECE)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(ends_at):
                    await writer.drain()
            meter.so_far(service.taken - before)
        return meter.rate()
    finally:
        writer.transport.abort()


def compare(folder: Path, times: Times) -> tuple[Rates, Rates]:
    """With a fixed window and with one that grows, in one run."""
    files = config_in(folder / "fixed", FIXED), config_in(folder / "growing", GROWING)
    fixed, growing = (uvloop.run(measure(file, times)) for file in files)
    return fixed, growing


@final
class _Typed(argparse.Namespace):
    """What argparse fills in, with the defaults."""

    seconds: float = 8.0
    settling: float = 3.0
    milliseconds: float = 50.0
    json: Path | None = None


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="One stream over a path with a delay.")
    parser.add_argument("--seconds", type=float, help="of each of the four transfers")
    parser.add_argument("--settling", type=float, help="of them, that the second of the two rates leaves out")
    parser.add_argument("--milliseconds", type=float, help="of delay, each way")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked = parser.parse_args(arguments, _Typed())
    if not 0 <= asked.settling < asked.seconds:
        parser.error(f"--settling {asked.settling:g} leaves nothing of --seconds {asked.seconds:g}")
    watch = Watch()
    with tempfile.TemporaryDirectory() as made:
        fixed, growing = compare(Path(made), Times(asked.seconds, asked.settling, asked.milliseconds / 1000))
    rows = {
        "down, whole": (fixed.down.whole, growing.down.whole),
        "down, settled": (fixed.down.settled, growing.down.settled),
        "up, whole": (fixed.up.whole, growing.up.whole),
        "up, settled": (fixed.up.settled, growing.up.settled),
    }
    print(f"one stream, {2 * asked.milliseconds:g} ms round trip, {asked.seconds:g} s a transfer, megabytes a second")
    print(f"whole: slow start included; settled: without the first {asked.settling:g} s")
    print(f"{'':16}{'window of 256 KiB':>20}{'window that grows':>20}{'times':>8}")
    for name, (still, grown) in rows.items():
        print(f"{name:16}{still:20.1f}{grown:20.1f}{grown / still:8.1f}")
    settings = {"seconds": asked.seconds, "settling": asked.settling, "round_trip_ms": 2 * asked.milliseconds}
    told = {name: {"fixed": still, "growing": grown, "times": grown / still} for name, (still, grown) in rows.items()}
    watch.write(asked.json, settings, {"megabytes_a_second": told})


if __name__ == "__main__":
    main(sys.argv[1:])
