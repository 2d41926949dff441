"""A thousand public connections at once through one agent: all are answered, and what that takes in memory.

    python -m bench.thousand --visitors 1000

Nobody is answered before all requests have arrived at the local service, so that all are truly open at the same time.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import uvloop
from bench.pair import LOOPBACK, Pair, pair

from tunnel.drive.descriptors import connections_possible

_BACKLOG: Final = 4096
_PATIENCE_SECONDS: Final = 60.0
_SOCKETS_A_VISITOR: Final = 2
"""In this process: the visitor's own, and the one of the agent at the local service."""


@final
@dataclass(frozen=True, slots=True)
class Report:
    """What was seen; memory as bytes of server and agent."""

    visitors: int
    answered: int
    seconds: float
    idle: tuple[int, int]
    full: tuple[int, int]
    after: tuple[int, int]


@final
class Crowd:
    """The local service: holds every request until so many have come."""

    def __init__(self, expected: int) -> None:
        self.expected: Final = expected
        self.arrived = 0
        self.all_here: Final = asyncio.Event()
        self.go_on: Final = asyncio.Event()
        self.port = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, answered when it is time."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split(b" ")[1]
            if target != b"/warm":
                self.arrived += 1
                if self.arrived >= self.expected:
                    self.all_here.set()
                await self.go_on.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def crowd(expected: int) -> AsyncIterator[Crowd]:
    """The local service while it runs."""
    one = Crowd(expected)
    server = await asyncio.start_server(one.take, LOOPBACK, 0, backlog=_BACKLOG)
    one.port = int(server.sockets[0].getsockname()[1])
    try:
        yield one
    finally:
        server.close()


async def measure(folder: Path, visitors: int) -> Report:
    """Let so many visitors ask at once."""
    if connections_possible() < visitors * _SOCKETS_A_VISITOR:
        message = f"{visitors} visitors need {visitors * _SOCKETS_A_VISITOR} descriptors; raise the limit (ulimit -n)"
        raise OSError(message)
    async with crowd(visitors) as local, pair(local.port, folder) as ours:
        await _visit(ours, "/warm")
        idle = ours.resident_bytes()
        begun = time.monotonic()
        asked = [asyncio.create_task(_visit(ours, f"/{number}")) for number in range(visitors)]
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await _first(local.all_here, asked)
                full = ours.resident_bytes()
                local.go_on.set()
                answers = await asyncio.gather(*asked)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)
        seconds = time.monotonic() - begun
        right = sum(answer.endswith(b"\r\n\r\n/%d" % number) for number, answer in enumerate(answers))
        return Report(visitors, right, seconds, idle, full, ours.resident_bytes())


async def _first(here: asyncio.Event, asked: "list[asyncio.Task[bytes]]") -> None:
    """Wait until all are here; an answer before that is one too early, and tells why."""
    waiting = asyncio.create_task(here.wait())
    done, _ = await asyncio.wait([waiting, *asked], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in done:
        early = task.result()
        if isinstance(early, bytes):
            raise OSError(early.decode("latin-1"))


async def _visit(ours: Pair, target: str) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, ours.port)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {ours.host}\r\nConnection: close\r\n\r\n".encode("ascii"))
        return await reader.read()
    finally:
        writer.transport.abort()


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Memory of server and agent under many connections at once.")
    parser.add_argument("--visitors", type=int, default=1000)
    visitors = int(parser.parse_args(arguments).visitors)
    with tempfile.TemporaryDirectory() as made:
        report = uvloop.run(measure(Path(made), visitors))
    print(f"{report.answered} of {report.visitors} connections answered in {report.seconds:.1f} s")
    for when, (server, agent) in (("idle", report.idle), ("full", report.full), ("after", report.after)):
        print(f"{when:6} server {server / 1e6:6.1f} MB  agent {agent / 1e6:6.1f} MB")
    of_server, of_agent = (full - idle for full, idle in zip(report.full, report.idle, strict=True))
    print(f"a visitor costs the server {of_server / visitors / 1000:.1f} kB", end=" ")
    print(f"and the agent {of_agent / visitors / 1000:.1f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
