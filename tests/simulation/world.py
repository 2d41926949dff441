"""One seed: a world of servers, agents, visitors and faults, run to its end, and what was found in it."""

import asyncio
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

import anyio
from tests.simulation.exchange import Conduct, Deed, Exchange, Framing, draw
from tests.simulation.faults import Faults
from tests.simulation.judge import judge, judge_drain
from tests.simulation.kernel import HOST, Endless, Kernel, Stuck
from tests.simulation.loop import SimLoop
from tests.simulation.plan import Plan
from tests.simulation.services import LocalService
from tests.simulation.sockets import PRODUCT, System
from tests.simulation.state import minted, prepared_state, real_identity
from tests.simulation.surroundings import surrounded
from tests.simulation.visitors import Visitor
from tests.simulation.watch import Watch

from tunnel.agent.end import AgentEnd
from tunnel.agent.run import run_agent
from tunnel.agent.settings import AgentSettings
from tunnel.agent.settings import LocalService as Target
from tunnel.core.base.outcome import Outcome
from tunnel.core.link.messages import Keep
from tunnel.drive.address import Address
from tunnel.observe.escapes import escape_stories, handler_escapes_total
from tunnel.observe.events import AgentReady, Event
from tunnel.server.end import ServerEnd
from tunnel.server.run import serve
from tunnel.server.settings import CertificateFiles, ServerSettings

SERVER: Final = "10.0.0.1"
PUBLIC_PORT, AGENTS_PORT, LOCAL_PORT = 80, 8443, 3000
DOMAIN: Final = "tunnel.test"
RECOVERY_SECONDS: Final = 90.0
"""After the last fault: heartbeat deadline, longest pause between two dials, handshake, and room."""
_ENDING_SECONDS: Final = 60.0
"""How long the whole may take to end once it is told to: grace, goodbyes and last words."""
_LOOKS: Final = 400
_SETTLING_SECONDS: Final = 3.0
"""What the last words of a visitor that left may take to reach the server."""


@final
@dataclass(slots=True)
class Run:
    """What became of one seed."""

    plan: Plan
    findings: list[str]
    digest: int
    virtual_seconds: float
    turns: int
    exchanges: list[Exchange]
    log: list[str]
    system: System

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def run(plan: Plan, *, fails_at: int = 0, fails_on: bool = False, error: Exception | None = None) -> Run:
    """Run one world to its end."""
    prepared_state()  # made once a process: it must not draw from the randomness of the run that needs it first
    kernel = Kernel(plan.seed, plan.weather, tells_content=not plan.has_real_tls)
    kernel.names[DOMAIN] = SERVER
    system = System(kernel)
    system.points.fails_at, system.points.fails_on, system.points.error = fails_at, fails_on, error
    watch = Watch(kernel, plan.limits, lambda host: int(host.rpartition(".")[2]) if host.startswith("10.0.1.") else -1)
    escapes = handler_escapes_total()
    world = World(plan, kernel, system, watch)
    with watch.watching(), surrounded(system, plan.seed, has_real_tls=plan.has_real_tls):
        loop = SimLoop(system, plan.seed)
        loop.sim_selector.watch = watch.look
        try:
            anyio.run(world.live, backend_options={"loop_factory": lambda: loop})
        except (Stuck, Endless) as cause:
            watch.found(f"{type(cause).__name__}: {cause}")
        except TimeoutError as cause:
            watch.found(f"it does not end: {cause!r}")
        finally:
            loop.close()
    for complaint in loop.complaints:
        watch.found(f"the loop complains: {complaint}")
    if handler_escapes_total() != escapes:
        watch.found(f"escapes: {escape_stories()[-1:]}")
    everything = [*watch.exchanges.values()]
    return Run(plan, watch.findings, kernel.digest, kernel.now, kernel.turns, everything, list(kernel.log), system)


@final
class AgentLog:
    """What one agent says of itself."""

    def __init__(self, kernel: Kernel, number: int) -> None:
        self._kernel: Final = kernel
        self._number: Final = number
        self.is_ready: Final = asyncio.Event()

    def emit(self, event: Event) -> None:
        """Keep what matters."""
        self._kernel.say(f"agent {self._number} {type(event).__name__} {str(event)[:160]}")
        if isinstance(event, AgentReady):
            self.is_ready.set()


@final
@dataclass(slots=True)
class Agent:
    """One running agent."""

    number: int
    host: str
    name: str
    log: AgentLog
    stop: asyncio.Event
    task: "asyncio.Task[Outcome[None, AgentEnd]]"
    service: LocalService


