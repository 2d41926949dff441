"""A server and its agents in the loop of a test, on loopback, through real TLS; and the proof that they leave nothing.

`world` starts a server and ends it; leaving it asserts that no task, no descriptor and no complaint of the event loop
is left over. Nothing here waits for time to pass: everything waits for an event, for at most `PATIENCE`.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, final

import pytest

from tunnel.agent.end import AgentEnd
from tunnel.agent.run import run_agent
from tunnel.agent.settings import AgentSettings, Checks, LocalService
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.link.messages import HostHeader, Keep, Share
from tunnel.core.policy.ip import Block
from tunnel.core.policy.rules import OPEN, OPEN_TO_ALL, Policy, ServerPolicy
from tunnel.core.proxy.header import ProxyVersion
from tunnel.core.token.codec import encode_token, key_id_of
from tunnel.core.token.token import AccountId, EndpointKind, NamePattern, Token, TokenId
from tunnel.drive.address import Address
from tunnel.observe.events import AgentReady, Event, LinkLost, NameGranted, ServerReady
from tunnel.server.end import ServerEnd
from tunnel.server.run import serve
from tunnel.server.settings import CertificateFiles, PortRange, ServerSettings
from tunnel.server.state import AUTHORITY, signing_key

PATIENCE: Final = 60.0
"""No expectation: only how long a test that hangs may hang."""
SETTLING_SECONDS: float = 5.0
"""How long the loop may take to close what was ended; it takes a few turns."""
LOOPBACK: Final = "127.0.0.1"
DOMAIN: Final = "localhost"

E = TypeVar("E")


@final
class Log:
    """Takes events and lets a test wait for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def emit(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)
        self._news.set()

    def all(self, kind: type[E]) -> list[E]:
        """Every event of a kind, so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def next(self, kind: type[E], number: int = 1) -> E:
        """The event of this kind with this number, counted from 1, once it is there."""
        async with asyncio.timeout(PATIENCE):
            while len(self.all(kind)) < number:
                self._news.clear()
                await self._news.wait()
        return self.all(kind)[number - 1]


@final
@dataclass
class RunningAgent:
    """One agent: what it says of itself, how to stop it and what came of it."""

    log: Log
    stop: asyncio.Event
    task: asyncio.Task[Outcome[None, AgentEnd]]

    async def end(self) -> Outcome[None, AgentEnd]:
        """How it ended, by itself or because it was stopped."""
        async with asyncio.timeout(PATIENCE):
            return await self.task

    async def refused(self) -> AgentEnd:
        """Why it was never let in; fails as soon as it is let in, as no end has to come after that."""
        let_in = asyncio.ensure_future(self.log.next(AgentReady))
        try:
            await asyncio.wait([let_in, self.task], return_when=asyncio.FIRST_COMPLETED)
            assert not let_in.done(), f"let in: {let_in.result()}"
            ended = self.task.result()
        finally:
            let_in.cancel()
        assert not self.log.all(AgentReady)
        assert isinstance(ended, Failure)
        return error_of(ended)


@final
@dataclass
class World:
    """A server that runs, and the means to reach it."""

    state: Path
    limits: Limits
    log: Log
    stop: asyncio.Event
    task: asyncio.Task[Outcome[None, ServerEnd]]
    public: Address = field(default=Address(LOOPBACK, 0))
    agents: Address = field(default=Address(LOOPBACK, 0))

    @property
    def authority(self) -> Path:
        """What an agent's `--ca` wants."""
        return self.state / AUTHORITY

    def host(self, name: str = "demo") -> bytes:
        """What a visitor puts into Host."""
        return f"{name}.{DOMAIN}:{self.public.port}".encode()

    def token(
        self,
        pattern: str = "*",
        *,
        token_id: bytes = b"",
        account: bytes = b"a" * 16,
        seconds: int = 3600,
        streams_max: int = 1024,
        sessions_max: int = 16,
        kinds: tuple[EndpointKind, ...] = (EndpointKind.HTTP,),
    ) -> bytes:
        """A token of this server, each with an identity of its own unless one is given."""
        return minted(
            self.state,
            pattern,
            token_id=token_id,
            account=account,
            seconds=seconds,
            streams_max=streams_max,
            sessions_max=sessions_max,
            kinds=kinds,
        )

    @asynccontextmanager
    async def agent(
        self,
        local: Address | LocalService,
        name: str = "demo",
        *,
        token: bytes = b"",
        server: Address | None = None,
        limits: Limits | None = None,
        host_header: HostHeader | None = None,
        is_ready: bool = True,
        ca: Path | None = None,
        keylog: Path | None = None,
        policy: Policy = OPEN,
        proxy_protocol: ProxyVersion | None = None,
        links: int = 1,
        share: Share = Share.ALONE,
        checks: Checks | None = None,
        kind: EndpointKind = EndpointKind.HTTP,
        port: int = 0,
        ttl_seconds: int = 0,
    ) -> AsyncIterator[RunningAgent]:
        """An agent that exposes `local`; its name is served when this begins, unless `is_ready` is False."""
        stop, log = asyncio.Event(), Log()
        settings = AgentSettings(
            server=server or self.agents,
            local=local if isinstance(local, LocalService) else LocalService(local),
            name=name,
            token=token or self.token(kinds=(kind,)),
            host_header=host_header or Keep(),
            ca=ca or self.authority,
            limits=limits or self.limits,
            keylog=keylog,
            policy=policy,
            proxy_protocol=proxy_protocol,
            links=links,
            share=share,
            checks=checks,
            kind=kind,
            port=port,
            ttl_seconds=ttl_seconds,
        )
        granted = len(self.log.all(NameGranted))
        task = asyncio.create_task(run_agent(settings, log, stop))
        try:
            if is_ready:
                await first_of(log.next(AgentReady), task)
                await self.log.next(NameGranted, granted + links)
            yield RunningAgent(log, stop, task)
        finally:
            stop.set()
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([task])

    async def redialled(self, agent: RunningAgent, number: int = 2) -> None:
        """Return once the agent has its name again."""
        await agent.log.next(LinkLost, number - 1)
        await agent.log.next(AgentReady, number)


