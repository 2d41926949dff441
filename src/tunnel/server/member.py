"""A worker as a member of its server: its conversation with the supervisor, and its ways to the other workers."""

import asyncio
import socket
from typing import Final, Protocol, final

import anyio
from typing_extensions import override

from tunnel.core.base.ids import Instant, SessionId
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.cluster.errors import describe
from tunnel.core.cluster.messages import (
    LeaseEnd,
    LookAgain,
    NameDenied,
    Retire,
    Serve,
    SessionOpened,
    SessionRefused,
    Supersede,
    WorkerDown,
    WorkerId,
    WorkerTally,
    WorkerUp,
)
from tunnel.core.cluster.replica import LeaseGranted, LeaseOver, PortOver, PortServed, Replica, ReplicaEvent
from tunnel.core.directory.directory import Directory
from tunnel.core.link.messages import Expose, Hello
from tunnel.core.route.granting import Denial
from tunnel.core.route.table import Lease
from tunnel.core.token.token import Token
from tunnel.drive.callbacks import Callbacks
from tunnel.drive.guard import guarded
from tunnel.drive.transport import stream_transport
from tunnel.observe.events import Warned
from tunnel.server.gate import Gate
from tunnel.server.hub import Hub
from tunnel.server.inward import CrossingPipe, InwardLink
from tunnel.server.outward import OutwardLink
from tunnel.server.parties import Opener
from tunnel.server.registry import Asker
from tunnel.server.shared_limits import TELL_SECONDS, SharedLimits
from tunnel.server.worker_ports import WorkerPorts

_REDIAL_SECONDS: Final = 0.1
"""Between two attempts to reach another worker, which the supervisor will soon tell to be gone."""


@final
class _Road:
    """The way to one other worker, dialled again and again until that worker is no more."""

    def __init__(self, member: "Member", worker: WorkerId, path: str) -> None:
        self._member: Final = member
        self._worker: Final = worker
        self._path: Final = path
        self._closed: Final = asyncio.Event()
        self.link = OutwardLink(member.hub, self)
        self.task: Final = member.hub.loop.create_task(self._keep())

    def on_crossing_closed(self) -> None:
        """Find none of its leases here, before the visitors on the way are told that it is lost."""
        self._member.replica.on_worker_unreachable(self._worker, self._member.hub.clock.now())
        self._closed.set()

    def close(self) -> None:
        """End it, and try no more."""
        self.task.cancel()
        self.link.link.close("the worker is gone")

    async def _keep(self) -> None:
        loop = self._member.hub.loop
        while True:
            try:
                await loop.create_unix_connection(lambda: Callbacks(self.link.link), self._path)
                self._member.replica.on_worker_reachable(self._worker)
            except OSError:
                self.link.link.abort_session()
            await self._closed.wait()
            await asyncio.sleep(_REDIAL_SECONDS)
            self._closed.clear()
            self.link = OutwardLink(self._member.hub, self)


class Mandate(Protocol):
    """What a worker was given when it was started."""

    @property
    def number(self) -> int:
        """Which worker this is."""

    @property
    def of(self) -> int:
        """Of how many."""

    @property
    def control(self) -> socket.socket:
        """Connected with the supervisor."""

    @property
    def crossing(self) -> socket.socket:
        """Listens for the other workers."""

    @property
    def parcels(self) -> socket.socket:
        """Where the supervisor hands listening sockets over."""


