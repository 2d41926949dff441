"""One public connection on the event loop: an `Edge` between a visitor's socket and an agent's stream."""

import asyncio
from time import monotonic
from typing import Final, final

from tunnel.core.base.ids import EndpointId, Instant
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.problem import AGENT_OFFLINE, Problem
from tunnel.core.http.forward import Visitor
from tunnel.core.link.preface import StreamPreface
from tunnel.core.policy.door import caller_of
from tunnel.core.relay.actions import (
    Action,
    CloseVisitor,
    EndOrigin,
    EndVisitor,
    HealthNews,
    LeaveOrigin,
    OpenOrigin,
    Report,
    SendOrigin,
    SendVisitor,
)
from tunnel.core.relay.answer import problem_response
from tunnel.core.relay.edge import Edge
from tunnel.core.relay.state import Phase
from tunnel.core.relay.waits import Wait
from tunnel.core.route.table import Lease
from tunnel.drive.address import Address
from tunnel.drive.alarm import Alarm
from tunnel.drive.guard import guarded
from tunnel.drive.transport import end_writing
from tunnel.server.hub import Hub
from tunnel.server.telling import event_of
from tunnel.server.upstream import Introduced
from tunnel.server.visitor_side import VisitorSide


@final
class PublicConnection:
    """Does what its edge says. Finished at `on_lost`."""

    def __init__(
        self, hub: Hub, scheme: str, peer: Address, refusal: Problem | None = None, told: Introduced | None = None
    ) -> None:
        self._hub: Final = hub
        self._refusal: Final = refusal
        """What to answer without reading, whatever is asked."""
        self._scheme: Final = scheme
        self._peer: Final = peer
        """Who connected; an upstream may have said so."""
        self._address: Final = peer.host
        self._public: Address | None = None if told is None else told.public
        self._told: Final = told
        """What an upstream has said of it."""
        self._alarm: Final = Alarm(hub.loop, self)
        self._edge: Edge | None = None
        self._side: Final = VisitorSide(hub.limits.stream_queue_bytes)
        self._is_pumping = False

    # The visitor's socket.

    def on_connected(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        hub, now = self._hub, self._now()
        stream = self._side.connect(transport)
        scheme = "https" if self._told is not None and self._told.is_tls else self._scheme
        refused = hub.admit(self, self._address) or self._refusal
        if refused is not None:
            self._turn_away(stream, refused, now)
            return
        visitor = Visitor(self._address, self._peer.port, scheme)
        secure = hub.urls.secure_port if scheme == "http" else None
        self._edge = Edge(visitor, hub.table, hub.zone, hub.limits, hub.next_id_prefix(), now, hub.door, secure)
        self._alarm.set_by(self._edge.next_deadline())
        if hub.is_moving:
            self.last_call()
        elif hub.is_draining:
            self.drain()

    @property
    def read_buffer(self) -> memoryview:
        """Where the loop puts what it reads."""
        return self._hub.buffer

    def on_read(self, count: int) -> None:
        """So many bytes are in the buffer."""
        edge = self._edge
        if edge is not None:
            now = self._now()
            edge.receive_visitor(bytes(self._hub.buffer[:count]), now)
            self._side.count(count, now)
            self._pump(edge, now)

    def on_eof(self) -> bool:
        """The peer ended its side; whether ours stays open."""
        self._side.has_ended = True
        edge = self._edge
        if edge is None:
            return False
        now = self._now()
        edge.on_visitor_end(now)
        self._pump(edge, now)
        return self._scheme == "http"

    def on_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._alarm.cancel()
        self._side.transport = None
        self._hub.dismiss(self, self._address)
        edge = self._edge
        if edge is not None:
            now = self._now()
            edge.on_visitor_lost(now)
            self._pump(edge, now)

    def on_full(self) -> None:
        """The transport holds as much as it may."""
        self._side.on_full()
        if self._edge is not None:
            self._edge.on_visitor_stuck(self._now())
            self._alarm.set_by(self._edge.next_deadline())

    def on_room(self) -> None:
        """The transport has room again."""
        self._side.on_room()
        edge = self._edge
        if edge is not None:
            now = self._now()
            edge.on_visitor_flowing(now)
            self._pump(edge, now)

    # The agent's stream.

    @guarded
    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """Bytes of the local service."""
        edge = self._edge
        if edge is not None:
            self._side.receive(len(data), now)
            edge.receive_origin(data, now)
            self._pump(edge, now)
            self._side.settle()

    @guarded
    def on_stream_end(self, now: Instant) -> None:
        """The local service ended its side."""
        if self._edge is not None:
            self._edge.on_origin_end(now)
            self._pump(self._edge, now)

    @guarded
    def on_stream_reset(self, now: Instant) -> None:
        """The local service, the agent or the link broke."""
        side, link = self._side, self._side.link
        is_refused = side.is_direct and link is not None and not link.is_closed
        side.forget()
        if self._edge is not None:
            self._edge.on_origin_reset(now, is_refused=is_refused)
            self._pump(self._edge, now)

    @guarded
    def on_stream_refused(self, problem: Problem, now: Instant) -> None:
        """The worker that has the agent could not open the stream."""
        self._side.forget()
        if self._edge is not None:
            self._edge.on_origin_refused(problem, "", now)
            self._pump(self._edge, now)

    @guarded
    def on_stream_writable(self, now: Instant) -> None:
        """The stream takes data again."""
        self._side.on_stream_writable()
        edge = self._edge
        if edge is not None:
            edge.on_origin_flowing(now)
            self._pump(edge, now)

    @guarded
    def on_fenced(self, now: Instant) -> None:
        """The lease of the current stream is another's now: the stream is cut on our side."""
        self._side.leave(reset=True)
        self.on_stream_reset(now)

    @guarded
    def on_agent_leaving(self, now: Instant) -> None:
        """The agent of the current stream takes no new one: an idle stream would only hold it up."""
        self._side.is_last = True
        if self._edge is not None:
            self._pump(self._edge, now)

    def holds(self, lease: Lease) -> bool:
        """Whether the current stream was opened under `lease`."""
        return self._side.lease is lease

    # The server.

    @guarded
    def last_call(self) -> None:
        """Close after the running exchange or the next one; an idle connection may have a request on its way."""
        if self._edge is not None:
            self._edge.on_last_call(self._now())

    @guarded
    def drain(self) -> None:
        """Close when idle, else after the running exchange."""
        if self._edge is not None:
            now = self._now()
            self._edge.on_drain(now)
            self._pump(self._edge, now)

    @guarded
    def cut(self) -> None:
        """Close now, whatever runs: the grace period is over. Not by a reset, which could take back what was sent."""
        if self._edge is not None:
            now = self._now()
            self._edge.on_grace_over(now)
            for action in self._edge.poll_actions(now):
                if isinstance(action, Report):
                    self._tell(action)
        self.abort_session()

    def abort_session(self) -> None:
        """Drop the connection and its stream at once."""
        self._side.abort()

    def on_alarm(self, now: Instant) -> Instant:
        """A deadline may have passed; a visitor that takes even one byte has not stalled."""
        edge = self._edge
        if edge is None:
            # One that was turned away has had its time to read why.
            self.abort_session()
            return Instant(now + self._hub.limits.linger_seconds_max)
        if edge.waits_for is Wait.VISITOR_TAKES and self._side.has_taken():
            edge.on_visitor_took(now)
        if self._side.pay(now):
            edge.on_held_back(now)  # what did not come while bytes were paid for is nobody's fault
        edge.on_time(now)
        self._pump(edge, now)
        return edge.next_deadline()

    # Helpers.

    def _now(self) -> Instant:
        return Instant(monotonic())

    def _pump(self, edge: Edge, now: Instant) -> None:
        if self._is_pumping:
            return  # a write below made the socket flow again; the loop that is running sees what that brought
        self._is_pumping = True
        side = self._side
        actions = edge.poll_actions(now)
        while actions:
            for action in actions:
                if isinstance(action, SendOrigin):
                    if side.send(action.data):
                        edge.on_origin_stuck(now)
                elif isinstance(action, SendVisitor):
                    side.write(action.data)
                else:
                    self._do_rare(edge, action, now)
            actions = edge.poll_actions(now)
        self._is_pumping = False
        if side.is_last and side.link is not None and edge.phase is Phase.BETWEEN:
            side.leave(reset=True)
            edge.on_origin_reset(now)
        side.update_reading(is_full=edge.is_full)
        if side.is_held:
            self._alarm.set_by(side.held_until)
        self._alarm.set_by(edge.next_deadline())

    def _do_rare(self, edge: Edge, action: Action, now: Instant) -> None:
        if isinstance(action, (Report, HealthNews)):
            self._tell(action)
        elif isinstance(action, OpenOrigin):
            self._open(edge, action.lease, now)
        elif isinstance(action, LeaveOrigin):
            self._side.leave(reset=action.reset)
        elif isinstance(action, EndOrigin):
            self._side.end_stream()
        elif isinstance(action, EndVisitor):
            self._side.end_visitor()
        elif isinstance(action, CloseVisitor):
            self._side.close(abort=action.abort)

    def _open(self, edge: Edge, lease: Lease, now: Instant) -> None:
        session = self._hub.opener(lease)
        if session is None:
            edge.on_origin_refused(AGENT_OFFLINE, "", now)
            return
        public = self._public_address()
        preface = StreamPreface(EndpointId(lease.endpoint), self._address, self._peer.port, public.host, public.port)
        opened = session.open_for(lease, preface, self)
        if isinstance(opened, Success):
            self._side.attach(value_of(opened), lease)
            if lease.policy is not None or self._hub.door.guards_everyone:
                self._side.limit(self._hub.door.meter(caller_of(self._address), lease.name, lease.policy))
        else:
            problem: Problem = error_of(opened)
            edge.on_origin_refused(problem, "", now)

    def _public_address(self) -> Address:
        """Where the visitor connected to; asked for once, as it costs a system call."""
        if self._public is None:
            self._public = self._side.public_address()
        return self._public

    def _turn_away(self, transport: asyncio.Transport, problem: Problem, now: Instant) -> None:
        """Say why, end our side, and read on for a moment: closing over unread bytes would reset the answer away."""
        if not self._hub.can_turn_away():
            transport.abort()
            return
        transport.write(problem_response(problem, "", "", page=False, close=True, without_body=False))
        end_writing(transport)
        self._alarm.set_by(Instant(now + self._hub.limits.linger_seconds_max))

    def _tell(self, told: Report | HealthNews) -> None:
        if isinstance(told, Report):
            self._hub.metrics.note_exchange(told)
            if told.account is not None:
                self._hub.usage.count_exchange(told.account, told.name, told.bytes_up, told.bytes_down)
                self._hub.recent.note(told, self._address)
        if self._hub.requests_shown or isinstance(told, HealthNews):
            self._hub.events.emit(event_of(told, self._address))
