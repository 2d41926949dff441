"""A server as a process of its own, and many agents in this one: what the measurements of scale and endurance share."""

import asyncio
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from bench.failure import BenchError
from bench.pair import LOOPBACK, resident_bytes
from bench.processes import accepts, cpu_seconds

from tunnel.agent.run import run_agent
from tunnel.agent.settings import AgentSettings, LocalService
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.link.messages import Keep
from tunnel.core.token.codec import encode_token, key_id_of, token_text
from tunnel.core.token.token import AccountId, EndpointKind, NamePattern, Token, TokenId
from tunnel.drive.address import Address
from tunnel.observe.events import AgentReady, Event, LinkLost
from tunnel.server.state import AUTHORITY, signing_key

DOMAIN: Final = "localhost"
ACCOUNT: Final = b"benchmark account"[:16]
"""Whose tokens are unless somebody else's are asked for; no database knows it."""
_START_SECONDS_MAX: Final = 120.0
"""No expectation: four programs that start at once on a machine that is busy otherwise."""
_STOP_SECONDS_MAX: Final = 60.0
_PORTS: Final = (12_000, 30_000)
"""Below those that systems give to outgoing connections."""
_DAY_SECONDS: Final = 86_400
_PROGRAM: Final = """
import atexit, sys
from tunnel.observe.escapes import escape_stories, handler_escapes_total
from tunnel.cli.main import main
def last_words():
    print("handler_escapes_total", handler_escapes_total(), *escape_stories(), file=sys.stderr)
atexit.register(last_words)
main()
"""
"""`tunnel`, which at its end says how many exceptions reached a guard."""


@final
class Host:
    """A `tunnel server` that may be killed and started again on the same ports and the same state directory."""

    def __init__(self, folder: Path, limits: str = "", control: tuple[str, ...] = ("--api", "none")) -> None:
        self.folder: Final = folder
        self._control: Final = control
        self.state: Final = folder / "state"
        self.public: Final = Address(LOOPBACK, _lasting_port())
        self.agents: Final = Address(LOOPBACK, _lasting_port())
        self._config: Final = folder / "server.toml"
        self._config.write_text(f"version = 1\n\n[limits]\n{limits}", encoding="utf-8")
        self._process: asyncio.subprocess.Process | None = None
        self._draining: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process that serves now; 0 when there is none."""
        return 0 if self._process is None else self._process.pid

    def resident_bytes(self) -> int:
        """What it holds in memory."""
        return resident_bytes(self.pid)

    def cpu_seconds(self) -> float:
        """What it has used of the processor."""
        return cpu_seconds([self.pid])

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    async def start(self) -> None:
        """Return once it accepts."""
        log = (self.folder / "server.log").open("ab")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, "server", "--domain", DOMAIN, "--config", str(self._config),
            "--public", str(self.public), "--agents", str(self.agents), "--state", str(self.state), *self._control,
            "--quiet", "--output", "json", stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
        log.close()
        out = self._process.stdout
        if out is None or not await asyncio.wait_for(out.readline(), _START_SECONDS_MAX):
            message = f"the server did not start: {self.said()}"
            raise BenchError(message)
        self._draining = asyncio.create_task(self._drain(out))

    def kill(self) -> None:
        """As a machine that loses its power."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)

    async def gone(self) -> None:
        """Return once the process is no more."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """End it as an operator does."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_SECONDS_MAX)
            except TimeoutError:
                self.kill()
                await self._process.wait()

    def said(self) -> str:
        """What it and its agents that are processes wrote to standard error, so far."""
        return (self.folder / "server.log").read_text("utf-8", "replace").strip()

    def escapes(self) -> int:
        """How many exceptions reached a guard, by the last words of all its lives and agents; -1 without any."""
        counts = [int(line.split()[1]) for line in self.said().splitlines() if line.startswith("handler_escapes_total")]
        return sum(counts) if counts else -1

    @asynccontextmanager
    async def agent(
        self, name: str, local: int, *flags: str, kind: EndpointKind = EndpointKind.HTTP, account: bytes = ACCOUNT
    ) -> AsyncIterator[int]:
        """An agent as a process of its own, too: its number, once its name is granted."""
        token = self.folder / f"{name}.token"
        token.touch(0o600)
        token.write_text(token_text(minted(self.state, name, kind, account)), encoding="ascii")
        log = (self.folder / "server.log").open("ab")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, kind.name.lower(), str(local), "--name", name,
            "--server", str(self.agents), "--token-file", str(token), "--ca", str(self.state / AUTHORITY), *flags,
            "--quiet", "--output", "json", stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
        log.close()
        out = process.stdout
        try:
            if out is None or not await asyncio.wait_for(out.readline(), _START_SECONDS_MAX):
                message = "the agent did not start"
                raise BenchError(message)
            draining = asyncio.create_task(self._drain(out))
            yield process.pid
            draining.cancel()
        finally:
            process.terminate()
            await process.wait()

    async def _drain(self, out: asyncio.StreamReader) -> None:
        while await out.readline():
            pass


