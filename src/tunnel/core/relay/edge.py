"""One public connection: exchanges in sequence, each joined to a stream of the agent that holds the name.

The shell tells what the world did (`receive_*`, `on_*`) and then does what `poll_actions` lists, in order, until it
lists nothing. Calls that come late, twice or after the end change nothing.
"""

from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import Limits
from tunnel.core.base.problem import (
    EXPOSURE_OVER,
    LINK_BROKE_PROTOCOL,
    LINK_LOST,
    LOCAL_CLOSED_EARLY,
    LOCAL_STALLED,
    LOCAL_TIMEOUT,
    REQUEST_TIMEOUT,
    Problem,
)
from tunnel.core.http.forward import Visitor
from tunnel.core.policy.door import Door
from tunnel.core.relay.actions import Action, EndVisitor
from tunnel.core.relay.attempts import repeat, repeat_elsewhere, try_another
from tunnel.core.relay.awaited import wait_of
from tunnel.core.relay.endings import abandon, close, fail, leave, report
from tunnel.core.relay.requests import end_requests, take_body, take_head
from tunnel.core.relay.responses import close_response, end_up, pass_down, pass_up, take_reply, take_response
from tunnel.core.relay.state import EdgeState, Phase
from tunnel.core.relay.waits import Wait
from tunnel.core.route.table import RouteTable

# Bound once: compiled code finds a name of its module at a fixed place, but a member of an enum by its name.
_BETWEEN: Final = Phase.BETWEEN
_UPGRADED: Final = Phase.UPGRADED
_REQUEST_BODY: Final = Wait.REQUEST_BODY
_OTHERS_TURN: Final = frozenset(
    (Wait.REST_OF_HEAD, Wait.REQUEST_BODY, Wait.RESPONSE_BODY, Wait.UPGRADED, Wait.HALF_CLOSED)
)
"""Waits for bytes that cannot come while we read none and return no credit."""


