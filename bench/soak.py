"""A long run with churn: agents come, go and are cut; visitors ask, upload, break off, stall and send nonsense.

    python -m bench.soak --seconds 3600 [--json FILE]     (make soak TIME=3600)

One server and one agent are processes of their own and are looked at: memory and descriptors, every few seconds. All
else happens in this process, which is also the local service. At the end the churn stops, and what both processes hold
then is compared with what they held after the first minutes. Ends with 1 when memory or descriptors have grown, when an
exchange that nothing disturbed went wrong, or when an exception reached a guard.
"""

import argparse
import asyncio
import hashlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Final, final

import uvloop
from bench.fleet import DOMAIN, Host, Member, host
from bench.pair import LOOPBACK, resident_bytes

from tunnel.drive.address import Address

_SAMPLE_SECONDS: Final = 5.0
_VISITORS: Final = 12
_CHURNING: Final = 4
_LIFE_SECONDS_MAX: Final = 6.0
_PATIENCE_SECONDS: Final = 30.0
_REST_SECONDS: Final = 8.0
_BODY_BYTES_MAX: Final = 300_000
_PIECE: Final = 16_384
_GROWTH_BYTES_MAX: Final = 6_000_000
"""Of the median of the last fifth over that of the second: an allocator's noise is less, a stream a second is more."""
_NONSENSE: Final = (
    b"\x16\x03\x01\x00\x05hello",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: demo.localhost\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


@final
@dataclass(frozen=True, slots=True)
class Sample:
    """What a moment showed; bytes and open descriptors of server and agent."""

    at: float
    server_bytes: int
    server_descriptors: int
    agent_bytes: int
    agent_descriptors: int


@final
@dataclass
class Report:
    """What was seen."""

    seconds: float = 0.0
    did: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    rest: Sample | None = None
    first: Sample | None = None
    escapes: int = -1

    def grown(self, of: Callable[[Sample], int]) -> float:
        """The median of the last fifth of the run less that of the second fifth."""
        fifth = max(len(self.samples) // 5, 1)
        return median(map(of, self.samples[-fifth:])) - median(map(of, self.samples[fifth : 2 * fifth] or self.samples))

    def faults(self) -> list[str]:
        """Why the run was not flat; empty when it was."""
        found = [f"exchange went wrong: {wrong}" for wrong in self.wrong[:10]]
        if self.escapes != 0:
            found.append(f"handler_escapes_total {self.escapes}")
        for name, of in (("server", lambda s: s.server_bytes), ("agent", lambda s: s.agent_bytes)):
            if self.grown(of) > _GROWTH_BYTES_MAX:
                found.append(f"{name} grew by {self.grown(of) / 1e6:.1f} MB")
        if self.first is not None and self.rest is not None:
            for name, before, after in (
                ("server", self.first.server_descriptors, self.rest.server_descriptors),
                ("agent", self.first.agent_descriptors, self.rest.agent_descriptors),
            ):
                if after > before:
                    found.append(f"{name} holds {after} descriptors at rest, {before} at first")
        return found


async def _local(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Echoes bodies, and fails in every way that its target asks for."""
    with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split(b" ", 2)[1]
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
            )
            if b"upgrade: echo" in head.lower():
                writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
                while piece := await reader.read(_PIECE):
                    writer.write(piece)
                    await writer.drain()
                break
            body = await reader.readexactly(length)
            if target == b"/reset":
                writer.transport.abort()
                return
            if target == b"/nonsense":
                writer.write(b"HTTP/1.1 two hundred\r\n\r\n")
                break
            if target == b"/short":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot so much")
                break
            if target.startswith(b"/down/"):
                body = bytes(int(target[6:]))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            for begin in range(0, len(body), _PIECE):
                writer.write(body[begin : begin + _PIECE])
                await writer.drain()
    writer.close()


@final
class Soak:
    """One run."""

    def __init__(self, server: Host, local: int, seed: int, pause: float) -> None:
        self.server: Final = server
        self.report: Final = Report()
        self._local: Final = Address(LOOPBACK, local)
        self._chance: Final = random.Random(seed)
        self._pause: Final = pause
        self._begun: Final = time.monotonic()
        self._churned = 0

    def head(self, method: str, target: str, *fields: str, name: str = "steady") -> bytes:
        """A request head for one of our names."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {name}.{DOMAIN}:{self.server.public.port}", *fields]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.server.public.host, self.server.public.port)

    async def echo(self) -> None:
        """Some exchanges on one connection, each body checked."""
        reader, writer = await self._open()
        for _ in range(self._chance.randrange(1, 6)):
            body = self._chance.randbytes(self._chance.randrange(_BODY_BYTES_MAX))
            writer.write(self.head("POST", "/echo", f"Content-Length: {len(body)}") + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            got = await reader.readexactly(len(body)) if answer.startswith(b"HTTP/1.1 200") else b""
            if hashlib.sha256(got).digest() != hashlib.sha256(body).digest():
                self.report.wrong.append(f"echo of {len(body)} bytes: {answer[:60]!r}, {len(got)} bytes")
                break
        writer.close()

    async def websocket_like(self) -> None:
        """An upgrade, some turns, a half close."""
        reader, writer = await self._open()
        writer.write(self.head("GET", "/", "Connection: Upgrade", "Upgrade: echo"))
        answer = await reader.readuntil(b"\r\n\r\n")
        for _ in range(self._chance.randrange(1, 10)):
            said = self._chance.randbytes(self._chance.randrange(1, 5000))
            writer.write(said)
            if await reader.readexactly(len(said)) != said:
                self.report.wrong.append(f"upgraded: {answer[:60]!r}")
        writer.write_eof()
        await reader.read()
        writer.close()

    async def broken_off(self) -> None:
        """A download or an upload that its visitor leaves in the middle."""
        reader, writer = await self._open()
        if self._chance.getrandbits(1):
            writer.write(self.head("GET", f"/down/{3_000_000}"))
            await reader.readexactly(self._chance.randrange(1, 100_000))
        else:
            writer.write(self.head("POST", "/echo", "Content-Length: 500000") + bytes(self._chance.randrange(100_000)))
        writer.transport.abort()

    async def failing(self) -> None:
        """A local service that misbehaves."""
        reader, writer = await self._open()
        writer.write(self.head("GET", self._chance.choice(("/reset", "/nonsense", "/short")), "Connection: close"))
        await reader.read()
        writer.close()

    async def nonsense(self) -> None:
        """Something that is no request."""
        reader, writer = await self._open()
        writer.write(self._chance.choice(_NONSENSE))
        writer.write_eof()
        await reader.read()
        writer.close()

    async def unknown(self) -> None:
        """A name that nobody has, or that somebody had a moment ago."""
        reader, writer = await self._open()
        writer.write(self.head("GET", "/", "Connection: close", name=f"churn-{self._chance.randrange(50)}"))
        await reader.read()
        writer.close()

    async def visit(self, until: float) -> None:
        """One visitor after the other."""
        ways: dict[str, Callable[[], Awaitable[None]]] = {
            "echo": self.echo,
            "upgrade": self.websocket_like,
            "broken off": self.broken_off,
            "failing service": self.failing,
            "nonsense": self.nonsense,
            "unknown or gone": self.unknown,
        }
        while time.monotonic() < until:
            way = self._chance.choice(sorted(ways))
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await ways[way]()
            except (OSError, EOFError, asyncio.IncompleteReadError) as cause:
                if way in ("echo", "upgrade") or isinstance(cause, TimeoutError):
                    self.report.wrong.append(f"{way}: {cause!r}")
            self.report.did[way] += 1
            await asyncio.sleep(self._chance.random() * self._pause)

    async def churn(self, until: float) -> None:
        """One agent after the other: stopped politely or cut, its name used again and again."""
        while time.monotonic() < until:
            self._churned = (self._churned + 1) % 50
            member = Member(self.server, f"churn-{self._churned}", self._local)
            await asyncio.sleep(self._chance.random() * _LIFE_SECONDS_MAX)
            if self._chance.getrandbits(1):
                await member.cut()
                self.report.did["agent cut"] += 1
            else:
                await member.stop()
                self.report.did["agent stopped"] += 1

    def sample(self, agent: int) -> Sample:
        """What both processes hold now."""
        descriptors = len(list(Path(f"/proc/{agent}/fd").iterdir()))
        at = time.monotonic() - self._begun
        return Sample(at, self.server.resident_bytes(), self.server.descriptors(), resident_bytes(agent), descriptors)


async def soak(folder: Path, seconds: float, seed: int, pause: float) -> Report:
    """Run it."""
    local = await asyncio.start_server(_local, LOOPBACK, 0)
    port = int(local.sockets[0].getsockname()[1])
    async with host(folder) as server, server.agent("steady", port) as agent:
        run = Soak(server, port, seed, pause)
        await run.echo()
        report = run.report
        report.first = run.sample(agent)
        until = time.monotonic() + seconds
        work = [asyncio.create_task(run.visit(until)) for _ in range(_VISITORS)]
        work += [asyncio.create_task(run.churn(until)) for _ in range(_CHURNING)]
        while time.monotonic() < until:
            await asyncio.sleep(min(_SAMPLE_SECONDS, seconds / 20))
            report.samples.append(run.sample(agent))
        await asyncio.gather(*work)
        await asyncio.sleep(_REST_SECONDS)
        report.rest = run.sample(agent)
        report.seconds = seconds
    report.escapes = server.escapes()
    local.close()
    return report


def _show(report: Report) -> None:
    print(", ".join(f"{count} {what}" for what, count in sorted(report.did.items())))
    print(f"{'':10} {'server MB':>10} {'fds':>5} {'agent MB':>10} {'fds':>5}")
    fifth = max(len(report.samples) // 5, 1)
    rows = (
        [("first", report.first)]
        + [(f"{row.at:.0f} s", row) for row in report.samples[fifth :: fifth or 1]]
        + [("at rest", report.rest)]
    )
    for name, row in rows:
        if row is not None:
            print(
                f"{name:10} {row.server_bytes / 1e6:10.1f} {row.server_descriptors:5}"
                f" {row.agent_bytes / 1e6:10.1f} {row.agent_descriptors:5}"
            )
    server, agent = report.grown(lambda s: s.server_bytes), report.grown(lambda s: s.agent_bytes)
    print(f"last fifth over second fifth: server {server / 1e6:+.1f} MB, agent {agent / 1e6:+.1f} MB")
    print(f"handler_escapes_total {report.escapes}")


def main(arguments: Sequence[str]) -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description="Memory and descriptors under churn, for as long as you like.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds at most between two visits of one visitor")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-") as made:
        report = uvloop.run(soak(Path(made), asked.seconds, asked.seed, asked.pause))
    _show(report)
    if asked.json is not None:
        told = {
            "seconds": report.seconds,
            "did": dict(report.did),
            "wrong": report.wrong,
            "samples": [asdict(row) for row in (report.first, *report.samples, report.rest) if row is not None],
            "handler_escapes_total": report.escapes,
        }
        asked.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    faults = report.faults()
    for fault in faults:
        print(f"NOT FLAT: {fault}")
    if not faults:
        print("flat")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