@asynccontextmanager
async def host(folder: Path, limits: str = "", control: tuple[str, ...] = ("--api", "none")) -> AsyncIterator[Host]:
    """A server that accepts, ended with the block; without a control process unless `control` are flags for one."""
    one = Host(folder, limits, control)
    try:
        await one.start()
        yield one
    finally:
        await one.stop()


@final
@dataclass
class Roll:
    """What one agent said of itself."""

    ready_at: list[float] = field(default_factory=list)
    lost_at: list[float] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def emit(self, event: Event) -> None:
        """Keep when, and wake who waits."""
        if isinstance(event, AgentReady):
            self.ready_at.append(time.monotonic())
            self.news.set()
        elif isinstance(event, LinkLost):
            self.lost_at.append(time.monotonic())

    async def ready(self, times: int = 1) -> None:
        """Return once the agent was granted its name so many times."""
        while len(self.ready_at) < times:
            self.news.clear()
            await self.news.wait()


@final
class Member:
    """One agent in this process; with `asked`, one that is to do just that."""

    def __init__(
        self,
        of: Host,
        name: str,
        local: Address,
        limits: Limits = DEFAULT_LIMITS,
        *,
        asked: AgentSettings | None = None,
    ) -> None:
        self.name: Final = name
        self.roll: Final = Roll()
        self._stop: Final = asyncio.Event()
        settings = settings_of(of, name, local, limits) if asked is None else asked
        self.task: Final = asyncio.create_task(run_agent(settings, self.roll, self._stop))

    async def stop(self) -> None:
        """As the developer who presses Ctrl-C."""
        self._stop.set()
        await asyncio.wait([self.task])

    async def cut(self) -> None:
        """As the laptop that is closed."""
        self.task.cancel()
        await asyncio.wait([self.task])


def settings_of(
    of: Host,
    name: str,
    local: Address,
    limits: Limits = DEFAULT_LIMITS,
    kind: EndpointKind = EndpointKind.HTTP,
    account: bytes = ACCOUNT,
) -> AgentSettings:
    """What an agent of this server is asked for when nothing special is: one link, no policy, a name of its own."""
    return AgentSettings(
        server=of.agents,
        local=LocalService(local),
        name=name,
        token=minted(of.state, name, kind, account),
        host_header=Keep(),
        ca=of.state / AUTHORITY,
        limits=limits,
        requests_shown=False,
        kind=kind,
    )


def lasting_ports(count: int) -> int:
    """The first of so many neighbouring ports that nobody listens on."""
    while True:
        low = _lasting_port()
        if not any(accepts(port) for port in range(low, low + count)):
            return low


def _lasting_port() -> int:
    """A free port that no outgoing connection is given meanwhile: a server that is started again needs the same."""
    while True:
        port = secrets.SystemRandom().randrange(*_PORTS)
        if not accepts(port):
            return port


def minted(state: Path, name: str, kind: EndpointKind = EndpointKind.HTTP, account: bytes = ACCOUNT) -> bytes:
    """A token of this server for one name, for a day."""
    key = signing_key(state)
    if not isinstance(key, Success):
        raise BenchError(str(error_of(key)))
    private = value_of(key).private
    now = int(time.time())
    raw = encode_token(
        Token(
            key_id_of(public_key_of(private) or b""),
            TokenId(secrets.token_bytes(16)),
            AccountId(account),
            NamePattern(name),
            frozenset((kind,)),
            names_max=16,
            streams_max=0xFFFF,
            sessions_max=16,
            not_before=UnixSeconds(now - _DAY_SECONDS),
            expiry=UnixSeconds(now + _DAY_SECONDS),
        ),
        private,
    )
    if not isinstance(raw, Success):
        raise BenchError(str(error_of(raw)))
    return value_of(raw)
