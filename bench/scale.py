"""Many of everything on one server: idle agents, idle visitors, agents that all come back at once, streams on one link.

    python -m bench.scale [--counts 1000,5000,10000] [--herd 1000] [--streams 1000,5000,10000] [--json FILE]

Each row is measured at each count, so that growth which is not linear shows. The agents run in this process, which is
why the time to accept them all is that of two processes on the same cores; the server's own share is beside it.
"""

import argparse
import asyncio
import gc
import resource
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final, final

import uvloop
from bench.failure import BenchError
from bench.fleet import DOMAIN, Host, Member, host
from bench.machine import Facts, Watch
from bench.many_streams import streams
from bench.pair import LOOPBACK, resident_bytes
from bench.row import Row, table_of
from bench.thousand import crowd

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.drive.address import Address
from tunnel.drive.descriptors import connections_possible
from tunnel.server.state import server_identity

KIB: Final = 1024
_AT_ONCE: Final = 48
"""Agents that shake hands at the same time: below what one address may (`handshakes_per_address_max`)."""
_VISITORS_AT_ONCE: Final = 200
_VISITORS_PER_ADDRESS: Final = 900
_PERIODS: Final = 4
"""Of heartbeats that are measured: a time that is no multiple of theirs holds more of some agents than of others."""
_MICRO: Final = 1e6
_PATIENCE_SECONDS: Final = 300.0
_SETTLE_SECONDS: Final = 2.0
_HANDSHAKES: Final = 500
_SPARE_DESCRIPTORS: Final = 1024
"""For whatever is no connection, and for small requests beside."""
_NOWHERE: Final = Address(LOOPBACK, 9)
_LIMITS: Final = (
    "idle_seconds_max = 3600.0\nstreams_per_session_max = 20000\nsession_buffer_bytes_max = 1073741824\n"
    "connections_per_address_max = 20000\n"
)


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
        rows.append(await _heartbeats(server, count))
        server.kill()
        for member in members:
            member.task.cancel()
        await asyncio.gather(*(member.task for member in members), return_exceptions=True)
    return rows


async def _heartbeats(server: Host, count: int) -> Row:
    """What they cost over a whole number of their periods: each agent and its server ask after the other in each."""
    seconds = _PERIODS * DEFAULT_LIMITS.heartbeat_seconds
    used, woken = server.cpu_seconds(), _wake_ups(server.pid)
    await asyncio.sleep(seconds)
    used, woken = server.cpu_seconds() - used, _wake_ups(server.pid) - woken
    beats = count * _PERIODS
    figures = {"share_of_a_core": used / seconds, "cpu_us_each": _MICRO * used / beats, "wake_ups_each": woken / beats}
    note = (
        f"{100 * used / seconds:.1f} % of a core: {figures['cpu_us_each']:.0f} us and {figures['wake_ups_each']:.2f}"
        f" wake-ups for an agent's {DEFAULT_LIMITS.heartbeat_seconds:g} s"
    )
    return Row("heartbeats", count, 0.0, seconds, used, note, figures)


def _wake_ups(pid: int) -> int:
    """How often a process has waited for something, and gone on."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


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


@final
class _Typed(argparse.Namespace):
    """What argparse fills in, with the defaults."""

    counts: str = "1000,5000,10000"
    streams: str = "1000,5000,10000"
    herd: int = 1000
    json: Path | None = None


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Many agents, visitors and streams on one server.")
    parser.add_argument("--counts", help="of idle agents, and of idle visitors")
    parser.add_argument("--streams", help="of exchanges at once on one link; empty for none")
    parser.add_argument("--herd", type=int, help="of agents that come back at once; 0 for none")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked = parser.parse_args(arguments, _Typed())
    counts, of_a_link = _counts(asked.counts), _counts(asked.streams)
    most = max((*counts, *of_a_link, asked.herd))
    possible = descriptors_for(most)
    if possible < most:
        message = f"{most} connections need as many descriptors, and a process may have {possible} here: ulimit -n"
        raise SystemExit(message)
    watch, alone = Watch(), openssl_kib()
    print(f"OpenSSL and ssl alone: {alone:.1f} KiB for the server side of one TLS connection", flush=True)
    rows: list[Row] = []
    plan = [(agents, count) for count in counts] + [(visitors, count) for count in counts]
    plan += [(streams, count) for count in of_a_link] + ([(herd, asked.herd)] if asked.herd else [])
    for measure, count in plan:
        with tempfile.TemporaryDirectory(prefix="scale-") as made:
            fresh = uvloop.run(measure(Path(made), count))
        print(table_of(fresh), flush=True)
        rows += fresh
    print("\n" + table_of(rows))
    settings: Facts = {"counts": asked.counts, "streams": asked.streams, "herd": asked.herd}
    watch.write(asked.json, settings, {"openssl_kib": alone, "rows": [asdict(row) for row in rows]})


def _counts(text: str) -> list[int]:
    return [int(count) for count in text.split(",") if count]


def descriptors_for(connections: int) -> int:
    """For how many connections a process of ours may have descriptors, after asking for as many; root gets them."""
    wanted = connections + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, wanted))
    return connections_possible()


if __name__ == "__main__":
    main(sys.argv[1:])
