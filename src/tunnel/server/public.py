"""One public connection on the event loop: an `Edge` between a visitor's socket and an agent's stream."""

import asyncio
from time import monotonic
from typing import Final, final

from tunnel.core.base.ids import EndpointId, Instant, StreamId
from tunnel.core.base.limits import READ_BYTES
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
from tunnel.drive.link import Link
from tunnel.drive.transport import close_once, end_writing, reset, stream_transport, unsent_bytes
from tunnel.server.hub import Hub
from tunnel.server.telling import event_of
from tunnel.server.throttle import Throttle
from tunnel.server.upstream import Introduced


@final
class PublicConnection:
    """Does what its edge says. Finished at `on_lost`."""

    def __init__(self, hub: Hub, scheme: str, refusal: Problem | None = None, told: Introduced | None = None) -> None:
        self._hub: Final = hub
        self._refusal: Final = refusal
        """What to answer without reading, whatever is asked."""
        self._scheme: Final = scheme
        self._address = ""
        self._port = 0
        self._public: Address | None = None if told is None else told.public
        self._told: Final = told
        """Who it is really from, where an upstream said so."""
        self._transport: asyncio.Transport | None = None
        self._alarm: Final = Alarm(hub.loop, self)
        self._edge: Edge | None = None
        self._link: Link | None = None
        self._stream = StreamId(0)
        self._lease: Lease | None = None
        self._is_direct = False
        """The current stream is on the agent's own link: who resets it is the agent."""
        self._throttle: Throttle | None = None
        """Present where bytes a second are limited."""
        self._owed = 0
        """Bytes of the stream that went to the visitor's socket and whose credit is not yet returned."""
        self._is_last = False
        """The agent of the current stream leaves: what runs on the stream is the last."""
        self._is_paused = False
        """The visitor's socket holds as much as it may."""
        self._is_stuck = False
        """The stream holds as much as it may."""
        self._is_reading = True
        self._has_ended = False
        """The visitor's FIN was seen; libuv must not be asked to read again."""
        self._is_pumping = False
        self._written = 0
        self._taken = 0
        """How much of what was written the visitor had taken when we last looked."""

    # The visitor's socket.

    def on_connected(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        hub, now = self._hub, self._now()
        stream = stream_transport(transport)
        self._transport = stream
        stream.set_write_buffer_limits(high=READ_BYTES)
        peer: object = stream.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._address, self._port = str(peer[0]), int(peer[1])
        scheme = self._scheme
        if self._told is not None:
            self._address, self._port = self._told.visitor.host, self._told.visitor.port
            scheme = "https" if self._told.is_tls else scheme
        refused = hub.admit(self, self._address) or self._refusal
        if refused is not None:
            self._turn_away(stream, refused, now)
            return
        visitor = Visitor(self._address, self._port, scheme)
        self._edge = Edge(visitor, hub.table, hub.zone, hub.limits, hub.next_id_prefix(), now, hub.door)
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
            if self._throttle is not None:
                self._throttle.count(count, now)
            self._pump(edge, now)

    def on_eof(self) -> bool:
        """The peer ended its side; whether ours stays open."""
        self._has_ended = True
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
        self._transport = None
        self._hub.dismiss(self, self._address)
        edge = self._edge
        if edge is not None:
            now = self._now()
            edge.on_visitor_lost(now)
            self._pump(edge, now)

    def on_full(self) -> None:
        """The transport holds as much as it may."""
        self._is_paused = True
        self._has_taken()
        if self._edge is not None:
            self._edge.on_visitor_stuck(self._now())
            self._alarm.set_by(self._edge.next_deadline())

    def on_room(self) -> None:
        """The transport has room again."""
        self._is_paused = False
        if not self._is_held:
            self._return_credit()
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
            self._owed += len(data)
            if self._throttle is not None:
                self._throttle.count(len(data), now)
            edge.receive_origin(data, now)
            self._pump(edge, now)
            if not self._is_paused and not self._is_held:
                self._return_credit()

    @guarded
    def on_stream_end(self, now: Instant) -> None:
        """The local service ended its side."""
        if self._edge is not None:
            self._edge.on_origin_end(now)
            self._pump(self._edge, now)

    @guarded
    def on_stream_reset(self, now: Instant) -> None:
        """The local service, the agent or the link broke."""
        link = self._link
        is_refused = self._is_direct and link is not None and not link.is_closed
        self._forget_stream()
        if self._edge is not None:
            self._edge.on_origin_reset(now, is_refused=is_refused)
            self._pump(self._edge, now)

    @guarded
    def on_stream_refused(self, problem: Problem, now: Instant) -> None:
        """The worker that has the agent could not open the stream."""
        self._forget_stream()
        if self._edge is not None:
            self._edge.on_origin_refused(problem, "", now)
            self._pump(self._edge, now)

    @guarded
    def on_stream_writable(self, now: Instant) -> None:
        """The stream takes data again."""
        self._is_stuck = False
        edge = self._edge
        if edge is not None:
            edge.on_origin_flowing(now)
            self._pump(edge, now)

    @guarded
    def on_fenced(self, now: Instant) -> None:
        """The lease of the current stream is another's now: the stream is cut on our side."""
        if self._link is not None:
            self._link.leave(self._stream, reset=True)
        self._is_direct = False
        self.on_stream_reset(now)

    @guarded
    def on_agent_leaving(self, now: Instant) -> None:
        """The agent of the current stream takes no new one: an idle stream would only hold it up."""
        self._is_last = True
        if self._edge is not None:
            self._pump(self._edge, now)

    def holds(self, lease: Lease) -> bool:
        """Whether the current stream was opened under `lease`."""
        return self._lease is lease

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
        if self._link is not None:
            self._link.leave(self._stream, reset=True)
            self._forget_stream()
        if self._transport is not None:
            self._transport.abort()

    def on_alarm(self, now: Instant) -> Instant:
        """A deadline may have passed; a visitor that takes even one byte has not stalled."""
        edge = self._edge
        if edge is None:
            # One that was turned away has had its time to read why.
            self.abort_session()
            return Instant(now + self._hub.limits.linger_seconds_max)
        if edge.waits_for is Wait.VISITOR_TAKES and self._has_taken():
            edge.on_visitor_took(now)
        if self._throttle is not None:
            self._pay(edge, self._throttle, now)
        edge.on_time(now)
        self._pump(edge, now)
        return edge.next_deadline()

    # Helpers.

    @property
    def _is_held(self) -> bool:
        return self._throttle is not None and self._throttle.is_holding

    def _pay(self, edge: Edge, throttle: Throttle, now: Instant) -> None:
        """Some of the wait for bytes that have passed is over; what did not come meanwhile is nobody's fault."""
        was_held = throttle.is_holding
        if throttle.release(now) and not self._is_paused:
            self._return_credit()
        if was_held:
            edge.on_held_back(now)

    def _now(self) -> Instant:
        return Instant(monotonic())

    def _pump(self, edge: Edge, now: Instant) -> None:
        if self._is_pumping:
            return  # a write below made the socket flow again; the loop that is running sees what that brought
        self._is_pumping = True
        actions = edge.poll_actions(now)
        while actions:
            for action in actions:
                if isinstance(action, SendOrigin):
                    self._send_origin(edge, action.data, now)
                elif isinstance(action, SendVisitor):
                    if self._transport is not None:
                        self._written += len(action.data)
                        self._transport.write(action.data)
                else:
                    self._do_rare(edge, action, now)
            actions = edge.poll_actions(now)
        self._is_pumping = False
        if self._is_last and edge.phase is Phase.BETWEEN and self._link is not None:
            self._link.leave(self._stream, reset=True)
            self._forget_stream()
            edge.on_origin_reset(now)
        self._update_reading(edge)
        throttle = self._throttle
        if throttle is not None and throttle.is_holding:
            self._alarm.set_by(throttle.until)
        self._alarm.set_by(edge.next_deadline())

    def _do_rare(self, edge: Edge, action: Action, now: Instant) -> None:
        if isinstance(action, (Report, HealthNews)):
            self._tell(action)
        elif isinstance(action, OpenOrigin):
            self._open(edge, action.lease, now)
        elif isinstance(action, LeaveOrigin):
            if self._link is not None:
                self._return_credit()
                self._link.leave(self._stream, reset=action.reset)
                self._forget_stream()
        elif isinstance(action, EndOrigin):
            if self._link is not None:
                self._link.end(self._stream)
        elif isinstance(action, EndVisitor):
            if self._transport is not None and self._transport.can_write_eof():
                end_writing(self._transport)
        elif isinstance(action, CloseVisitor):
            self._close(abort=action.abort)

    def _open(self, edge: Edge, lease: Lease, now: Instant) -> None:
        session = self._hub.opener(lease)
        if session is None:
            edge.on_origin_refused(AGENT_OFFLINE, "", now)
            return
        public = self._public_address()
        preface = StreamPreface(EndpointId(lease.endpoint), self._address, self._port, public.host, public.port)
        opened = session.open_for(lease, preface, self)
        if isinstance(opened, Success):
            stream = value_of(opened)
            self._link, self._stream, self._lease = stream.link, stream.stream, lease
            self._is_direct = stream.is_direct
            if lease.policy is not None or self._hub.door.guards_everyone:
                self._meter(lease)
        else:
            problem: Problem = error_of(opened)
            edge.on_origin_refused(problem, "", now)

    def _meter(self, lease: Lease) -> None:
        """Count the bytes of this endpoint from here on, where somebody wants them counted."""
        meter = self._hub.door.meter(caller_of(self._address), lease.name, lease.policy)
        if meter is not None and self._throttle is not None:
            self._throttle.meter = meter
        elif meter is not None:
            self._throttle = Throttle(meter)

    def _public_address(self) -> Address:
        """Where the visitor connected to; asked for once, as it costs a system call."""
        if self._public is None:
            name: object = None if self._transport is None else self._transport.get_extra_info("sockname")
            self._public = Address(str(name[0]), int(name[1])) if isinstance(name, tuple) else Address("", 0)
        return self._public

    def _send_origin(self, edge: Edge, data: bytes, now: Instant) -> None:
        link = self._link
        if link is None:
            return
        queued = link.send(self._stream, data)
        if queued > self._hub.limits.stream_queue_bytes and not self._is_stuck:
            self._is_stuck = True
            edge.on_origin_stuck(now)

    def _forget_stream(self) -> None:
        self._link, self._stream, self._lease = None, StreamId(0), None
        self._owed = 0
        self._is_stuck = False
        self._is_last = False

    def _return_credit(self) -> None:
        if self._owed and self._link is not None:
            self._link.return_credit(self._stream, self._owed)
        self._owed = 0

    def _update_reading(self, edge: Edge) -> None:
        wanted = not self._is_stuck and not edge.is_full and not self._is_held
        transport = self._transport
        if wanted is self._is_reading or transport is None or self._has_ended or transport.is_closing():
            return
        self._is_reading = wanted
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _turn_away(self, transport: asyncio.Transport, problem: Problem, now: Instant) -> None:
        """Say why, end our side, and read on for a moment: closing over unread bytes would reset the answer away."""
        if not self._hub.can_turn_away():
            transport.abort()
            return
        transport.write(problem_response(problem, "", "", page=False, close=True, without_body=False))
        if transport.can_write_eof():
            end_writing(transport)
        self._alarm.set_by(Instant(now + self._hub.limits.linger_seconds_max))

    def _has_taken(self) -> bool:
        """Whether the visitor took at least one byte since this was last asked."""
        before = self._taken
        if self._transport is not None:
            self._taken = self._written - unsent_bytes(self._transport)
        return self._taken > before

    def _close(self, *, abort: bool) -> None:
        transport = self._transport
        if transport is None:
            return
        if not abort:
            self._has_taken()
            close_once(transport)
            return
        reset(transport)

    def _tell(self, told: Report | HealthNews) -> None:
        if self._hub.requests_shown or isinstance(told, HealthNews):
            self._hub.events.emit(event_of(told, self._address))