def minted(
    state: Path,
    pattern: str = "*",
    *,
    token_id: bytes = b"",
    account: bytes = b"a" * 16,
    seconds: int = 3600,
    streams_max: int = 1024,
    sessions_max: int = 16,
    kinds: tuple[EndpointKind, ...] = (EndpointKind.HTTP,),
) -> bytes:
    key = signing_key(state)
    assert isinstance(key, Success), key
    private = value_of(key).private
    now = int(time.time())
    raw = encode_token(
        Token(
            key_id_of(public_key_of(private) or b""),
            TokenId(token_id or secrets.token_bytes(16)),
            AccountId(account),
            NamePattern(pattern),
            frozenset(kinds),
            16,
            streams_max,
            sessions_max,
            UnixSeconds(now - 7200),
            UnixSeconds(now + seconds),
        ),
        private,
    )
    assert isinstance(raw, Success), raw
    return value_of(raw)


async def first_of(awaited: Awaitable[E], task: "asyncio.Task[Outcome[None, AgentEnd]]") -> E:
    """What is awaited; fails at once with the end of an agent that ended before."""
    wanted = asyncio.ensure_future(awaited)
    try:
        await asyncio.wait([wanted, task], return_when=asyncio.FIRST_COMPLETED)
        assert wanted.done(), task.result()
        return wanted.result()
    finally:
        wanted.cancel()


@asynccontextmanager
async def world(
    state: Path,
    limits: Limits | None = None,
    certificates: tuple[CertificateFiles, ...] = (),
    *,
    keylog: Path | None = None,
    policy: ServerPolicy = OPEN_TO_ALL,
    proxy_from: tuple[Block, ...] = (),
    domain: str = DOMAIN,
    tcp_ports: PortRange | None = None,
    journal: bool = False,
    redirects_http: bool = False,
) -> AsyncIterator[World]:
    """A server with everything it needs, and the proof that it ends without a trace."""
    async with nothing_left():
        limits = limits or Limits(grace_seconds=5.0)
        running = await started(
            state,
            limits,
            certificates=certificates,
            keylog=keylog,
            policy=policy,
            proxy_from=proxy_from,
            domain=domain,
            tcp_ports=tcp_ports,
            journal=journal,
            redirects_http=redirects_http,
        )
        try:
            yield running
        finally:
            running.stop.set()
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([running.task])
        if not running.task.cancelled():
            assert running.task.result() == Success(None)


async def started(
    state: Path,
    limits: Limits,
    public: Address | None = None,
    agents: Address | None = None,
    *,
    certificates: tuple[CertificateFiles, ...] = (),
    keylog: Path | None = None,
    policy: ServerPolicy = OPEN_TO_ALL,
    proxy_from: tuple[Block, ...] = (),
    domain: str = DOMAIN,
    tcp_ports: PortRange | None = None,
    journal: bool = False,
    redirects_http: bool = False,
) -> World:
    """A server that accepts; whoever asks for it ends it."""
    stop, log = asyncio.Event(), Log()
    anywhere = Address(LOOPBACK, 0)
    settings = ServerSettings(
        domain,
        public or anywhere,
        agents or anywhere,
        state,
        certificates,
        limits=limits,
        keylog=keylog,
        policy=policy,
        proxy_from=proxy_from,
        tcp_ports=tcp_ports,
        journal=journal,
        redirects_http=redirects_http,
    )
    task = asyncio.create_task(serve(settings, log, stop))
    ready = asyncio.ensure_future(log.next(ServerReady))
    await asyncio.wait([ready, task], return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        await asyncio.wait([ready])
        pytest.fail(f"the server did not start: {task.result()}")
    told = ready.result()
    return World(state, limits, log, stop, task, address_of(told.public), address_of(told.agents))


def address_of(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host, int(port))


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """What runs inside leaves no task, no descriptor, and gives the event loop nothing to complain about."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    tasks, descriptors = asyncio.all_tasks(), _descriptors()
    try:
        yield
    finally:
        # Only what was begun inside is judged, and only once the loop has had its turns to close it.
        await until(lambda: asyncio.all_tasks() <= tasks and _descriptors() <= descriptors)
        loop.set_exception_handler(None)
    assert asyncio.all_tasks() <= tasks, asyncio.all_tasks() - tasks
    assert _descriptors() <= descriptors, sorted(_descriptors() - descriptors)
    assert complaints == [], complaints


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds, or has not for so long that it never will."""
    deadline = time.monotonic() + SETTLING_SECONDS
    while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110 - sockets of the loop tell nobody when they close
        await asyncio.sleep(0.001)


def _descriptors() -> frozenset[int]:
    """Open sockets and pipes, by number; the loop's own machinery was there before and stays."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            if str(entry.readlink()).startswith(("socket:", "pipe:")):
                found.add(int(entry.name))
    return frozenset(found)
