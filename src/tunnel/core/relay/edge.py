"""One public connection: exchanges in sequence, each joined to a stream of the agent that holds the name.

The shell tells what the world did (`receive_*`, `on_*`) and then does what `poll_actions` lists, in order.
"""

from typing import Final, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import READ_BYTES, Limits
from tunnel.core.base.problem import (
    LINK_BROKE_PROTOCOL,
    LINK_LOST,
    LOCAL_CLOSED_EARLY,
    LOCAL_STALLED,
    LOCAL_TIMEOUT,
    REQUEST_CUT_SHORT,
    REQUEST_TIMEOUT,
    Problem,
)
from tunnel.core.http.forward import Visitor
from tunnel.core.relay.actions import Action, EndOrigin, EndVisitor, SendOrigin, SendVisitor
from tunnel.core.relay.endings import close, cut, fail, finish_upgraded, leave, report
from tunnel.core.relay.requests import repeat, take_body, take_head
from tunnel.core.relay.responses import close_response, take_reply, take_response
from tunnel.core.relay.state import EdgeState, Phase
from tunnel.core.relay.waits import Wait
from tunnel.core.route.table import RouteTable


@final
class Edge:
    """The machine of one public connection. It is finished once `is_closed`."""

    def __init__(
        self, visitor: Visitor, table: RouteTable, zone: str, limits: Limits, id_prefix: str, now: Instant
    ) -> None:
        self._state: Final = EdgeState(visitor, table, zone, limits, id_prefix, now)

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
        return self._state.request.ahead_bytes > READ_BYTES

    @property
    def waits_for(self) -> Wait:
        """What the connection is waiting for."""
        return self._state.patience.wait

    # The world: the visitor.

    def receive_visitor(self, data: bytes, now: Instant) -> None:
        """The visitor sent bytes."""
        match self._state.phase:
            case Phase.BETWEEN:
                take_head(self._state, data, now)
            case Phase.EXCHANGE:
                take_body(self._state, data, now)
            case Phase.UPGRADED:
                self._state.actions.append(SendOrigin(data))
            case Phase.LINGERING:
                self._state.lingered += len(data)
                if self._state.lingered > self._state.limits.linger_bytes_max:
                    close(self._state, abort=True)
            case Phase.CLOSED:
                return
        self._go_on(now)

    def on_visitor_end(self, now: Instant) -> None:
        """The visitor ended its side (FIN): a request cut short is an error, a whole one still gets its answer."""
        self._state.visitor_has_ended = True
        exchange = self._state.exchange
        if self._state.phase is Phase.UPGRADED:
            self._state.actions.append(EndOrigin())
            if self._state.leg is None or self._state.leg.has_ended:
                finish_upgraded(self._state, now, "ok")
        elif exchange is None or self._state.phase is not Phase.EXCHANGE:
            close(self._state, abort=False)
        elif not exchange.request_is_complete:
            fail(self._state, REQUEST_CUT_SHORT, "", now)
        self._go_on(now)

    def on_visitor_lost(self, now: Instant) -> None:
        """The visitor's connection is gone."""
        exchange = self._state.exchange
        if exchange is not None:
            report(self._state, exchange, "ok" if self._state.phase is Phase.UPGRADED else "visitor-left", now)
        leave(self._state, reset=True)
        self._state.phase = Phase.CLOSED
        self._state.patience.await_next(Wait.NOTHING, now)

    def on_visitor_stuck(self, now: Instant) -> None:
        """What we sent waits in front of the visitor."""
        self._state.visitor_is_stuck = True
        self._arm(now)

    def on_visitor_flowing(self, now: Instant) -> None:
        """The visitor takes bytes again."""
        self._state.visitor_is_stuck = False
        self._arm(now)

    def on_visitor_took(self, now: Instant) -> None:
        """A stuck visitor took at least one byte: its patience starts anew."""
        if self._state.visitor_is_stuck:
            self._state.patience.renew(now)

    # The world: the origin stream.

    def receive_origin(self, data: bytes, now: Instant) -> None:
        """The stream of the current leg brought bytes."""
        leg = self._state.leg
        if leg is None:
            return
        if self._state.phase is Phase.UPGRADED:
            self._state.actions.append(SendVisitor(data))
        elif not leg.has_replied:
            take_reply(self._state, leg, data, now)
        else:
            take_response(self._state, leg, data, now)
        self._go_on(now)

    def on_origin_end(self, now: Instant) -> None:
        """FIN on the stream: the local service said all it had to say."""
        leg = self._state.leg
        if leg is None:
            return
        leg.has_ended = True
        exchange = self._state.exchange
        if self._state.phase is Phase.UPGRADED:
            self._state.actions.append(EndVisitor())
            if self._state.visitor_has_ended:
                finish_upgraded(self._state, now, "ok")
        elif exchange is None:
            leave(self._state, reset=False)
        elif not leg.has_replied:
            fail(self._state, LINK_BROKE_PROTOCOL, "the stream ended before the agent said whether it connected", now)
        elif not repeat(self._state, leg, exchange, now):
            close_response(self._state, leg, exchange, now)
        self._go_on(now)

    def on_origin_reset(self, now: Instant) -> None:
        """RST on the stream, or its link is lost, or its lease is fenced: nothing more comes, whole or not."""
        leg, exchange = self._state.leg, self._state.exchange
        if leg is None:
            return
        self._state.leg = None
        if self._state.phase is Phase.UPGRADED:
            finish_upgraded(self._state, now, "link-lost", abort=True)
        elif exchange is not None and not repeat(self._state, leg, exchange, now):
            if leg.has_replied and self._state.table.is_current(leg.lease):
                fail(self._state, LOCAL_CLOSED_EARLY, "the agent reports a broken connection to the local service", now)
            else:
                fail(self._state, LINK_LOST, "", now)
        self._go_on(now)

    def on_origin_refused(self, problem: Problem, detail: str, now: Instant) -> None:
        """The stream asked for by `OpenOrigin` could not be opened."""
        self._state.leg = None
        fail(self._state, problem, detail, now)
        self._go_on(now)

    def on_origin_stuck(self, now: Instant) -> None:
        """The stream holds as much unsent data as it may."""
        self._state.origin_is_stuck = True
        self._arm(now)

    def on_origin_flowing(self, now: Instant) -> None:
        """The stream takes data again."""
        self._state.origin_is_stuck = False
        self._arm(now)

    # The world: time and the operator.

    def on_drain(self, now: Instant) -> None:
        """The server shuts down: the running exchange is the last."""
        self._state.is_draining = True
        if self._state.exchange is not None:
            self._state.exchange.must_close = True
        elif self._state.phase is Phase.BETWEEN and not self._state.request.has_part_of_head:
            close(self._state, abort=False)
        self._arm(now)

    def on_time(self, now: Instant) -> None:
        """The deadline may have passed; what was awaited then did not come."""
        if now < self._state.patience.deadline:
            return
        match self._state.patience.wait:
            case Wait.REST_OF_HEAD | Wait.REQUEST_BODY:
                fail(self._state, REQUEST_TIMEOUT, "", now)
            case Wait.LOCAL_TAKES_BODY:
                fail(self._state, LOCAL_STALLED, "", now)
            case Wait.RESPONSE_HEAD | Wait.RESPONSE_BODY | Wait.HALF_CLOSED:
                fail(self._state, LOCAL_TIMEOUT, "", now)
            case Wait.UPGRADED:
                finish_upgraded(self._state, now, "idle", abort=True)
            case Wait.VISITOR_TAKES:
                cut(self._state, "visitor-stalled", now)
            case Wait.NEXT_REQUEST | Wait.LINGER:
                close(self._state, abort=False)
            case Wait.NOTHING:
                return
        self._go_on(now)

    def next_deadline(self) -> Instant:
        """When `on_time` wants to be called; it may move, mostly later."""
        return self._state.patience.deadline

    def poll_actions(self) -> list[Action]:
        """What to do now, in order; handed over once."""
        if not self._state.actions:
            return []
        actions = self._state.actions
        self._state.actions = []
        return actions

    def _go_on(self, now: Instant) -> None:
        """Take up pipelined requests in turn (a loop, so that many short ones cannot deepen the stack)."""
        while self._state.phase is Phase.BETWEEN and self._state.request.ahead_bytes:
            take_head(self._state, self._state.request.take_ahead(), now)
        if self._state.phase is Phase.BETWEEN and self._state.visitor_has_ended:
            close(self._state, abort=False)
        self._arm(now)

    def _arm(self, now: Instant) -> None:
        self._state.patience.await_next(self._wait(), now)

    def _wait(self) -> Wait:
        match self._state.phase:
            case Phase.CLOSED:
                return Wait.NOTHING
            case Phase.LINGERING:
                return Wait.LINGER
            case Phase.UPGRADED:
                return Wait.VISITOR_TAKES if self._state.visitor_is_stuck else Wait.UPGRADED
            case Phase.BETWEEN:
                return Wait.REST_OF_HEAD if self._state.request.has_part_of_head else Wait.NEXT_REQUEST
            case Phase.EXCHANGE:
                return self._exchange_wait()

    def _exchange_wait(self) -> Wait:
        exchange = self._state.exchange
        if self._state.visitor_is_stuck:
            return Wait.VISITOR_TAKES
        if exchange is None or not exchange.request_is_complete:
            return Wait.LOCAL_TAKES_BODY if self._state.origin_is_stuck else Wait.REQUEST_BODY
        if exchange.response is None:
            return Wait.RESPONSE_HEAD
        return Wait.HALF_CLOSED if self._state.visitor_has_ended else Wait.RESPONSE_BODY
