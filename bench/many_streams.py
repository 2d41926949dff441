"""Thousands of exchanges at once on the one link of an agent, over the whole path: visitors, server, agent, service.

None is answered before the local service has all of them, so that each is a stream that is open. Server, agent and
local service are a process each, as in life, and as each needs a descriptor for every stream; this one is all visitors.
Beside them one more visitor asks for something small, again and again: that is answered at once.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from bench.failure import BenchError
from bench.fleet import DOMAIN, Host, host
from bench.holding import Holding, holding
from bench.pair import resident_bytes
from bench.processes import cpu_seconds
from bench.row import Row

from tunnel.core.base.limits import DEFAULT_LIMITS

_KIB: Final = 1024
_NAME: Final = "demo"
_SPARE: Final = 16
"""Streams of a link beside those of the exchanges: its control stream, and those of whoever asks for small things."""
_AT_ONCE: Final = 200
"""Visitors that connect at the same time."""
_PER_ADDRESS: Final = 900
"""And of these from one address; a server lets in `connections_per_address_max`, 1,024."""
_PROBES: Final = 300
_PAUSE_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 300.0
_MICRO: Final = 1e6
_MILLI: Final = 1e3


@final
@dataclass(frozen=True, slots=True)
class _Moment:
    """What server and agent hold, and have used of the processor, at one time."""

    at: float
    memory: tuple[int, int]
    cpu: tuple[float, float]


@final
class _Small:
    """A visitor that asks for small things on one kept-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        self._reader: Final = reader
        self._writer: Final = writer
        self._request: Final = request

    async def ask(self) -> float:
        """Seconds until the answer was there."""
        begun = time.monotonic()
        self._writer.write(self._request)
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), _PATIENCE_SECONDS)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise BenchError(head.partition(b"\r\n")[0].decode("latin-1"))
        await self._reader.readexactly(len(b"/small"))
        return time.monotonic() - begun

    def leave(self) -> None:
        """Close."""
        self._writer.transport.abort()


@final
class _Path:
    """The whole path, running."""

    def __init__(self, server: Host, agent: int, local: Holding) -> None:
        self._server: Final = server
        self._agent: Final = agent
        self.local: Final = local
        self._gate: Final = asyncio.Semaphore(_AT_ONCE)
        self._host: Final = f"Host: {_NAME}.{DOMAIN}:{server.public.port}\r\n"

    def now(self) -> _Moment:
        """Memory and processor time of both."""
        memory = self._server.resident_bytes(), resident_bytes(self._agent)
        return _Moment(time.monotonic(), memory, (self._server.cpu_seconds(), cpu_seconds([self._agent])))

    async def small(self) -> _Small:
        """Who asks for small things."""
        reader, writer = await asyncio.open_connection(self._server.public.host, self._server.public.port)
        return _Small(reader, writer, f"GET /small HTTP/1.1\r\n{self._host}\r\n".encode("ascii"))

    async def exchange(self, number: int) -> bool:
        """One that is held; whether it was answered with what belongs to it."""
        async with self._gate:
            reader, writer = await asyncio.open_connection(
                self._server.public.host,
                self._server.public.port,
                local_addr=(f"127.0.1.{1 + number // _PER_ADDRESS}", 0),
            )
            writer.write(f"GET /hold/{number} HTTP/1.1\r\n{self._host}Connection: close\r\n\r\n".encode("ascii"))
        try:
            answer = await asyncio.wait_for(reader.read(), _PATIENCE_SECONDS)
        finally:
            writer.transport.abort()
        return answer.endswith(b"\r\n\r\n/hold/%d" % number)


