"""A server and an agent as processes from the command line, for measurements of their memory."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, final

from bench.failure import BenchError

LOOPBACK: Final = "127.0.0.1"
NAME: Final = "demo"
_START_SECONDS_MAX: Final = 20.0
_PROGRAM: Final = (sys.executable, "-c", "from tunnel.cli.main import main; main()")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Place(Protocol):
    """Where something listens."""

    @property
    def host(self) -> str:
        """An address."""

    @property
    def port(self) -> int:
        """A TCP port."""


@final
@dataclass(frozen=True, slots=True)
class Pair:
    """Where visitors come, what they send as Host, and which processes are looked at."""

    port: int
    host: str
    server: int
    agent: int

    def resident_bytes(self) -> tuple[int, int]:
        """What server and agent hold in memory now."""
        return resident_bytes(self.server), resident_bytes(self.agent)


def resident_bytes(pid: int) -> int:
    """The resident set of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE_BYTES


@asynccontextmanager
async def pair(
    local: int,
    folder: Path,
    *,
    flags: tuple[str, ...] = (),
    between: Callable[[int], AbstractAsyncContextManager[Place]] | None = None,
) -> AsyncIterator[Pair]:
    """Both processes, exposing the local port; they are stopped at the end.

    Both get `flags`; what `between` makes of the agents' port is what the agent dials.
    """
    state, token = folder / "state", folder / "token"
    anywhere = ("--public", f"{LOOPBACK}:0", "--agents", f"{LOOPBACK}:0", "--api", "none")
    serve = ("server", "--domain", "localhost", *anywhere, "--state", str(state), "--quiet", "--output", "json")
    async with _running(*serve, *flags) as server, AsyncExitStack() as until:
        ready = await _ready(server)
        agents = ready["agents"]
        if between is not None:
            place = await until.enter_async_context(between(int(agents.rpartition(":")[2])))
            agents = f"{place.host}:{place.port}"
        minted = await asyncio.create_subprocess_exec(
            *_PROGRAM, "token", "mint", "--state", str(state), "--name", "*", "--out", str(token),
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if await minted.wait():
            message = "no token was minted"
            raise BenchError(message)
        trust = ("--token-file", str(token), "--ca", str(state / "ca.pem"), "--quiet", "--output", "json")
        async with _running("http", str(local), "--name", NAME, "--server", agents, *trust, *flags) as agent:
            url = (await _ready(agent))["url"]
            host = url.removeprefix("http://").removesuffix("/")
            yield Pair(int(host.rpartition(":")[2]), host, server.pid, agent.pid)


@asynccontextmanager
async def _running(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(*_PROGRAM, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _ready(process: asyncio.subprocess.Process) -> dict[str, str]:
    """The first line that a process prints."""
    if process.stdout is None:
        message = "the process has no output"
        raise BenchError(message)
    async with asyncio.timeout(_START_SECONDS_MAX):
        line = await process.stdout.readline()
    told: object = json.loads(line) if line else None
    if not isinstance(told, dict):
        message = f"a process ended before it was ready, with code {await process.wait()}"
        raise BenchError(message)
    return {str(key): str(value) for key, value in told.items()}