@final
class Edge:
    """The machine of one public connection. It is finished once `is_closed`."""

    def __init__(
        self,
        visitor: Visitor,
        table: RouteTable,
        zone: str,
        limits: Limits,
        id_prefix: str,
        now: Instant,
        door: Door,
        secure_port: str | None = None,
    ) -> None:
        self._state: Final = EdgeState(visitor, table, zone, limits, id_prefix, now, door)
        self._state.secure_port = secure_port

    # Getters.

    @property
    def phase(self) -> Phase:
        """Where the connection stands."""
        return self._state.phase

    @property
    def is_closed(self) -> bool:
        """Nothing more happens here."""
        return self._state.phase is Phase.CLOSED

    @property
    def is_full(self) -> bool:
        """The visitor sent more ahead of its turn than we hold: read no more for now."""
        return self._state.request.ahead_bytes > self._state.limits.ahead_bytes_max

    @property
    def held_bytes(self) -> int:
        """Bytes of the visitor that wait here: part of a head, and what came ahead of its turn."""
        return self._state.request.held_bytes

    @property
    def waits_for(self) -> Wait:
        """What the connection is waiting for."""
        return self._state.patience.wait

    # The world: the visitor.

    def receive_visitor(self, data: bytes, now: Instant) -> None:
        """The visitor sent bytes; more of them while `is_full` end the connection."""
        state = self._state
        if not data or state.visitor_has_ended:
            return
        exchange = state.exchange
        if self.is_full:
            abandon(state, "visitor-flooded", now)
        elif exchange is None:
            self._receive_outside(data, now)
        elif state.phase is _UPGRADED:
            pass_up(state, exchange, data)
        else:
            take_body(state, exchange, data, now)
        self._arm(now)

    def on_visitor_end(self, now: Instant) -> None:
        """The visitor ended its side (FIN): a request cut short is an error, a whole one still gets its answer."""
        state = self._state
        if state.visitor_has_ended:
            return
        state.visitor_has_ended = True
        if state.phase is _UPGRADED:
            end_up(state)
            self._close_if_both_ended(now)
        else:
            end_requests(state, now)
        self._arm(now)

    def on_visitor_lost(self, now: Instant) -> None:
        """The visitor's connection is gone, whoever ended it."""
        state = self._state
        exchange = state.exchange
        if exchange is not None:
            is_ok = exchange.is_answered or state.phase is _UPGRADED
            report(state, exchange, "ok" if is_ok else "visitor-left", now)
        leave(state)
        state.request.forget()
        state.phase = Phase.CLOSED
        self._arm(now)

    def on_visitor_stuck(self, now: Instant) -> None:
        """What we sent waits in front of the visitor."""
        self._state.visitor_is_stuck = True
        self._arm(now)

    def on_visitor_flowing(self, now: Instant) -> None:
        """The visitor takes bytes again; a request that waited for that may be taken up by `poll_actions`."""
        self._state.visitor_is_stuck = False
        self._arm(now)

    def on_visitor_took(self, now: Instant) -> None:
        """A visitor that we wait for took at least one byte: its patience starts anew."""
        if self._state.patience.wait is Wait.VISITOR_TAKES:
            self._state.patience.renew(now)

    # The world: the origin stream.

    def receive_origin(self, data: bytes, now: Instant) -> None:
        """The stream of the current leg brought bytes."""
        state = self._state
        leg, exchange = state.leg, state.exchange
        if leg is None or leg.has_ended or not data:
            return
        if not leg.has_replied:
            take_reply(state, leg, data, now)
        elif exchange is None or state.phase is not _UPGRADED:
            take_response(state, leg, data, now)
        else:
            pass_down(state, exchange, data)
        self._arm(now)

    def on_origin_end(self, now: Instant) -> None:
        """FIN on the stream: the local service said all it had to say."""
        state = self._state
        leg, exchange = state.leg, state.exchange
        if leg is None or leg.has_ended:
            return
        leg.has_ended = True
        if exchange is None:
            leave(state)
        elif state.phase is _UPGRADED:
            state.actions.append(EndVisitor())
            self._close_if_both_ended(now)
        elif not leg.has_replied:
            fail(state, LINK_BROKE_PROTOCOL, "the stream ended before the agent said whether it connected", now)
        elif not repeat(state, leg, exchange, now):
            close_response(state, leg, exchange, now)
        self._arm(now)

    def on_origin_reset(self, now: Instant, *, is_refused: bool = False) -> None:
        """RST on the stream, or its link is lost, or its lease is fenced: nothing more comes, whole or not.

        `is_refused`: the agent itself reset it, over a link that stands. Before its reply that is a refusal
        (LINK-STREAM-004), as of a stream that crossed its GOAWAY on the way.
        """
        state = self._state
        leg, exchange = state.leg, state.exchange
        if leg is None:
            return
        state.forget_leg()
        was_local = leg.has_replied and state.table.is_current(leg.lease)
        if state.phase is _UPGRADED:
            abandon(state, LOCAL_CLOSED_EARLY.code if was_local else LINK_LOST.code, now)
        elif exchange is not None and not repeat(state, leg, exchange, now):
            if was_local:
                fail(state, LOCAL_CLOSED_EARLY, "the agent reports a broken connection to the local service", now)
            elif not (
                try_another(state, exchange, leg.lease, now)
                if is_refused and not leg.has_replied
                else repeat_elsewhere(state, leg, exchange, now)
            ):
                fail(state, EXPOSURE_OVER if leg.lease.has_lapsed else LINK_LOST, "", now)
        self._arm(now)

    def on_origin_refused(self, problem: Problem, detail: str, now: Instant) -> None:
        """The stream asked for by `OpenOrigin` could not be opened."""
        state = self._state
        leg, exchange = state.leg, state.exchange
        if leg is not None and not leg.has_replied:
            state.forget_leg()
            if exchange is None or not try_another(state, exchange, leg.lease, now):
                fail(state, problem, detail, now)
            self._arm(now)

    def on_origin_stuck(self, now: Instant) -> None:
        """The stream holds as much unsent data as it may."""
        self._state.origin_is_stuck = self._state.leg is not None
        self._arm(now)

    def on_origin_flowing(self, now: Instant) -> None:
        """The stream takes data again."""
        self._state.origin_is_stuck = False
        self._arm(now)

    # The world: time and the operator.

    def on_drain(self, now: Instant) -> None:
        """The server shuts down: the running exchange, or the request that has begun to come, is the last."""
        state = self._state
        state.is_draining = True
        if state.exchange is not None:
            state.exchange.must_close = True
        elif state.phase is _BETWEEN and not state.request.held_bytes:
            close(state, abort=False)
        self._arm(now)

    def on_last_call(self, now: Instant) -> None:
        """Another process takes over: the running exchange, or the next, is the last; who is idle is not closed yet.

        Closing it at once could cross with a request on its way, which would be lost without an answer.
        """
        state = self._state
        state.is_draining = True
        if state.exchange is not None:
            state.exchange.must_close = True
        self._arm(now)

    def on_grace_over(self, now: Instant) -> None:
        """The server waits no longer: what still runs is cut, and reported as our doing."""
        if not self.is_closed:
            abandon(self._state, "server-stopped", now)
            self._arm(now)

    def on_time(self, now: Instant) -> None:
        """The deadline may have passed; what was awaited then did not come."""
        state = self._state
        if now < state.patience.deadline:
            return
        match state.patience.wait:
            case Wait.REST_OF_HEAD | Wait.REQUEST_BODY:
                fail(state, REQUEST_TIMEOUT, "", now)
            case Wait.LOCAL_TAKES_BODY:
                fail(state, LOCAL_STALLED, "", now)
            case Wait.RESPONSE_HEAD | Wait.RESPONSE_BODY | Wait.HALF_CLOSED:
                fail(state, LOCAL_TIMEOUT, "", now)
            case Wait.UPGRADED:
                abandon(state, "idle", now)
            case Wait.VISITOR_TAKES:
                abandon(state, "visitor-stalled", now)
            case Wait.NEXT_REQUEST | Wait.LINGER:
                close(state, abort=False)
            case _:
                return
        self._arm(now)

    def on_held_back(self, now: Instant) -> None:
        """We ourselves let nothing through for a while: the patience with whom we wait for starts anew."""
        if self._state.patience.wait in _OTHERS_TURN:
            self._state.patience.renew(now)

    def next_deadline(self) -> Instant:
        """When `on_time` wants to be called; it may move, mostly later."""
        return self._state.patience.deadline

    def poll_actions(self, now: Instant) -> list[Action]:
        """What to do now, in order, handed over once; ask again until there is nothing.

        A pipelined request is taken up here, one a call, so that its answer is written before the next is begun.
        """
        state = self._state
        if not state.actions:
            if state.phase is not _BETWEEN or state.visitor_is_stuck:
                return []
            self._take_up(now)
        actions = state.actions
        state.actions = []
        return actions

    def _receive_outside(self, data: bytes, now: Instant) -> None:
        """Bytes while no exchange runs."""
        state = self._state
        if state.phase is _BETWEEN:
            if state.visitor_is_stuck or state.request.ahead_bytes:
                # One who does not take answers is owed no further ones: each could fill another stream's window.
                state.request.hold(data)
            else:
                take_head(state, data, now)
        elif state.phase is Phase.LINGERING:
            state.lingered += len(data)
            if state.lingered > state.limits.linger_bytes_max:
                close(state, abort=False)

    def _take_up(self, now: Instant) -> None:
        state = self._state
        if state.request.ahead_bytes:
            take_head(state, state.request.take_ahead(), now)
            self._arm(now)
        if state.visitor_has_ended:
            end_requests(state, now)
            self._arm(now)

    def _close_if_both_ended(self, now: Instant) -> None:
        """An upgraded connection is over once each side has said so; one alone may go on."""
        state = self._state
        leg, exchange = state.leg, state.exchange
        if leg is not None and leg.has_ended and state.visitor_has_ended and exchange is not None:
            report(state, exchange, "ok", now)
            close(state, abort=False)

    def _arm(self, now: Instant) -> None:
        state = self._state
        wait, exchange = wait_of(state), state.exchange
        if wait is _REQUEST_BODY and exchange is not None and exchange.answering is None:
            state.patience.await_body(exchange.bytes_up, now)
        else:
            state.patience.await_next(wait, now)
