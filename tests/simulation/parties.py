"""The product's parties in one world: a server, and agents with their local services; each can be begun again."""

import asyncio
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, final

from tests.simulation.kernel import HOST, Kernel
from tests.simulation.loop import SimLoop
from tests.simulation.plan import Plan
from tests.simulation.roads import DENIED_HOSTS, UPSTREAM_HOSTS, Road
from tests.simulation.services import Habits, LocalService
from tests.simulation.state import minted, prepared_state, real_identity
from tests.simulation.watch import Watch

from tunnel.agent.end import AgentEnd
from tunnel.agent.run import run_agent
from tunnel.agent.settings import AgentSettings, Checks
from tunnel.agent.settings import LocalService as Target
from tunnel.core.base.outcome import Outcome, Success, value_of
from tunnel.core.link.messages import Keep, Share
from tunnel.core.policy.ip import Block, block_of
from tunnel.core.policy.rules import OPEN, Policy, Rates, ServerPolicy
from tunnel.core.proxy.header import ProxyVersion
from tunnel.core.token.token import EndpointKind
from tunnel.drive.address import Address
from tunnel.observe.events import AgentReady, Event
from tunnel.server.end import ServerEnd
from tunnel.server.run import serve
from tunnel.server.settings import CertificateFiles, PortRange, ServerSettings

SERVER: Final = "10.0.0.1"
PUBLIC_PORT, AGENTS_PORT, LOCAL_PORT = 80, 8443, 3000
DOMAIN: Final = "tunnel.test"
RECOVERY_SECONDS: Final = 90.0
"""After the last fault: heartbeat deadline, longest pause between two dials, handshake, and room."""


_KINDS: Final = {Road.TCP: EndpointKind.TCP, Road.TLS: EndpointKind.TLS}


def _block(hosts: str) -> Block:
    block = block_of(f"{hosts}0/24")
    assert isinstance(block, Success)
    return value_of(block)


@final
class AgentLog:
    """What one agent says of itself."""

    def __init__(self, kernel: Kernel, number: int) -> None:
        self._kernel: Final = kernel
        self._number: Final = number
        self.is_ready: Final = asyncio.Event()
        self.url = ""
        """Where it answers, as it was told last."""

    def emit(self, event: Event) -> None:
        """Keep what matters."""
        self._kernel.say(f"agent {self._number} {type(event).__name__} {str(event)[:160]}")
        if isinstance(event, AgentReady):
            self.url = event.url
            self.is_ready.set()


@final
@dataclass(slots=True)
class Agent:
    """One running agent."""

    may_be_gone: bool = field(default=False, init=False)
    """Whether it is no fault if its name is not served any more."""

    number: int
    host: str
    name: str
    log: AgentLog
    stop: asyncio.Event
    task: "asyncio.Task[Outcome[None, AgentEnd]]"
    service: LocalService


