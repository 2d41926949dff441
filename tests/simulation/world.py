"""One seed: a world of servers, agents, visitors and faults, run to its end, and what was found in it."""

import asyncio
import random
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import anyio
from tests.simulation.control import Control
from tests.simulation.exchange import Conduct, Deed, Exchange, draw, probe
from tests.simulation.faults import Faults
from tests.simulation.files import failing_files
from tests.simulation.judge import judge, judge_connections, judge_drain
from tests.simulation.kernel import Endless, Kernel, Stuck
from tests.simulation.loop import SimLoop
from tests.simulation.parties import (
    AGENTS_PORT,
    DOMAIN,
    PUBLIC_PORT,
    RECOVERY_SECONDS,
    SERVER,
    Agent,
    Parties,
    first_of,
)
from tests.simulation.plan import Plan
from tests.simulation.roads import DENIED_HOSTS, UPSTREAM_HOSTS, Road, come, told_host
from tests.simulation.sockets import PRODUCT, Failing, System
from tests.simulation.state import copied_state, prepared_state
from tests.simulation.surroundings import surrounded
from tests.simulation.threads import SimThread
from tests.simulation.visitors import Visitor
from tests.simulation.watch import Watch
from tests.simulation.wire import Wire

from tunnel.observe.escapes import escape_stories, handler_escapes_total

_ENDING_SECONDS: Final = 60.0
"""How long the whole may take to end once it is told to: grace, goodbyes and last words."""
_FAILING_SECONDS: Final = 5.0
"""How long what fails from some moment on goes on failing, once visitors come."""
_MEMORY: Final = "/dev/shm"  # noqa: S108 - a folder of its own is made there
"""Where a state directory that lives for one run costs no disk."""
_LOOKS: Final = 400
_STRAGGLERS: Final = 20
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


def run(plan: Plan, failing: Failing | None = None, state: Path | None = None) -> Run:
    """Run one world to its end, with one point failing if asked for, on a state directory of its own if given."""
    if state is not None or not plan.acts:
        return _run(plan, failing, state, has_failing_files=state is not None)
    with tempfile.TemporaryDirectory(prefix="controlled-", dir=_MEMORY if Path(_MEMORY).is_dir() else None) as folder:
        return _run(plan, failing, copied_state(Path(folder)), has_failing_files=False)


def _run(plan: Plan, failing: Failing | None, state: Path | None, *, has_failing_files: bool) -> Run:
    prepared_state()  # made once a process: it must not draw from the randomness of the run that needs it first
    kernel = Kernel(plan.seed, plan.weather, tells_content=not plan.has_real_tls)
    kernel.names[DOMAIN] = SERVER
    system = System(kernel)
    if failing is not None:
        system.points.fail(failing)
    watch = Watch(kernel, plan.limits, _agent_of, is_pooled=plan.is_pooled)
    system.has_failing_files, system.has_beside = has_failing_files, bool(plan.acts)
    escapes = handler_escapes_total()
    world = World(plan, kernel, system, watch, state)
    watch.state, watch.accounts.at_once_max = str(state or ""), plan.visitors + 1
    files = failing_files(system.points, state) if has_failing_files and state is not None else nullcontext()
    with watch.watching(), surrounded(system, plan.seed, has_real_tls=plan.has_real_tls), files:
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


def _agent_of(host: str) -> int:
    return int(host.rpartition(".")[2]) if host.startswith("10.0.1.") else -1