async def streams(folder: Path, count: int) -> list[Row]:
    """What so many take of server and agent, how long they take to open, and how small things fare meanwhile.

    Of the limits of server and agent only the streams of a link are raised.
    """
    limit = max(count + _SPARE, DEFAULT_LIMITS.streams_per_session_max)
    words = f"streams_per_session_max = {limit}\n"
    async with AsyncExitStack() as until:
        server = await until.enter_async_context(host(folder, words))
        local = await until.enter_async_context(holding())
        config = folder / "agent.toml"
        config.write_text(f"version = 1\n\n[limits]\n{words}", encoding="utf-8")
        agent = await until.enter_async_context(server.agent(_NAME, local.port, "--config", str(config)))
        path = _Path(server, agent, local)
        small = await path.small()
        until.callback(small.leave)
        for _ in range(_PROBES):
            await small.ask()  # warm
        return [await _measured(path, small, count)]


async def _measured(path: _Path, small: _Small, count: int) -> Row:
    alone = [await small.ask() for _ in range(_PROBES)]
    empty = path.now()
    exchanges = [asyncio.create_task(path.exchange(number)) for number in range(count)]
    try:
        opening = await _while_opening(path, small, exchanges)
        full = path.now()
        among = [await small.ask() for _ in range(_PROBES)]
        probed = path.now()
        await path.local.release()
        right = sum(await asyncio.gather(*exchanges))
    finally:
        for task in exchanges:
            task.cancel()
        await asyncio.wait(exchanges)
    over = path.now()
    if right != count:
        message = f"{count - right} of {count} exchanges were answered wrongly"
        raise BenchError(message)
    kib = [(later - sooner) / count / _KIB for later, sooner in zip(full.memory, empty.memory, strict=True)]
    opened = [(later - sooner) / count * _MICRO for later, sooner in zip(full.cpu, empty.cpu, strict=True)]
    answered = [(later - sooner) / count * _MICRO for later, sooner in zip(over.cpu, probed.cpu, strict=True)]
    seconds = full.at - empty.at
    figures = {
        "server_kib_each": kib[0],
        "agent_kib_each": kib[1],
        "open_seconds": seconds,
        "open_server_cpu_us": opened[0],
        "open_agent_cpu_us": opened[1],
        "answer_seconds": over.at - probed.at,
        "answer_server_cpu_us": answered[0],
        "answer_agent_cpu_us": answered[1],
        **_spread("alone", alone),
        **_spread("opening", opening),
        **_spread("among", among),
    }
    used = over.cpu[0] - empty.cpu[0]
    return Row("streams on one link", count, kib[0], over.at - empty.at, used, _note(figures), figures)


async def _while_opening(path: _Path, small: _Small, exchanges: "list[asyncio.Task[bool]]") -> list[float]:
    """Ask for small things until the local service has all exchanges; one that ends before that tells why it fails."""
    held = asyncio.create_task(asyncio.wait_for(path.local.held(len(exchanges)), _PATIENCE_SECONDS))
    early = asyncio.create_task(asyncio.wait(exchanges, return_when=asyncio.FIRST_COMPLETED))
    taken = list[float]()
    try:
        while not held.done():
            if early.done():
                message = f"an exchange of {len(exchanges)} ended before all were open"
                raise BenchError(message)
            taken.append(await small.ask())
            await asyncio.sleep(_PAUSE_SECONDS)
        await held
    finally:
        held.cancel()
        early.cancel()
        await asyncio.wait([held, early])
    return taken


def _spread(when: str, seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]
    return {f"small_{when}_p50_ms": ordered[len(ordered) >> 1] * _MILLI, f"small_{when}_p99_ms": late * _MILLI}


def _note(of: dict[str, float]) -> str:
    small = [
        f"{of[f'small_{when}_p50_ms']:.1f}/{of[f'small_{when}_p99_ms']:.1f}" for when in ("alone", "opening", "among")
    ]
    return (
        f"agent {of['agent_kib_each']:.1f} KiB each; open in {of['open_seconds']:.1f} s, all answered in"
        f" {of['answer_seconds']:.1f} s\n"
        f"CPU us, server+agent: {of['open_server_cpu_us']:.0f}+{of['open_agent_cpu_us']:.0f} to open,"
        f" {of['answer_server_cpu_us']:.0f}+{of['answer_agent_cpu_us']:.0f} to answer one\n"
        f"small requests, p50/p99 ms: {small[0]} alone, {small[1]} opening, {small[2]} among"
    )
