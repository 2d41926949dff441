"""Many of everything on one server: idle agents, idle visitors, agents that all come back at once, streams on one link.

    python -m bench.scale [--counts 1000,5000,10000] [--herd 1000] [--streams 1000,5000,10000] [--json FILE]

Each row is measured at each count, so that growth which is not linear shows. The agents run in this process, which is
why the time to accept them all is that of two processes on the same cores; the server's own share is beside it.
"""

import argparse
import asyncio
import gc
import json
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, final

import uvloop
from bench.failure import BenchError
from bench.fleet import DOMAIN, Host, Member, host
from bench.pair import LOOPBACK, resident_bytes
from bench.thousand import crowd

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.drive.address import Address
from tunnel.drive.descriptors import connections_possible
from tunnel.server.state import server_identity

KIB: Final = 1024
_AT_ONCE: Final = 48
"""Agents that shake hands at the same time: below what one address may (`handshakes_per_address_max`)."""
_VISITORS_AT_ONCE: Final = 200
_VISITORS_PER_ADDRESS: Final = 900
_IDLE_SECONDS: Final = 20.0
_PATIENCE_SECONDS: Final = 300.0
_SETTLE_SECONDS: Final = 2.0
_HANDSHAKES: Final = 500
_NOWHERE: Final = Address(LOOPBACK, 9)
_LIMITS: Final = (
    "idle_seconds_max = 3600.0\nstreams_per_session_max = 20000\nsession_buffer_bytes_max = 1073741824\n"
    "connections_per_address_max = 20000\n"
)


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: so many of something, what each takes, and what the server used of the processor."""

    what: str
    count: int
    kib_each: float
    seconds: float
    server_cpu_seconds: float
    note: str


async def _gather_agents(of: Host, count: int, limits: Limits) -> list[Member]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def join(number: int) -> Member:
        async with gate:
            member = Member(of, f"agent-{number}", _NOWHERE, limits)
            await asyncio.wait_for(member.roll.ready(), _PATIENCE_SECONDS)
            return member

    return list(await asyncio.gather(*(join(number) for number in range(count))))


async def agents(folder: Path, count: int) -> list[Row]:
    """So many idle agents: what each takes, how long they took to come, what their heartbeats cost."""
    async with host(folder, _LIMITS) as server:
        first = await _gather_agents(server, 20, Limits())
        for member in first:
            await member.stop()
        await asyncio.sleep(_SETTLE_SECONDS)
        empty, begun, used = server.resident_bytes(), time.monotonic(), server.cpu_seconds()
        members = await _gather_agents(server, count, Limits())
        seconds, used = time.monotonic() - begun, server.cpu_seconds() - used
        await asyncio.sleep(_SETTLE_SECONDS)
        each = (server.resident_bytes() - empty) / count / KIB
        rows = [Row("idle agents", count, each, seconds, used, f"{1e3 * used / count:.2f} ms of CPU to accept one")]
        idle = server.cpu_seconds()
        await asyncio.sleep(_IDLE_SECONDS)
        idle = server.cpu_seconds() - idle
        rows.append(Row("heartbeats", count, 0.0, _IDLE_SECONDS, idle, f"{100 * idle / _IDLE_SECONDS:.1f} % of a core"))
        server.kill()
        for member in members:
            member.task.cancel()
        await asyncio.gather(*(member.task for member in members), return_exceptions=True)
    return rows


async def visitors(folder: Path, count: int) -> list[Row]:
    """So many kept-alive visitors that have had an answer and ask nothing now."""
    async with host(folder, _LIMITS) as server, crowd(1 << 30) as local:
        member = Member(server, "demo", Address(LOOPBACK, local.port))
        await asyncio.wait_for(member.roll.ready(), _PATIENCE_SECONDS)
        gate = asyncio.Semaphore(_VISITORS_AT_ONCE)

        async def come(number: int) -> asyncio.StreamWriter:
            source = f"127.0.1.{1 + number // _VISITORS_PER_ADDRESS}"
            async with gate:
                reader, writer = await asyncio.open_connection(*_target(server), local_addr=(source, 0))
                # Of a name that nobody has: the answer is the server's own, and no stream stays open for it.
                writer.write(f"GET / HTTP/1.1\r\nHost: nobody.{DOMAIN}:{server.public.port}\r\n\r\n".encode("ascii"))
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_SECONDS)
                return writer

        warm = [await come(number) for number in range(20)]
        empty, begun, used = server.resident_bytes(), time.monotonic(), server.cpu_seconds()
        held = await asyncio.gather(*(come(number) for number in range(count)))
        seconds, used = time.monotonic() - begun, server.cpu_seconds() - used
        await asyncio.sleep(_SETTLE_SECONDS)
        each = (server.resident_bytes() - empty) / count / KIB
        for writer in (*warm, *held):
            writer.transport.abort()
        await member.stop()
    return [
        Row("idle visitors", count, each, seconds, used, f"{1e3 * used / count:.2f} ms of CPU for each and its 404")
    ]


def _target(server: Host) -> tuple[str, int]:
    return server.public.host, server.public.port


async def herd(folder: Path, count: int) -> list[Row]:
    """A server that is killed under its agents and comes back: when the last of them has its name again."""
    async with host(folder, _LIMITS) as server:
        members = await _gather_agents(server, count, Limits())
        server.kill()
        await server.gone()
        await asyncio.sleep(_SETTLE_SECONDS)
        begun = time.monotonic()
        await server.start()
        await asyncio.wait_for(asyncio.gather(*(member.roll.ready(2) for member in members)), _PATIENCE_SECONDS)
        back = sorted(member.roll.ready_at[1] - begun for member in members)
        tries = sum(len(member.roll.lost_at) for member in members) / count
        used = server.cpu_seconds()
        for member in members:
            member.task.cancel()
        await asyncio.gather(*(member.task for member in members), return_exceptions=True)
    half, most = back[count // 2], back[count * 95 // 100]
    note = f"half after {half:.1f} s, 95 % after {most:.1f} s, {tries:.1f} tries each"
    return [Row("agents back after kill -9", count, 0.0, back[-1], used, note)]


async def streams(folder: Path, count: int) -> list[Row]:
    """So many exchanges at once on the link of one agent, none answered before all are there."""
    async with host(folder, _LIMITS) as server, crowd(count) as local:
        member = Member(server, "demo", Address(LOOPBACK, local.port), Limits(streams_per_session_max=20_000))
        await asyncio.wait_for(member.roll.ready(), _PATIENCE_SECONDS)
        empty, begun, used = server.resident_bytes(), time.monotonic(), server.cpu_seconds()
        gate = asyncio.Semaphore(_VISITORS_AT_ONCE)
        request = f"Host: demo.{DOMAIN}:{server.public.port}\r\nConnection: close\r\n\r\n"

        async def come(number: int) -> bool:
            async with gate:
                reader, writer = await asyncio.open_connection(
                    *_target(server), local_addr=(f"127.0.1.{1 + number // _VISITORS_PER_ADDRESS}", 0)
                )
                writer.write(f"GET /{number} HTTP/1.1\r\n{request}".encode("ascii"))
            answer = await asyncio.wait_for(reader.read(), _PATIENCE_SECONDS)
            writer.transport.abort()
            return answer.endswith(b"\r\n\r\n/%d" % number)

        asked = [asyncio.create_task(come(number)) for number in range(count)]
        await asyncio.wait_for(local.all_here.wait(), _PATIENCE_SECONDS)
        full = server.resident_bytes()
        local.go_on.set()
        right = sum(await asyncio.gather(*asked))
        seconds, used = time.monotonic() - begun, server.cpu_seconds() - used
        await member.stop()
    each = (full - empty) / count / KIB
    return [
        Row(
            "streams on one link",
            count,
            each,
            seconds,
            used,
            f"{right} answered right, {1e3 * used / count:.2f} ms each",
        )
    ]


def openssl_kib() -> float:
    """What one established server side of TLS takes in OpenSSL and `ssl` alone: no socket, no loop, nothing of ours."""
    with tempfile.TemporaryDirectory() as made:
        identity = server_identity(Path(made), [DOMAIN], UnixSeconds(int(time.time())))
        if not isinstance(identity, Success):
            message = "no certificate could be made"
            raise BenchError(message)
        ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ours.load_cert_chain(value_of(identity).chain)
    theirs = ssl.create_default_context()
    theirs.check_hostname, theirs.verify_mode = False, ssl.CERT_NONE

    def shaken(kept: list[object]) -> None:
        down, up = ssl.MemoryBIO(), ssl.MemoryBIO()
        server, client = ours.wrap_bio(up, down, server_side=True), theirs.wrap_bio(down, up)
        waiting: list[Callable[[], None]] = [client.do_handshake, server.do_handshake]
        while waiting:
            for side in list(waiting):
                with suppress(ssl.SSLWantReadError):
                    side()
                    waiting.remove(side)
        kept.append((server, up, down))

    warm: list[object] = []
    for _ in range(50):
        shaken(warm)
    kept: list[object] = []
    gc.collect()
    before = resident_bytes(_myself())
    for _ in range(_HANDSHAKES):
        shaken(kept)
    gc.collect()
    return (resident_bytes(_myself()) - before) / _HANDSHAKES / KIB


def _myself() -> int:
    return int(Path("/proc/self").resolve().name)


def _table(rows: Sequence[Row]) -> str:
    lines = [f"{'what':26} {'count':>6} {'KiB each':>9} {'seconds':>8} {'server CPU s':>12}"]
    for row in rows:
        each = f"{row.kib_each:9.1f}" if row.kib_each else f"{'':9}"
        lines += [
            f"{row.what:26} {row.count:6} {each} {row.seconds:8.1f} {row.server_cpu_seconds:12.2f}",
            f"    {row.note}",
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Many agents, visitors and streams on one server.")
    parser.add_argument("--counts", default="1000,5000,10000")
    parser.add_argument("--streams", default="1000,5000")
    parser.add_argument("--herd", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    counts = [int(count) for count in asked.counts.split(",")]
    possible = connections_possible()
    if possible < max(counts):
        message = f"{max(counts)} connections need as many descriptors, and this process may have {possible}"
        raise SystemExit(message)
    alone = openssl_kib()
    print(f"OpenSSL and ssl alone: {alone:.1f} KiB for the server side of one TLS connection", flush=True)
    rows: list[Row] = []
    plan = [(agents, count) for count in counts] + [(visitors, count) for count in counts]
    plan += [(streams, int(count)) for count in asked.streams.split(",") if count] + [(herd, asked.herd)]
    for measure, count in plan:
        with tempfile.TemporaryDirectory(prefix="scale-") as made:
            fresh = uvloop.run(measure(Path(made), count))
        print(_table(fresh), flush=True)
        rows += fresh
    print("\n" + _table(rows))
    if asked.json is not None:
        told = {"openssl_kib": alone, "rows": [asdict(row) for row in rows]}
        asked.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