@final
class World:
    """Everything of one run, inside the simulated loop."""

    def __init__(self, plan: Plan, kernel: Kernel, system: System, watch: Watch) -> None:
        self.plan: Final = plan
        self.kernel: Final = kernel
        self.system: Final = system
        self.watch: Final = watch
        self.random: Final = random.Random(f"{plan.seed}/world")
        self.agents: Final[list[Agent]] = []
        self._numbers = 0
        self._stopped_at = 0.0

    async def live(self) -> None:
        """Begin, be visited under faults, recover, end."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        points = self.system.points
        PRODUCT.clear()
        PRODUCT.update({SERVER, *(f"10.0.1.{number}" for number in range(8))})
        state, token = prepared_state(), minted()
        points.is_on = True
        stop = asyncio.Event()
        server = self._serve(loop, state, stop)
        for number in range(self.plan.agents):
            self._agent(loop, state, token, number, f"name{number}")
        await self._be_visited(loop, state, token, stop, server)
        points.is_on = False
        await self._end(loop, stop, server)

    def _serve(self, loop: SimLoop, state: Path, stop: asyncio.Event) -> "asyncio.Task[Outcome[None, ServerEnd]]":
        public, agents = Address(SERVER, PUBLIC_PORT), Address(SERVER, AGENTS_PORT)
        settings = ServerSettings(DOMAIN, public, agents, state, limits=self.plan.limits)
        if self.plan.has_real_tls:
            settings = replace(settings, certificates=(CertificateFiles(real_identity()[0]),))
        before = HOST.set(SERVER)
        task = loop.create_task(serve(settings, self.watch, stop))
        HOST.reset(before)
        return task

    def _agent(self, loop: SimLoop, state: Path, token: bytes, number: int, name: str) -> Agent:
        host = f"10.0.1.{number}"
        service = LocalService(loop, number, host, LOCAL_PORT, self.watch.exchange_of, self.watch.found)
        service.start()
        log, stop = AgentLog(self.kernel, number), asyncio.Event()
        settings = AgentSettings(
            server=Address(DOMAIN, AGENTS_PORT),
            local=Target(Address(host, LOCAL_PORT)),
            name=name,
            token=token,
            host_header=Keep(),
            ca=real_identity()[1] if self.plan.has_real_tls else state / "ca.pem",
            limits=self.plan.limits,
            requests_shown=self.random.random() < 0.5,
        )
        before = HOST.set(host)
        task = loop.create_task(run_agent(settings, log, stop))
        HOST.reset(before)
        agent = Agent(number, host, name, log, stop, task, service)
        self.agents.append(agent)
        return agent

    async def _be_visited(
        self, loop: SimLoop, state: Path, token: bytes, stop: asyncio.Event, server: "asyncio.Task[object]"
    ) -> None:
        plan = self.plan
        for agent in self.agents:
            await self._one_of(agent.log.is_ready, agent.task)
            if not agent.log.is_ready.is_set():
                self.watch.found(f"agent {agent.number} does not come up: {agent.task}")
        hosts, services = [agent.host for agent in self.agents], [agent.service for agent in self.agents]
        faults = Faults(self.kernel, self.system, self.random, SERVER, hosts, services)
        visits = self._visitors(loop, [agent.name for agent in self.agents])
        troubles = loop.create_task(faults.happen(plan.faults, plan.spread))
        if plan.rivals:
            await asyncio.sleep(self.random.random() * plan.spread)
            rival = self._agent(loop, state, token, len(self.agents), self.agents[0].name)
            await self._one_of(rival.log.is_ready, rival.task)
        if plan.is_stopped_early:
            await self._stop_early(loop, stop)
        await asyncio.wait([*visits, troubles])
        for task in (*visits, troubles):
            task.result()
        faults.heal()
        await asyncio.sleep(_SETTLING_SECONDS)
        self._judge()
        if not plan.is_stopped_early:
            await self._recover(loop)
        if server.done() and not plan.is_stopped_early:
            self.watch.found(f"the server ended by itself: {server.result()}")

    def _visitors(self, loop: SimLoop, names: list[str]) -> "list[asyncio.Task[None]]":
        visits = []
        for number in range(self.plan.visitors):
            chosen = [self._exchange(self.random.choice(names)) for _ in range(self.plan.exchanges_each)]
            visits.append(loop.create_task(self._visit(loop, f"10.0.2.{number}", chosen)))
        return visits

    async def _stop_early(self, loop: SimLoop, stop: asyncio.Event) -> None:
        """At a moment at which something runs, if there is one."""
        await asyncio.sleep(self.random.random() * self.plan.spread)
        for _ in range(_LOOKS):
            if not any(each.seen_at and not each.ended_at for each in self.watch.exchanges.values()):
                await asyncio.sleep(0.005)
        self._stopped_at = loop.time()
        stop.set()

    def _judge(self) -> None:
        plan = self.plan
        harmless = not any(name.startswith(("visitor", "pause")) for name in plan.faults)
        for exchange in list(self.watch.exchanges.values()):
            judge(exchange, self.watch.found, is_calm=plan.is_calm, visitors_are_safe=harmless)
            if self._stopped_at and not plan.faults and not plan.rivals:
                judge_drain(exchange, self.watch.found, self._stopped_at, plan.limits.grace_seconds)

    async def _one_of(self, event: asyncio.Event, task: "asyncio.Task[Outcome[None, AgentEnd]]") -> None:
        waiting = asyncio.ensure_future(event.wait())
        await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED, timeout=RECOVERY_SECONDS)
        waiting.cancel()

    def _exchange(self, name: str) -> Exchange:
        self._numbers += 1
        made = draw(self.random, self._numbers, name, is_rough=self.plan.is_rough)
        self.watch.exchanges[made.number] = made
        return made

    async def _visit(self, loop: SimLoop, host: str, exchanges: list[Exchange]) -> None:
        await asyncio.sleep(self.random.random() * self.plan.spread)
        visitor = Visitor(loop, host, (SERVER, PUBLIC_PORT), exchanges, self.watch.found, self.watch.fenced_at)
        await visitor.run()

    async def _recover(self, loop: SimLoop) -> None:
        """No fault is left: within bounded time every name whose agent runs is served, and all is at rest."""
        deadline = loop.time() + RECOVERY_SECONDS
        for agent in self.agents:
            while not agent.task.done():
                probe = self._exchange(agent.name)
                plain = Exchange(
                    probe.number,
                    agent.name,
                    "POST",
                    5000,
                    300_000,
                    Framing.LENGTH,
                    Framing.CHUNKED,
                    Deed.ANSWER,
                    Conduct.PLAIN,
                    65_536,
                    0.0,
                    is_probe=True,
                )
                self.watch.exchanges[probe.number] = plain
                await Visitor(
                    loop, "10.0.3.1", (SERVER, PUBLIC_PORT), [plain], self.watch.found, self.watch.fenced_at
                ).run()
                if plain.is_whole and plain.status == 200 and plain.outcomes == ["ok"]:
                    break
                if loop.time() > deadline:
                    self.watch.found(f"{agent.name} is not served again: {plain.story()}")
                    break
                await asyncio.sleep(1.0)
        for _ in range(int(RECOVERY_SECONDS)):
            if any(hub.visits for hub in self.watch.hubs):
                await asyncio.sleep(1.0)
        self.watch.balance()
        for hub in self.watch.hubs:
            if hub.visits:
                self.watch.found(f"{len(hub.visits)} public connections at rest")

    async def _end(self, loop: SimLoop, stop: asyncio.Event, server: "asyncio.Task[Outcome[None, ServerEnd]]") -> None:
        first = self.random.random() < 0.5
        if first:
            stop.set()
            await asyncio.wait([server], timeout=_ENDING_SECONDS)
        for agent in self.agents:
            agent.stop.set()
        stop.set()
        tasks: list[asyncio.Task[object]] = [server, *(agent.task for agent in self.agents)]
        _, pending = await asyncio.wait(tasks, timeout=_ENDING_SECONDS)
        if pending:
            self.watch.found(f"not ended after {_ENDING_SECONDS:.0f} s: {pending}")
            for task in pending:
                task.cancel()
            await asyncio.wait(pending)
        for agent in self.agents:
            await agent.service.stop()
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                self.watch.found(f"an exception came out: {task.exception()!r}")
        await asyncio.sleep(1.0)
        self._nothing_is_left(loop)

    def _nothing_is_left(self, loop: SimLoop) -> None:
        found = self.watch.found
        for host in PRODUCT:
            for sock in self.system.open_at(host):
                found(f"a socket of {host} is left open: {sock.fileno()}")
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if others:
            found(f"tasks are left: {others}")
        timers = loop.timers()
        if timers:
            found(f"timers are left: {timers}")
        for hub in self.watch.hubs:
            if hub.connections or hub.visits or hub.sessions or hub.links:
                left = f"{len(hub.connections)} connections, {len(hub.sessions)} sessions, {hub.links} links"
                found(f"left in the hub: {left}")
