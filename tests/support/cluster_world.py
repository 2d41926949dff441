"""A supervisor and its workers without processes: the bytes of each conversation wait until they are delivered."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, final

import pytest

from tunnel.core.base.ids import EndpointId, Epoch, Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.cluster.codec import MessageReader, encode_message
from tunnel.core.cluster.messages import (
    LeaseDown,
    LeaseEnd,
    LeaseUp,
    NameDenied,
    SessionOpened,
    SessionRefused,
    Supersede,
    WorkerId,
)
from tunnel.core.cluster.ports import PortLeft, PortWanted
from tunnel.core.cluster.registry import ClusterRegistry
from tunnel.core.cluster.replica import LeaseGranted, LeaseOver, PortOver, PortServed, Replica
from tunnel.core.link.messages import DenialCode, Expose, Hello, Keep, Share
from tunnel.core.policy.rules import OPEN, Policy
from tunnel.core.route.granting import Denial
from tunnel.core.route.ports import Ports
from tunnel.core.route.table import Lease, RouteTable
from tunnel.core.token.codec import encode_token, key_id_of
from tunnel.core.token.token import AccountId, EndpointKind, NamePattern, Token, TokenId

PRIVATE: Final = bytes(range(32))
UNIX: Final = UnixSeconds(1_000_000)


def raw_token(number: int, *, account: int = 1, names_max: int = 9, sessions_max: int = 9) -> bytes:
    """A signed token; the number is its identity."""
    public = public_key_of(PRIVATE) or b""
    token = Token(
        key_id_of(public),
        TokenId(bytes([number]) * 16),
        AccountId(bytes([account]) * 16),
        NamePattern("*"),
        frozenset({EndpointKind.HTTP, EndpointKind.TCP}),
        names_max,
        1024,
        sessions_max,
        UnixSeconds(0),
        UnixSeconds(2_000_000_000),
    )
    raw = encode_token(token, PRIVATE)
    assert isinstance(raw, Success)
    return value_of(raw)


@final
@dataclass
class Agent:
    """One agent process: who it is, and where it has its session."""

    number: int
    token: bytes
    worker: WorkerId
    asking: int
    session: SessionId | None = None
    asked: dict[EndpointId, str] = field(default_factory=dict)
    granted: dict[EndpointId, Lease] = field(default_factory=dict)
    denied: list[EndpointId] = field(default_factory=list)
    is_refused: bool = False
    is_over: bool = False


@final
class WorkerEnd:
    """One worker: its replica, and the bytes on their way in both directions."""

    def __init__(self, number: WorkerId, limits: Limits) -> None:
        self.number: Final = number
        self.table: Final = RouteTable(limits)
        self.replica: Final = Replica(self.table, number)
        self.reader: Final = MessageReader()
        self.inbox: Final[deque[bytes]] = deque()
        self.outbox: Final[deque[bytes]] = deque()
        self.uncut: Final[list[Lease]] = []
        self.overs: Final[list[tuple[Epoch, LeaseEnd]]] = []
        self.told: Final[list[object]] = []
        self.served: Final[dict[int, PortServed]] = {}

    def says(self) -> None:
        """Put what the replica wants to say on its way."""
        words = self.replica.poll_output()
        if words:
            self.outbox.append(words)


@final
class Cluster:
    """All of them; nothing is delivered unless somebody asks for it."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits: Final = limits
        self.registry: Final = ClusterRegistry(limits)
        self.workers: Final[dict[WorkerId, WorkerEnd]] = {}
        self.agents: Final[list[Agent]] = []
        self.fenced: Final[dict[Epoch, Label]] = {}
        self.epochs_up: Final[dict[Label, list[Epoch]]] = {}
        self.ports: Final = Ports(limits, 1000, 1003)
        self.foreign: Final[set[int]] = set()
        """Ports that another program has."""
        self.open: Final[dict[int, int]] = {}
        """The opening of each port at which the supervisor listens."""
        self.openings = 0
        self.now = Instant(100.0)
        self._begun = 0

    def start(self) -> WorkerEnd:
        """A worker more; it attends once its words are delivered."""
        self._begun += 1
        worker = WorkerEnd(WorkerId(self._begun), self.limits)
        self.workers[worker.number] = worker
        self.registry.on_worker(worker.number, f"/run/{self._begun}")
        worker.says()
        self._route()
        return worker

    def kill(self, worker: WorkerEnd) -> None:
        """End a process: what is on its way to or from it is lost."""
        self.workers.pop(worker.number, None)
        for agent in self.agents:
            agent.is_over = agent.is_over or agent.worker == worker.number
        self.registry.on_worker_lost(worker.number, self.now)
        self._route()

    def dial(self, worker: WorkerEnd, number: int, token: bytes) -> Agent:
        """An agent process says hello at a worker."""
        asking = worker.replica.open_session(Hello(2, bytes([number]) * 16, token, "test"), "192.0.2.1:40000")
        agent = Agent(number, token, worker.number, asking)
        self.agents.append(agent)
        worker.says()
        return agent

    def ask(
        self, agent: Agent, name: str, policy: Policy = OPEN, port: int | None = None, share: Share = Share.ALONE
    ) -> None:
        """An agent with a session asks for a name, and for a port when one is given (0: any)."""
        worker = self.workers.get(agent.worker)
        if worker is not None and agent.session is not None and not agent.is_over:
            endpoint = EndpointId(len(agent.asked) + 1)
            agent.asked[endpoint] = name
            kind = EndpointKind.HTTP if port is None else EndpointKind.TCP
            asked = Expose(endpoint, kind, name, Keep(), share=share, policy=policy, port=port or 0)
            worker.replica.ask_name(agent.session, asked)
            worker.says()

    def give_up(self, agent: Agent, lease: Lease) -> None:
        """An agent withdraws."""
        worker = self.workers.get(agent.worker)
        if worker is not None:
            agent.granted.pop(lease.endpoint, None)
            worker.replica.give_up(lease)
            worker.says()

    def hang_up(self, agent: Agent) -> None:
        """The link of an agent is over."""
        worker = self.workers.get(agent.worker)
        agent.is_over = True
        if worker is not None and agent.session is not None:
            worker.replica.drop_session(agent.session)
            worker.says()

    def retire(self, worker: WorkerEnd) -> None:
        """Ask a worker to end."""
        self.registry.retire(worker.number)
        self._route()

    def deliver_to_supervisor(self, worker: WorkerEnd) -> None:
        """The oldest words of a worker arrive."""
        if worker.outbox:
            read = worker.reader.receive(worker.outbox.popleft())
            assert isinstance(read, Success), read
            for message in value_of(read):
                taken = self.registry.receive(worker.number, message, self.now, UNIX, bytes(16))
                assert isinstance(taken, Success), taken
            self._route()

    def deliver_to_worker(self, worker: WorkerEnd) -> None:
        """The oldest word for a worker arrives; it cuts what it must only when `cut` is called."""
        if worker.inbox:
            read = worker.replica.receive(worker.inbox.popleft(), self.now)
            assert isinstance(read, Success), read
            for event in value_of(read):
                worker.told.append(event)
                self._take(worker, event)
            worker.says()

    def cut(self, worker: WorkerEnd) -> None:
        """The worker has ended the streams of what was fenced."""
        for lease in worker.uncut:
            worker.replica.cut_done(lease)
        worker.uncut.clear()
        worker.says()

    def settle(self) -> None:
        """Deliver everything, until nobody has anything to say."""
        for _ in range(10_000):
            moved = False
            for worker in list(self.workers.values()):
                self.cut(worker)
                moved = moved or bool(worker.outbox) or bool(worker.inbox)
                self.deliver_to_supervisor(worker)
                self.deliver_to_worker(worker)
            if not moved:
                return
        pytest.fail("they never come to rest")

    def _take(self, worker: WorkerEnd, event: object) -> None:
        if isinstance(event, SessionOpened):
            agent = next(each for each in self.agents if (each.worker, each.asking) == (worker.number, event.asking))
            agent.session = event.session
            if agent.is_over:
                worker.replica.drop_session(event.session)
        elif isinstance(event, SessionRefused):
            agent = next(each for each in self.agents if (each.worker, each.asking) == (worker.number, event.asking))
            agent.is_refused = agent.is_over = True
        elif isinstance(event, LeaseGranted):
            agent = self._agent(event.lease.session)
            assert agent.worker == worker.number
            agent.granted[event.lease.endpoint] = event.lease
        elif isinstance(event, NameDenied):
            self._agent(event.session).denied.append(event.endpoint)
        elif isinstance(event, Supersede):
            self.hang_up(self._agent(event.session))
        elif isinstance(event, (PortServed, PortOver)):
            self._take_port(worker, event)
        elif isinstance(event, LeaseOver):
            worker.overs.append((event.lease.epoch, event.end))
            self._agent(event.lease.session).granted.pop(event.lease.endpoint, None)
            if event.end is LeaseEnd.FENCED:
                worker.uncut.append(event.lease)

    def _take_port(self, worker: WorkerEnd, event: PortServed | PortOver) -> None:
        if isinstance(event, PortServed):
            assert event.opening not in worker.served
            worker.served[event.opening] = event
        else:
            del worker.served[event.opening]

    def _agent(self, session: SessionId) -> Agent:
        return next(agent for agent in self.agents if agent.session == session)

    def _open_ports(self) -> None:
        """Do what the registry asks for, as its supervisor would."""
        while orders := self.registry.poll_ports():
            for order in orders:
                if isinstance(order, PortLeft):
                    self.open.pop(self.ports.release(order.lease, self.now, for_good=order.for_good), None)
                else:
                    self._open_port(order)

    def _open_port(self, order: PortWanted) -> None:
        claimed = self.ports.claim(order.lease, order.wanted, self.now)
        if not isinstance(claimed, Success):
            self.registry.on_no_port(order.lease, Denial(DenialCode.NO_PORT, "none"))
        elif value_of(claimed) in self.foreign:
            self.ports.note_foreign(order.lease, self.now)
            self.registry.on_no_port(order.lease, Denial(DenialCode.PORT_TAKEN, "foreign"))
        else:
            if value_of(claimed) not in self.open:
                self.openings += 1
                self.open[value_of(claimed)] = self.openings
            self.registry.on_port(order.lease, value_of(claimed), self.open[value_of(claimed)])

    def _route(self) -> None:
        self._open_ports()
        for number, message in self.registry.poll_output():
            if isinstance(message, LeaseDown) and message.end is LeaseEnd.FENCED:
                self.fenced[message.epoch] = message.name
            if isinstance(message, LeaseUp):
                ups = self.epochs_up.setdefault(message.name, [])
                if message.epoch not in ups:
                    ups.append(message.epoch)
            self.workers[number].inbox.append(encode_message(message))