@final
class Parties:
    """Begins them, and knows which run."""

    def __init__(self, loop: SimLoop, plan: Plan, kernel: Kernel, watch: Watch, state: Path | None) -> None:
        self._loop: Final = loop
        self._plan: Final = plan
        self._kernel: Final = kernel
        self._watch: Final = watch
        self._random: Final = random.Random(f"{plan.seed}/parties")
        self._state: Final = state or prepared_state()
        self._token: Final = minted()
        self.accounts: Final = 1 if plan.is_pooled else 2
        self.stop: Final = asyncio.Event()
        self.agents: Final[list[Agent]] = []
        self.ended: Final[list[asyncio.Task[object]]] = []
        """Tasks of parties that were begun again since."""
        self.server: asyncio.Task[Outcome[None, ServerEnd]] = self._serve()

    def _serve(self) -> "asyncio.Task[Outcome[None, ServerEnd]]":
        public, agents = Address(SERVER, PUBLIC_PORT), Address(SERVER, AGENTS_PORT)
        settings = ServerSettings(
            DOMAIN,
            public,
            agents,
            self._state,
            limits=self._plan.limits,
            tcp_ports=PortRange(20_000, 20_009),
            proxy_from=(_block(UPSTREAM_HOSTS),),
            journal=bool(self._plan.acts),
            policy=ServerPolicy(deny=(_block(DENIED_HOSTS),) if self._plan.exchanges_max else ()),
        )
        if self._has_own_certificate:
            settings = replace(settings, certificates=(CertificateFiles(real_identity()[0]),))
        before = HOST.set(SERVER)
        task = self._loop.create_task(serve(settings, self._watch, self.stop))
        HOST.reset(before)
        return task

    @property
    def _has_own_certificate(self) -> bool:
        return self._plan.has_real_tls or self._plan.road is Road.HTTPS

    async def server_up(self) -> bool:
        """Whether the server accepts, once that is known."""
        return await first_of(self._watch.is_up, self.server)

    def serve_again(self) -> None:
        """Begin the server again, which had ended."""
        self._kernel.say(f"the server ended: {_end_of(self.server)}; it is begun again")
        self.ended.append(self.server)
        self.server = self._serve()

    def begin(self, number: int, name: str) -> Agent:
        """A new agent, with a local service of its own."""
        host = f"10.0.1.{number}"
        habits = Habits(opens_with_hello=self._plan.road is Road.TLS, is_told=self._plan.tells_service)
        service = LocalService(self._loop, number, host, LOCAL_PORT, self._watch.exchange_of, self._watch.found, habits)
        service.start()
        log, stop = AgentLog(self._kernel, number), asyncio.Event()
        agent = Agent(number, host, name, log, stop, self._run(number, name, log, stop), service)
        agent.may_be_gone = bool(self._plan.ttl_seconds) and not number
        self.agents.append(agent)
        return agent

    def begin_again(self, agent: Agent) -> None:
        """Begin an agent again, which had ended."""
        self._kernel.say(f"agent {agent.number} ended: {_end_of(agent.task)}; it is begun again")
        self.ended.append(agent.task)
        agent.log = AgentLog(self._kernel, agent.number)
        agent.task = self._run(agent.number, agent.name, agent.log, agent.stop)

    def _run(
        self, number: int, name: str, log: AgentLog, stop: asyncio.Event
    ) -> "asyncio.Task[Outcome[None, AgentEnd]]":
        host = f"10.0.1.{number}"
        settings = AgentSettings(
            server=Address(DOMAIN, AGENTS_PORT),
            local=Target(Address(host, LOCAL_PORT)),
            name=name,
            token=minted(number=number, account=number % self.accounts) if self._plan.acts else self._token,
            ttl_seconds=0 if number else self._plan.ttl_seconds,
            host_header=Keep(),
            ca=real_identity()[1] if self._has_own_certificate else self._state / "ca.pem",
            limits=self._plan.limits,
            requests_shown=self._random.random() < 0.5,
            links=self._plan.links,
            share=Share.POOL if self._plan.is_pooled else Share.ALONE,
            checks=Checks("/health", 4.0) if self._plan.has_checks else None,
            kind=_KINDS.get(self._plan.road, EndpointKind.HTTP),
            proxy_protocol=ProxyVersion.V1 if self._plan.tells_service else None,
            policy=Policy(Rates(exchanges=self._plan.exchanges_max)) if self._plan.exchanges_max else OPEN,
        )
        before = HOST.set(host)
        task = self._loop.create_task(run_agent(settings, log, stop))
        HOST.reset(before)
        return task

    def tasks(self) -> "list[asyncio.Task[object]]":
        """Of all that run."""
        return [self.server, *(agent.task for agent in self.agents)]


def _end_of(task: "asyncio.Task[object]") -> str:
    if not task.done():
        return "not at all"
    return repr(task.exception()) if task.exception() is not None else str(task.result())


async def first_of(event: asyncio.Event, task: "asyncio.Task[object]") -> bool:
    """Wait for an event, or for the task that would bring it about to end without; whether it came."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED, timeout=RECOVERY_SECONDS)
    waiting.cancel()
    return event.is_set()