@final
class Member(asyncio.Protocol):
    """One worker's membership: the registry of its hub, and the way elsewhere. Finished once `leave` has returned."""

    def __init__(self, hub: Hub, mandate: Mandate, stop: asyncio.Event, gate: Gate) -> None:
        self.hub: Final = hub
        self.replica: Final = Replica(hub.table, WorkerId(mandate.number))
        self.waiting: Final[list[CrossingPipe]] = []
        self.is_retiring = False
        """Told to end while others go on: our agents are to move, not to be sent away."""
        self._gate: Final = gate
        self._stop: Final = stop
        self.ports: Final = WorkerPorts(self.replica, mandate.parcels)
        hub.ports = self.ports
        self._limits: Final = SharedLimits(hub)
        self._telling: asyncio.TimerHandle | None = None
        hub.registry = self
        hub.elsewhere = self
        self._may_serve: Final = asyncio.Event()
        self._number: Final = WorkerId(mandate.number)
        self._mandate: Final = mandate
        self._roads: Final[dict[WorkerId, _Road]] = {}
        self._askers: Final[dict[int, Asker]] = {}
        self._members: Final[dict[SessionId, Asker]] = {}
        self._transport: asyncio.Transport | None = None
        self._server: asyncio.Server | None = None

    async def join(self) -> bool:
        """Attend, let the other workers in, say that all is ready; returns whether to serve, once it was told.

        Without a supervisor, or when it speaks otherwise, there is nobody to serve for, and `stop` is set.
        """
        loop = self.hub.loop
        self._server = await loop.create_unix_server(
            lambda: Callbacks(InwardLink(self.hub, self).link), sock=self._mandate.crossing
        )
        await loop.connect_accepted_socket(lambda: self, self._mandate.control)
        self.replica.ready()
        self._tell_uses()
        await _either(self._may_serve, self._stop)
        return self._may_serve.is_set()

    async def leave(self) -> None:
        """Tell nobody anything more, and close all ways; returns when no task is left."""
        if self._telling is not None:
            self._telling.cancel()
        self.ports.leave()
        roads = list(self._roads.values())
        self._roads.clear()
        for road in roads:
            road.close()
        if roads:
            await asyncio.wait([road.task for road in roads])
        if self._server is not None:
            self._server.close()
        if self._transport is not None:
            self._transport.abort()

    # The conversation.

    @override
    @guarded
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = stream_transport(transport)
        self._say()

    @override
    @guarded
    def data_received(self, data: bytes) -> None:
        now = self.hub.clock.now()
        received = self.replica.receive(data, now)
        if not isinstance(received, Success):
            self.hub.events.emit(Warned(f"the supervisor sent {describe(error_of(received))}"))
            self._stop.set()
            return
        for event in value_of(received):
            self._take(event, now)
        self._say()
        waiting = list(self.waiting)
        self.waiting.clear()
        for pipe in waiting:
            pipe.try_again(now)

    @override
    @guarded
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._stop.set()

    def abort_session(self) -> None:
        """Without a supervisor there is no worker."""
        self._stop.set()

    # The registry of the hub.

    def open(self, asker: Asker, token: Token, hello: Hello) -> None:
        """Ask the supervisor for a session."""
        self._askers[self.replica.open_session(hello, asker.peer)] = asker
        self._say()

    def expose(self, session: SessionId, asker: Asker, token: Token, asked: Expose) -> None:
        """Ask the supervisor for a name."""
        self._members[session] = asker
        self.replica.ask_name(session, asked)
        self._say()

    def withdraw(self, lease: Lease) -> None:
        """Give a name back."""
        self.replica.give_up(lease)
        self._say()

    def drop(self, session: SessionId) -> None:
        """A session is over; one that never was is none."""
        self._members.pop(session, None)
        if session:
            self.replica.drop_session(session)
            self._say()

    def learn(self, directory: Directory) -> None:
        """Nothing: the supervisor decides, by its own."""

    def note_health(self, lease: Lease, *, is_up: bool) -> None:
        """Let the other workers know."""
        self.replica.note_health(lease, is_up=is_up)
        self._say()

    # Elsewhere.

    def opener(self, lease: Lease) -> Opener | None:
        """The way to the worker that has the agent of a lease."""
        worker = self.replica.worker_of(lease)
        road = None if worker is None else self._roads.get(worker)
        return None if road is None else road.link

    # Helpers.

    def _take(self, event: ReplicaEvent, now: Instant) -> None:
        match event:
            case SessionOpened() | SessionRefused():
                self._answer(event, now)
            case LeaseGranted():
                self._granted(event.lease, now)
            case NameDenied(session=session):
                asker = self._members.get(session)
                if asker is not None:
                    asker.on_denied(event.endpoint, Denial(event.code, event.detail))
            case LeaseOver():
                self._end(event, now)
            case WorkerTally(worker=worker, uses=uses):
                self._limits.learn(worker, uses, now)
            case PortServed() | PortOver():
                self._serve_port(event)
            case _:
                self._obey(event)

    def _answer(self, event: SessionOpened | SessionRefused, now: Instant) -> None:
        asker = self._askers.pop(event.asking, None)
        if asker is not None and isinstance(event, SessionOpened):
            asker.on_opened(event.session, None, now)
        elif asker is not None and isinstance(event, SessionRefused):
            asker.on_open_refused(event.detail)

    def _serve_port(self, event: PortServed | PortOver) -> None:
        if isinstance(event, PortServed):
            self.ports.on_served(event)
        else:
            self.ports.on_over(event)

    def _obey(self, event: Serve | Retire | LookAgain | Supersede | WorkerUp | WorkerDown) -> None:
        match event:
            case LookAgain():
                self._gate.look_again()
            case Serve():
                self._may_serve.set()
            case Retire():
                self.is_retiring = True
                self._stop.set()
            case Supersede(session=session):
                holder = self.hub.sessions.get(session)
                if holder is not None:
                    holder.supersede()
            case WorkerUp(worker=worker, path=path):
                self._roads[worker] = _Road(self, worker, path)
                self._limits.on_worker()
            case WorkerDown(worker=worker):
                self._limits.forget(worker)
                road = self._roads.pop(worker, None)
                if road is not None:
                    road.close()

    def _granted(self, lease: Lease, now: Instant) -> None:
        asker = self._members.get(lease.session)
        if asker is None or not asker.on_granted(lease, now):
            self.replica.give_up(lease)

    def _end(self, over: LeaseOver, now: Instant) -> None:
        """A lease has ended: cut it, or let its visitors finish, here and on their way to another worker."""
        lease = over.lease
        if over.worker == self._number:
            session = self.hub.sessions.get(lease.session)
            if session is not None and over.end is LeaseEnd.FENCED:
                session.fence(lease, f"a newer link with the same token took {lease.name}", now)
            elif session is not None and over.end is LeaseEnd.MOVED:
                session.on_moved(lease, now)
        else:
            road = self._roads.get(over.worker)
            for tenant in [] if road is None else road.link.tenants(lease):
                if over.end is LeaseEnd.FENCED or over.end is LeaseEnd.LAPSED:
                    tenant.on_fenced(now)
                else:
                    tenant.on_agent_leaving(now)
        if over.end is LeaseEnd.FENCED:
            self.replica.cut_done(lease)

    @guarded
    def _tell_uses(self) -> None:
        """Let the other workers know what was used of limits here, now and again and again."""
        for uses in self._limits.poll():
            self.replica.tell_uses(uses)
        self._say()
        self._telling = self.hub.loop.call_later(TELL_SECONDS, self._tell_uses)

    def _say(self) -> None:
        words = self.replica.poll_output() if self._transport is not None else b""
        if words and self._transport is not None:
            self._transport.write(words)


async def _either(one: asyncio.Event, other: asyncio.Event) -> None:
    """Return once one of them is set."""
    async with anyio.create_task_group() as group:

        async def wait(each: asyncio.Event) -> None:
            await each.wait()
            group.cancel_scope.cancel()

        group.start_soon(wait, one)
        group.start_soon(wait, other)
