"""One raw public connection on the event loop: a `Pipe` between a visitor's socket and an agent's stream."""

import asyncio
from time import monotonic
from typing import Final, final

from tunnel.core.base.ids import EndpointId, Instant, Label
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.problem import AGENT_OFFLINE, Problem
from tunnel.core.directory.toll import Toll
from tunnel.core.link.preface import StreamPreface
from tunnel.core.policy.door import Entry, caller_of
from tunnel.core.relay.actions import CloseVisitor, EndOrigin, EndVisitor, LeaveOrigin, SendOrigin, SendVisitor
from tunnel.core.relay.pipe import Pipe, PipeAction, PipeDone
from tunnel.core.relay.waits import Wait
from tunnel.core.route.table import Lease
from tunnel.core.token.token import AccountId, EndpointKind
from tunnel.drive.address import Address
from tunnel.drive.alarm import Alarm
from tunnel.drive.guard import guarded
from tunnel.observe.events import ConnectionDone
from tunnel.server.hub import Hub
from tunnel.server.upstream import Introduced
from tunnel.server.visitor_side import VisitorSide


@final
class RawConnection:
    """Does what its pipe says. Finished at `on_lost`.

    Who cannot be served is reset: before the first byte of somebody else's protocol there is nothing else to say.
    """

    def __init__(self, hub: Hub, name: Label, kind: EndpointKind, told: Introduced | None = None) -> None:
        self._hub: Final = hub
        self._name: Final = name
        self._kind: Final = kind
        self._told: Final = told
        """Who it is really from, where an upstream said so."""
        self._peer = Address("", 0)
        self._alarm: Final = Alarm(hub.loop, self)
        self._pipe: Pipe | None = None
        self._account: AccountId | None = None
        """Whose usage it is, once a stream was opened for it."""
        self._toll: Toll | None = None
        """Where it is counted at its end, from then on."""
        self._entry: Entry | None = None
        """What the door wants back at the end."""
        self._side: Final = VisitorSide(hub.limits.stream_queue_bytes)
        self._is_pumping = False

    # The visitor's socket.

    @property
    def read_buffer(self) -> memoryview:
        """Where the loop puts what it reads."""
        return self._hub.buffer

    def on_connected(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands: find who answers, and open a stream there."""
        hub, now = self._hub, self._now()
        self._side.connect(transport)
        told = self._told
        self._peer = self._side.peer() if told is None else told.visitor
        refused = hub.admit(self, self._peer.host)
        if refused is not None:
            self._refuse(refused.code)
            return
        lease = hub.table.find(self._name, now)
        if not isinstance(lease, Lease) or lease.kind is not self._kind:
            self._refuse(AGENT_OFFLINE.code)
            return
        if not self._may_come_in(lease, now):
            return
        public = self._side.public_address() if told is None else told.public
        self._open(lease, public, now)

    def on_read(self, count: int) -> None:
        """So many bytes are in the buffer."""
        pipe = self._pipe
        if pipe is not None:
            now = self._now()
            pipe.receive_visitor(bytes(self._hub.buffer[:count]), now)
            self._side.count(count, now)
            self._pump(pipe, now)

    def on_eof(self) -> bool:
        """The visitor ended its side; ours stays open."""
        self._side.has_ended = True
        pipe = self._pipe
        if pipe is None:
            return False
        now = self._now()
        pipe.on_visitor_end(now)
        self._pump(pipe, now)
        return True

    def on_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._alarm.cancel()
        self._side.transport = None
        self._hub.dismiss(self, self._peer.host)
        entry, self._entry = self._entry, None
        if entry is not None:
            self._hub.door.leave(entry)
        pipe = self._pipe
        if pipe is not None:
            now = self._now()
            pipe.on_visitor_lost(now)
            self._pump(pipe, now)

    def on_full(self) -> None:
        """The transport holds as much as it may."""
        self._side.on_full()
        if self._pipe is not None:
            self._pipe.on_visitor_stuck(self._now())
            self._alarm.set_by(self._pipe.next_deadline())

    def on_room(self) -> None:
        """The transport has room again."""
        self._side.on_room()
        if self._pipe is not None:
            self._pipe.on_visitor_flowing(self._now())
            self._alarm.set_by(self._pipe.next_deadline())

    # The agent's stream.

    @guarded
    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """Bytes of the agent, then of the local service."""
        pipe = self._pipe
        if pipe is not None:
            self._side.receive(len(data), now)
            pipe.receive_origin(data, now)
            self._pump(pipe, now)
            self._side.settle()

    @guarded
    def on_stream_end(self, now: Instant) -> None:
        """The local service ended its side."""
        if self._pipe is not None:
            self._pipe.on_origin_end(now)
            self._pump(self._pipe, now)

    def on_stream_refused(self, problem: Problem, now: Instant) -> None:
        """The worker that has the agent could not open the stream: for a raw connection as good as broken."""
        self.on_stream_reset(now)

    @guarded
    def on_stream_reset(self, now: Instant) -> None:
        """The local service, the agent or the link broke."""
        lease = self._side.lease
        self._count_out()
        self._side.forget()
        if self._pipe is not None:
            self._pipe.on_origin_reset(now, was_local=lease is not None and self._hub.table.is_current(lease))
            self._pump(self._pipe, now)

    @guarded
    def on_stream_writable(self, now: Instant) -> None:
        """The stream takes data again."""
        self._side.on_stream_writable()
        self._side.update_reading(is_full=False)

    @guarded
    def on_fenced(self, now: Instant) -> None:
        """The lease of the stream is another's now: the stream is cut on our side."""
        self._leave(reset=True)
        self.on_stream_reset(now)

    def on_agent_leaving(self, now: Instant) -> None:
        """Nothing: a connection that stands may end by itself."""

    def holds(self, lease: Lease) -> bool:
        """Whether the stream was opened under `lease`."""
        return self._side.lease is lease

    # The server.

    def last_call(self) -> None:
        """Nothing: there is no next request on it."""

    def drain(self) -> None:
        """Nothing: only its two ends know where a connection of theirs may end; the grace period is theirs."""

    @guarded
    def cut(self) -> None:
        """Close now: the grace period is over."""
        if self._pipe is not None:
            now = self._now()
            self._pipe.on_grace_over(now)
            self._pump(self._pipe, now)
        self.abort_session()

    def abort_session(self) -> None:
        """Drop the connection and its stream at once."""
        self._count_out()
        self._side.abort()

    def on_alarm(self, now: Instant) -> Instant:
        """A deadline may have passed; a visitor that takes even one byte has not stalled."""
        pipe = self._pipe
        if pipe is None:
            self.abort_session()
            return Instant(now + self._hub.limits.linger_seconds_max)
        if pipe.waits_for is Wait.VISITOR_TAKES and self._side.has_taken():
            pipe.on_visitor_took(now)
        if self._side.pay(now):
            pipe.on_held_back(now)  # what did not come while bytes were paid for is nobody's fault
        pipe.on_time(now)
        self._pump(pipe, now)
        return pipe.next_deadline()

    # Helpers.

    def _now(self) -> Instant:
        return Instant(monotonic())

    def _may_come_in(self, lease: Lease, now: Instant) -> bool:
        """Ask the door for everybody's rules and those of the endpoint, before the agent is woken."""
        if lease.toll.is_bounded:
            refused = lease.toll.refusal(now)
            if refused is not None:
                self._refuse(refused.code)
                return False
        door = self._hub.door
        if not door.guards_everyone and lease.policy is None:
            return True
        entered = door.admit(caller_of(self._peer.host), lease.name, lease.policy, (), now)
        if isinstance(entered, Success):
            self._entry = value_of(entered)
            return True
        self._refuse(error_of(entered).code)
        return False

    def _open(self, lease: Lease, public: Address, now: Instant) -> None:
        session = self._hub.opener(lease)
        if session is None:
            self._refuse(AGENT_OFFLINE.code)
            return
        preface = StreamPreface(EndpointId(lease.endpoint), self._peer.host, self._peer.port, public.host, public.port)
        opened = session.open_for(lease, preface, self)
        if not isinstance(opened, Success):
            self._refuse(error_of(opened).code)
            return
        self._side.attach(value_of(opened), lease)
        self._account = lease.account
        lease.outstanding += 1
        self._toll = lease.toll
        self._pipe = Pipe(self._hub.limits, now)
        self._side.limit(self._hub.door.meter(caller_of(self._peer.host), lease.name, lease.policy))
        self._alarm.set_by(self._pipe.next_deadline())

    def _pump(self, pipe: Pipe, now: Instant) -> None:
        if self._is_pumping:
            return  # a write below made the socket flow again; the loop that is running sees what that brought
        self._is_pumping = True
        actions = pipe.poll_actions()
        while actions:
            for action in actions:
                self._do(action)
            actions = pipe.poll_actions()
        self._is_pumping = False
        self._side.update_reading(is_full=False)
        if self._side.is_held:
            self._alarm.set_by(self._side.held_until)
        self._alarm.set_by(pipe.next_deadline())

    def _do(self, action: PipeAction) -> None:
        if isinstance(action, SendOrigin):
            self._side.send(action.data)
        elif isinstance(action, SendVisitor):
            self._side.write(action.data)
        else:
            self._do_rare(action)

    def _do_rare(self, action: EndOrigin | LeaveOrigin | EndVisitor | CloseVisitor | PipeDone) -> None:
        if isinstance(action, EndOrigin):
            self._side.end_stream()
        elif isinstance(action, EndVisitor):
            self._side.end_visitor()
        elif isinstance(action, LeaveOrigin):
            self._leave(reset=action.reset)
        elif isinstance(action, CloseVisitor):
            self._side.close(abort=action.abort)
        else:
            self._report(action)

    def _leave(self, *, reset: bool) -> None:
        self._count_out()
        self._side.leave(reset=reset)

    def _count_out(self) -> None:
        """The lease serves one connection less; said while the side still has it, and thereby once."""
        if self._side.lease is not None:
            self._side.lease.outstanding -= 1

    def _refuse(self, code: str) -> None:
        self._report(PipeDone(code, 0.0, 0, 0))
        self._side.close(abort=True)

    def _report(self, done: PipeDone) -> None:
        self._hub.metrics.note_connection(self._kind.name.lower(), done.outcome, done.bytes_up, done.bytes_down)
        if self._account is not None:
            self._hub.usage.count_connection(self._account, self._name, done.bytes_up, done.bytes_down)
        if self._toll is not None:
            self._toll.note(done.bytes_up + done.bytes_down)
            self._toll = None
        if self._hub.requests_shown:
            self._hub.events.emit(
                ConnectionDone(
                    name=self._name,
                    kind=self._kind.name.lower(),
                    milliseconds=done.seconds * 1000,
                    outcome=done.outcome,
                    bytes_up=done.bytes_up,
                    bytes_down=done.bytes_down,
                    peer=self._peer.host,
                )
            )
