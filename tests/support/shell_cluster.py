"""A server of several workers as real processes on loopback, and agents in the loop of the test that dial it.

What it says on standard output becomes events that a test can wait for; leaving it asserts that no process is left.
"""

import asyncio
import dataclasses
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar, final

import pytest
from tests.support.shell_world import DOMAIN, LOOPBACK, PATIENCE, Log, World, address_of

from tunnel.cli.words import EVENT_NAMES
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Outcome, Success
from tunnel.observe.events import AgentReady, Event, FromWorker, ServerReady, WorkerEnded, WorkerStarted
from tunnel.server.end import ServerEnd

_CLASSES: Final = {name: kind for kind, name in EVENT_NAMES.items() if kind is not AgentReady}

E = TypeVar("E")


@final
class Cluster:
    """A supervised server that runs."""

    def __init__(self, world: World, process: asyncio.subprocess.Process) -> None:
        self.world: Final = world
        self.process: Final = process
        self.by_worker: Final[list[tuple[int, Event]]] = []

    def pids(self) -> dict[int, int]:
        """The processes of the workers that serve, by number."""
        ended = {event.worker for event in self.world.log.all(WorkerEnded)}
        return {event.worker: event.pid for event in self.world.log.all(WorkerStarted) if event.worker not in ended}

    def told_by(self, kind: type[E]) -> list[tuple[int, E]]:
        """Events of a kind, each with the worker that told it."""
        return [(worker, event) for worker, event in self.by_worker if isinstance(event, kind)]

    async def reloaded(self) -> tuple[int, str]:
        """`tunnel reload`: its exit code and what it said."""
        process = await asyncio.create_subprocess_exec(
            *_program("reload", "--state", str(self.world.state)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()


BRISK: Final = "[limits]\nrest_seconds = 0.2\nworker_start_seconds_max = 60.0\n"
"""Retiring workers wait no longer than they must for visitors that rest; new ones have time beside other load."""


def _program(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from tunnel.cli.main import main; main()", *arguments]


@asynccontextmanager
async def cluster(
    directory: Path,
    workers: int = 2,
    *,
    config: str = BRISK,
    exit_code: int = 0,
    api: str = "none",
    **environment: str,
) -> AsyncIterator[Cluster]:
    """A server with its own state directory; `config` is put behind `version = 1` in its config file."""
    state, file = directory / "state", directory / "tunnel.toml"
    file.write_text(f"version = 1\n{config}")
    arguments = [
        "--domain",
        DOMAIN,
        "--public",
        f"{LOOPBACK}:0",
        "--agents",
        f"{LOOPBACK}:0",
        "--api",
        api,
        "--state",
        str(state),
    ]
    with (directory / "server.log").open("wb") as words:
        process = await asyncio.create_subprocess_exec(
            *_program("server", *arguments, "--workers", str(workers), "--config", str(file), "--output", "json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=words,
            env={**os.environ, "TMPDIR": str(directory), **environment},
        )
    log = Log()
    world = World(state, Limits(grace_seconds=5.0), log, asyncio.Event(), asyncio.create_task(_elsewhere()))
    found = Cluster(world, process)
    reading = asyncio.create_task(_read(process, found))
    try:
        starting = asyncio.ensure_future(log.next(ServerReady))
        await asyncio.wait([starting, reading], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done() or starting.exception() is not None:
            starting.cancel()
            pytest.fail(f"the server did not start: {(directory / 'server.log').read_text()}")
        ready = starting.result()
        world.public, world.agents = address_of(ready.public), address_of(ready.agents)
        await log.next(WorkerStarted, workers)
        yield found
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            await process.wait()
            await reading
    assert process.returncode == exit_code
    if not exit_code:
        assert found.pids() == {}
        assert _left_in(directory) == []


async def _elsewhere() -> Outcome[None, ServerEnd]:
    """The server of this world is another process."""
    return Success(None)


async def _read(process: asyncio.subprocess.Process, found: Cluster) -> None:
    stream = process.stdout
    while stream is not None and (line := await stream.readline()):
        told = json.loads(line)
        kind = _CLASSES.get(told.pop("event"))
        if kind is None or kind is FromWorker:
            continue
        worker = told.get("worker", 0)
        names = {each.name for each in dataclasses.fields(kind)}
        make: Callable[..., Event] = kind
        event = make(**_fields(told, names))
        found.by_worker.append((worker, event))
        found.world.log.emit(event)


def _fields(told: dict[str, object], names: set[str]) -> dict[str, object]:
    whole = {**told, "url_pattern": told.get("url", "")}
    return {name: whole.get(name, "") for name in names}


def _left_in(directory: Path) -> list[Path]:
    return list(directory.glob("tunnel-*"))


def is_alive(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