@final
class World:
    """Everything of one run, inside the simulated loop."""

    def __init__(self, plan: Plan, kernel: Kernel, system: System, watch: Watch, state: Path | None) -> None:
        self.plan: Final = plan
        self.kernel: Final = kernel
        self.system: Final = system
        self.watch: Final = watch
        self.random: Final = random.Random(f"{plan.seed}/world")
        self._state: Final = state
        self._numbers = 0
        self._ports: Final[dict[str, int]] = {}
        self._wires: Final[dict[str, list[Wire]]] = {}
        """The connections of visitors to raw endpoints, by their host."""
        watch.exchanges_max = plan.exchanges_max
        self._stopped_at = 0.0
        self._control: Control | None = None

    async def live(self) -> None:
        """Begin, be visited under faults, recover, end."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        PRODUCT.clear()
        PRODUCT.update({SERVER, *(f"10.0.1.{number}" for number in range(8))})
        self.system.points.is_on = True
        parties = Parties(loop, self.plan, self.kernel, self.watch, self._state)
        await self._begin(loop, parties)
        await self._be_visited(loop, parties)
        await self._end(loop, parties)

    async def _begin(self, loop: SimLoop, parties: Parties) -> None:
        """All parties up. Where a point fails one may refuse to begin, in an orderly way, and is then begun again."""
        points = self.system.points
        if not await parties.server_up():
            if not points.fails_at:
                self.watch.found(f"the server does not come up: {parties.server}")
            points.is_on = False
            parties.serve_again()
            await parties.server_up()
        if self.plan.acts and self._state is not None:
            self._control = Control(loop, self.plan, self.system, self.watch, parties, self._state)
            await loop.create_task(self._control.begin())
        for number in range(self.plan.agents):
            agent = parties.begin(number, "name0" if self.plan.is_pooled else f"name{number}")
            if await first_of(agent.log.is_ready, agent.task):
                self._note_port(agent)
                continue
            if not points.fails_at:
                self.watch.found(f"agent {number} does not come up: {agent.task}")
            points.is_on = False
            if agent.task.done():
                parties.begin_again(agent)
            await first_of(agent.log.is_ready, agent.task)

    def _note_port(self, agent: Agent) -> None:
        """Where visitors of a raw endpoint come, as its agent was told."""
        scheme, _, place = agent.log.url.partition("://")
        if scheme == "tcp":
            self._ports[agent.name] = int(place.rpartition(":")[2])

    async def _be_visited(self, loop: SimLoop, parties: Parties) -> None:
        plan = self.plan
        if self.system.points.fails_at:
            loop.call_later(_FAILING_SECONDS, self.system.points.heal)
        faults = Faults(self.kernel, self.system, self.random, SERVER, parties.agents)
        visits = self._visitors(loop, [agent.name for agent in parties.agents])
        troubles = loop.create_task(faults.happen(plan.faults, plan.spread))
        if plan.rivals:
            await asyncio.sleep(self.random.random() * plan.spread)
            rival = parties.begin(len(parties.agents), parties.agents[0].name)
            await first_of(rival.log.is_ready, rival.task)
        if plan.is_left:
            await asyncio.sleep(self.random.random() * plan.spread)
            self.random.choice(parties.agents).stop.set()
        if plan.is_stopped_early:
            await self._stop_early(loop, parties)
        await self._all_done(loop, [*visits, troubles])
        self.system.points.is_on = False
        faults.heal()
        await self._settle()
        self._judge()
        if plan.is_stopped_early:
            return
        if parties.server.done():
            self.watch.found(f"the server ended by itself: {parties.server.result()}")
        for agent in parties.agents:
            if self.system.points.fails_at and agent.task.done():
                parties.begin_again(agent)
        await self._recover(loop, parties)

    async def _all_done(self, loop: SimLoop, works: "list[asyncio.Task[None]]") -> None:
        """Visits, faults and acts are over."""
        if self._control is not None:
            works.append(loop.create_task(self._control.live()))
        await asyncio.wait(works)
        for task in works:
            task.result()

    def _visitors(self, loop: SimLoop, names: list[str]) -> "list[asyncio.Task[None]]":
        visits = []
        for number in range(self.plan.visitors):
            chosen = [self._exchange(self.random.choice(names)) for _ in range(self.plan.exchanges_each)]
            for each in chosen:
                each.visitor = number
            network = UPSTREAM_HOSTS if self.plan.road is Road.PROXY else "10.0.2."
            visits.append(loop.create_task(self._visit(loop, f"{network}{number}", chosen)))
        if self.plan.exchanges_max and self.plan.road is not Road.PROXY:
            chosen = [self._exchange(self.random.choice(names)) for _ in range(2)]
            visits.append(loop.create_task(self._visit(loop, f"{DENIED_HOSTS}1", chosen)))
        return visits

    async def _stop_early(self, loop: SimLoop, parties: Parties) -> None:
        """At a moment at which something runs, if there is one."""
        await asyncio.sleep(self.random.random() * self.plan.spread)
        for _ in range(_LOOKS):
            if not any(each.seen_at and not each.ended_at for each in self.watch.exchanges.values()):
                await asyncio.sleep(0.005)
        self._stopped_at = loop.time()
        parties.stop.set()

    async def _settle(self) -> None:
        """Until the server has heard of visitors that left; of those that ended softly only their deadline tells."""
        for _ in range(_STRAGGLERS):
            await asyncio.sleep(_SETTLING_SECONDS)
            if all(each.outcomes or each.status < 101 or each.is_raw for each in self.watch.exchanges.values()):
                break

    def _judge(self) -> None:
        plan = self.plan
        harmless = not self.system.points.fails_at
        harmless &= not any(name.startswith(("visitor", "pause")) for name in plan.faults)
        for exchange in list(self.watch.exchanges.values()):
            self._judge_session(exchange)
            is_cut = bool(self._stopped_at) and exchange.ended_at >= self._stopped_at + plan.limits.grace_seconds
            judge(
                exchange,
                self.watch.found,
                is_calm=plan.is_calm and not self.system.points.fails_at,
                visitors_are_safe=harmless and not is_cut,
            )
            if self._stopped_at and not (plan.faults or plan.rivals or plan.acts):
                judge_drain(exchange, self.watch.found, self._stopped_at, plan.limits.grace_seconds)

    def _judge_session(self, exchange: Exchange) -> None:
        """No byte reaches a visitor that its service wrote after the link was over that carries it, pools included."""
        watch, session = self.watch, exchange.session
        if session and exchange.answered_by not in {-1, watch.agent_of(session)}:
            watch.found(f"agent {watch.agent_of(session)} is said to have answered: {exchange.story()}")
        is_answered = exchange.answered_by >= 0 and not exchange.is_raw  # one that is raw stays where it came
        if is_answered and (exchange.answered_by, exchange.name) not in watch.granted:
            watch.found(f"agent {exchange.answered_by} never had that name: {exchange.story()}")
        if session and exchange.began_at > watch.released_at.get((session, exchange.name), float("inf")):
            watch.found(f"began when session {session} had left the name: {exchange.story()}")
        over_at = watch.ended_at.get(session, float("inf"))
        latest = next((sent.at for sent in exchange.sent if sent.until >= exchange.got_down), 0.0)
        if exchange.outcomes and exchange.got_down and latest > over_at:
            watch.found(f"bytes from after the end of session {session}: {exchange.story()}")

    def _exchange(self, name: str) -> Exchange:
        self._numbers += 1
        made = draw(self.random, self._numbers, name, is_rough=self.plan.is_rough)
        made.is_raw = self.plan.road.is_raw
        if self.plan.road is Road.HTTPS and made.deed is Deed.UPGRADE:
            # Its visitor ends its side first, which is the end of a TLS connection.
            made.deed, made.up = Deed.ANSWER, 0
        if self.plan.road is Road.HTTPS and made.conduct is Conduct.HALF_CLOSES:
            made.conduct = Conduct.PLAIN
        self.watch.exchanges[made.number] = made
        return made

    async def _visit(self, loop: SimLoop, host: str, exchanges: list[Exchange], *, is_soon: bool = False) -> None:
        if not is_soon:
            await asyncio.sleep(self.random.random() * self.plan.spread)
        road = self.plan.road
        for each in exchanges:
            each.client, each.is_denied = told_host(host) if road is Road.PROXY else host, host.startswith(DENIED_HOSTS)

        async def arrive(name: str) -> Wire:
            plain = self._ports.get(name, PUBLIC_PORT)
            wire = await come(loop, road, SERVER, (plain, AGENTS_PORT), host, name, self.plan.weather.record)
            if road.is_raw:
                self._wires.setdefault(host, []).append(wire)
            return wire

        visitor = Visitor(loop, host, arrive, exchanges, self.watch.found, self.watch.fenced_at)
        await visitor.run()

    async def _recover(self, loop: SimLoop, parties: Parties) -> None:
        """No fault is left: within bounded time every name whose agent runs is served, and all is at rest."""
        deadline = loop.time() + RECOVERY_SECONDS
        for agent in parties.agents:
            while not (agent.task.done() or agent.may_be_gone):
                self._numbers += 1
                plain = probe(self._numbers, agent.name)
                plain.is_raw = self.plan.road.is_raw
                self._note_port(agent)
                self.watch.exchanges[plain.number] = plain
                host = f"{UPSTREAM_HOSTS}99" if self.plan.road is Road.PROXY else "10.0.3.1"
                await self._visit(loop, host, [plain], is_soon=True)
                if plain.is_whole and plain.status == 200 and (plain.is_raw or plain.outcomes == ["ok"]):
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

    async def _end(self, loop: SimLoop, parties: Parties) -> None:
        if self.random.random() < 0.5:
            parties.stop.set()
            await asyncio.wait([parties.server], timeout=_ENDING_SECONDS)
        for agent in parties.agents:
            agent.stop.set()
        parties.stop.set()
        tasks = parties.tasks()
        _, pending = await asyncio.wait(tasks, timeout=_ENDING_SECONDS)
        if pending:
            self.watch.found(f"not ended after {_ENDING_SECONDS:.0f} s: {pending}")
            for task in pending:
                task.cancel()
            await asyncio.wait(pending)
        for agent in parties.agents:
            await agent.service.stop()
        for task in (*tasks, *parties.ended):
            if not task.cancelled() and task.exception() is not None:
                self.watch.found(f"an exception came out: {task.exception()!r}")
        await asyncio.sleep(1.0)
        judge_connections(self.watch, self._wires, is_calm=self.plan.is_calm and not self.system.points.fails_at)
        if self._control is not None:
            self._control.judge()
        self._nothing_is_left(loop)

    def _nothing_is_left(self, loop: SimLoop) -> None:
        found = self.watch.found
        for host in PRODUCT:
            for sock in self.system.open_at(host):
                found(f"a socket of {host} is left open: {sock.fileno()}")
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if others:
            found(f"tasks are left: {others}")
        if SimThread.living:
            found(f"{SimThread.living} threads are left")
        timers = loop.timers()
        if timers:
            found(f"timers are left: {timers}")
        for hub in self.watch.hubs:
            if hub.connections or hub.visits or hub.sessions or hub.links:
                left = f"{len(hub.connections)} connections, {len(hub.sessions)} sessions, {hub.links} links"
                found(f"left in the hub: {left}")
