"""One raw connection (TCP, or TLS that is not ours) joined to a stream of the agent that holds the name.

Bytes pass untouched both ways, each side's end is passed on alone, and a break of either is a break of the other: the
rules of an upgraded connection (RELAY-UPGRADE), from the first byte on.
"""

from enum import Enum
from typing import Final, TypeAlias, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.base.problem import LINK_BROKE_PROTOCOL, LINK_LOST, LOCAL_CLOSED_EARLY, LOCAL_TIMEOUT, Problem
from tunnel.core.link.preface import ReplyReader
from tunnel.core.relay.actions import CloseVisitor, EndOrigin, EndVisitor, LeaveOrigin, SendOrigin, SendVisitor
from tunnel.core.relay.replies import problem_of_reply
from tunnel.core.relay.waits import NEVER, Patience, Wait


@final
class PipeDone:
    """The connection reached its one end; `outcome` is `ok` or the stable code of what failed."""

    def __init__(self, outcome: str, seconds: float, bytes_up: int, bytes_down: int) -> None:
        self.outcome: Final = outcome
        self.seconds: Final = seconds
        self.bytes_up: Final = bytes_up
        self.bytes_down: Final = bytes_down


PipeAction: TypeAlias = SendOrigin | EndOrigin | LeaveOrigin | SendVisitor | EndVisitor | CloseVisitor | PipeDone


@final
class PipePhase(Enum):
    """Where a raw connection stands."""

    CONNECTING = "the agent connects to the local service"
    PIPING = "bytes pass"
    CLOSING = "both sides have ended; the visitor has yet to take the rest"
    CLOSED = "closed"


@final
class Pipe:
    """The machine of one raw connection, from the moment its stream is open. It is finished once `is_closed`."""

    def __init__(self, limits: Limits, now: Instant) -> None:
        self._reply: Final = ReplyReader()
        self._patience: Final = Patience(limits, now)
        self._began_at: Final = now
        self._actions: list[PipeAction] = []
        self._phase = PipePhase.CONNECTING
        self._visitor_ended = False
        self._origin_ended = False
        self._visitor_is_stuck = False
        self._bytes_up = 0
        self._bytes_down = 0
        self._arm(now)

    # Getters.

    @property
    def phase(self) -> PipePhase:
        """Where the connection stands."""
        return self._phase

    @property
    def is_closed(self) -> bool:
        """Nothing more happens here."""
        return self._phase is PipePhase.CLOSED

    @property
    def waits_for(self) -> Wait:
        """What the connection is waiting for."""
        return self._patience.wait

    # The world: the visitor.

    def receive_visitor(self, data: bytes, now: Instant) -> None:
        """The visitor sent bytes. They go on at once: until the local connection stands they wait at the agent."""
        if data and self._is_open() and not self._visitor_ended:
            self._bytes_up += len(data)
            self._actions.append(SendOrigin(data))
            self._arm(now)

    def on_visitor_end(self, now: Instant) -> None:
        """The visitor ended its side; the local service may go on."""
        if self._is_open() and not self._visitor_ended:
            self._visitor_ended = True
            self._actions.append(EndOrigin())
            self._close_if_both_ended(now)
            self._arm(now)

    def on_visitor_lost(self, now: Instant) -> None:
        """The visitor's connection is gone, whoever ended it; before both sides had, it broke."""
        if self._is_open():
            self._report("visitor-left", now)
            self._actions.append(LeaveOrigin(reset=True))
        self._phase = PipePhase.CLOSED
        self._arm(now)

    def on_visitor_stuck(self, now: Instant) -> None:
        """What we sent waits in front of the visitor."""
        self._visitor_is_stuck = True
        self._arm(now)

    def on_visitor_flowing(self, now: Instant) -> None:
        """The visitor takes bytes again."""
        self._visitor_is_stuck = False
        self._arm(now)

    def on_visitor_took(self, now: Instant) -> None:
        """A visitor that we wait for took at least one byte: its patience starts anew."""
        if self._patience.wait is Wait.VISITOR_TAKES:
            self._patience.renew(now)

    def on_held_back(self, now: Instant) -> None:
        """We ourselves let nothing through for a while: the patience with whom we wait for starts anew."""
        if self._phase is PipePhase.PIPING and not self._visitor_is_stuck:
            self._patience.renew(now)

    # The world: the stream.

    def receive_origin(self, data: bytes, now: Instant) -> None:
        """The stream brought bytes: the agent's reply first, then those of the local service."""
        if not self._is_open() or self._origin_ended or not data:
            return
        if self._phase is PipePhase.PIPING:
            self._pass_down(data)
        else:
            self._take_reply(data, now)
        self._arm(now)

    def on_origin_end(self, now: Instant) -> None:
        """FIN on the stream: the local service says no more; the visitor may go on."""
        if not self._is_open() or self._origin_ended:
            return
        if self._phase is PipePhase.CONNECTING:
            self._break(LINK_BROKE_PROTOCOL.code, now)
        else:
            self._origin_ended = True
            self._actions.append(EndVisitor())
            self._close_if_both_ended(now)
        self._arm(now)

    def on_origin_reset(self, now: Instant, *, was_local: bool) -> None:
        """RST on the stream, its link is lost, or its lease fenced; `was_local` when the agent is still there."""
        if self._is_open():
            is_of_local = was_local and self._phase is PipePhase.PIPING
            self._break(LOCAL_CLOSED_EARLY.code if is_of_local else LINK_LOST.code, now)
            self._arm(now)

    # The world: time and the operator.

    def on_grace_over(self, now: Instant) -> None:
        """The server waits no longer."""
        if self._is_open():
            self._break("server-stopped", now)
        self._phase = PipePhase.CLOSED
        self._arm(now)

    def on_time(self, now: Instant) -> None:
        """The deadline may have passed."""
        if now < self._patience.deadline or self.is_closed:
            return
        if self._phase is PipePhase.CLOSING:
            self._actions.append(CloseVisitor(abort=True))
            self._phase = PipePhase.CLOSED
        else:
            self._break(self._lateness(), now)
        self._arm(now)

    def next_deadline(self) -> Instant:
        """When `on_time` wants to be called; it may move, mostly later."""
        return self._patience.deadline

    def poll_actions(self) -> list[PipeAction]:
        """What to do now, in order, handed over once."""
        actions = self._actions
        self._actions = []
        return actions

    # Helpers.

    def _is_open(self) -> bool:
        return self._phase is PipePhase.CONNECTING or self._phase is PipePhase.PIPING

    def _take_reply(self, data: bytes, now: Instant) -> None:
        read = self._reply.receive(data)
        if not isinstance(read, Success):
            self._break(LINK_BROKE_PROTOCOL.code, now)
            return
        code = value_of(read)
        if code is None:
            return
        problem: Problem | None = problem_of_reply(code)
        if problem is not None:
            self._break(problem.code, now)
            return
        self._phase = PipePhase.PIPING
        rest = self._reply.take_rest()
        if rest:
            self._pass_down(rest)

    def _pass_down(self, data: bytes) -> None:
        self._bytes_down += len(data)
        self._actions.append(SendVisitor(data))

    def _close_if_both_ended(self, now: Instant) -> None:
        if self._visitor_ended and self._origin_ended:
            self._report("ok", now)
            self._actions.append(LeaveOrigin(reset=False))
            self._actions.append(CloseVisitor(abort=False))
            self._phase = PipePhase.CLOSING

    def _break(self, outcome: str, now: Instant) -> None:
        """Both connections end by a reset: there is no other way to say that this is no end."""
        self._report(outcome, now)
        self._actions.append(LeaveOrigin(reset=True))
        self._actions.append(CloseVisitor(abort=True))
        self._phase = PipePhase.CLOSED

    def _report(self, outcome: str, now: Instant) -> None:
        self._actions.append(PipeDone(outcome, now - self._began_at, self._bytes_up, self._bytes_down))

    def _lateness(self) -> str:
        if self._visitor_is_stuck:
            return "visitor-stalled"
        return LOCAL_TIMEOUT.code if self._phase is PipePhase.CONNECTING else "idle"

    def _arm(self, now: Instant) -> None:
        self._patience.await_next(self._wait(), now)
        if self.is_closed:
            self._patience.deadline = NEVER

    def _wait(self) -> Wait:
        if self.is_closed:
            return Wait.NOTHING
        if self._visitor_is_stuck or self._phase is PipePhase.CLOSING:
            return Wait.VISITOR_TAKES
        return Wait.RESPONSE_HEAD if self._phase is PipePhase.CONNECTING else Wait.UPGRADED
