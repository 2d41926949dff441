"""Raw connections: every byte passes once and in order, each end is passed on alone, and there is exactly one end.

A machine drives the pipe with anything in any order and keeps what must always hold; examples name the rules.
"""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.support.relay_harness import GET, TOKEN, World, table_of

from tunnel.core.base.ids import EndpointId, Instant, Label, SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success
from tunnel.core.link.messages import Keep
from tunnel.core.link.preface import StreamReply, encode_reply
from tunnel.core.relay.actions import CloseVisitor, EndVisitor, LeaveOrigin, SendOrigin, SendVisitor
from tunnel.core.relay.pipe import Pipe, PipeAction, PipeDone, PipePhase
from tunnel.core.relay.waits import Wait
from tunnel.core.route.table import Claim, RouteTable
from tunnel.core.token.token import EndpointKind

LIMITS: Final = Limits()

BYTES: Final = st.binary(min_size=1, max_size=30)
STANDS: Final = encode_reply(StreamReply.CONNECTED)


def at(seconds: float) -> Instant:
    return Instant(1000.0 + seconds)


def names(actions: list[PipeAction]) -> list[str]:
    """The kinds of actions, with what tells one close from another."""
    words: list[str] = []
    for action in actions:
        word = type(action).__name__
        if isinstance(action, LeaveOrigin):
            word += " reset" if action.reset else " fin"
        elif isinstance(action, CloseVisitor):
            word += " abort" if action.abort else ""
        elif isinstance(action, PipeDone):
            word += " " + action.outcome
        words.append(word)
    return words


def standing() -> Pipe:
    """A pipe whose local connection stands."""
    pipe = Pipe(LIMITS, at(0))
    pipe.receive_origin(STANDS, at(0))
    assert pipe.poll_actions() == []
    return pipe


class _Anything(RuleBasedStateMachine):
    """Any calls in any order; the clock goes on by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pipe = Pipe(LIMITS, at(0))
        self.up = b""
        self.down = b""
        self.sent_up = b""
        self.sent_down = b""
        self.origin_wire = b""
        self.dones: list[PipeDone] = []
        self.leaves = 0
        self.closes: list[bool] = []
        self.ends = [0, 0]
        self.visitor_ended = False
        self.origin_ended = False

    def _tick(self) -> Instant:
        self.now += 0.01
        return at(self.now)

    def _is_open(self) -> bool:
        return self.pipe.phase in {PipePhase.CONNECTING, PipePhase.PIPING}

    @rule(data=BYTES)
    def visitor_sends(self, data: bytes) -> None:
        if self._is_open() and not self.visitor_ended:
            self.sent_up += data
        self.pipe.receive_visitor(data, self._tick())

    @rule(data=BYTES)
    def local_sends(self, data: bytes) -> None:
        if self._is_open() and not self.origin_ended and self.origin_wire[:2] == STANDS:
            self.sent_down += data
            self.origin_wire += data
            self.pipe.receive_origin(data, self._tick())

    @rule(reply=st.sampled_from([StreamReply.CONNECTED] * 5 + [StreamReply.REFUSED]), cut=st.booleans())
    def agent_replies(self, reply: StreamReply, cut: bool) -> None:  # noqa: FBT001
        if not self.origin_wire and self._is_open():
            self.origin_wire = encode_reply(reply)
            parts = [self.origin_wire[:1], self.origin_wire[1:]] if cut else [self.origin_wire]
            for part in parts:
                self.pipe.receive_origin(part, self._tick())

    @rule()
    def visitor_ends(self) -> None:
        self.visitor_ended = True
        self.pipe.on_visitor_end(self._tick())

    @rule()
    def local_ends(self) -> None:
        self.origin_ended = True
        self.pipe.on_origin_end(self._tick())

    @rule(was_local=st.booleans())
    def stream_resets(self, was_local: bool) -> None:  # noqa: FBT001
        self.pipe.on_origin_reset(self._tick(), was_local=was_local)

    @rule(stuck=st.booleans())
    def visitor_takes_or_not(self, stuck: bool) -> None:  # noqa: FBT001
        if stuck:
            self.pipe.on_visitor_stuck(self._tick())
        else:
            self.pipe.on_visitor_flowing(self._tick())
        self.pipe.on_visitor_took(self._tick())

    @rule()
    def visitor_is_lost(self) -> None:
        self.pipe.on_visitor_lost(self._tick())

    @rule()
    def grace_is_over(self) -> None:
        self.pipe.on_grace_over(self._tick())

    @rule(ahead=st.floats(0, 5000))
    def time_passes(self, ahead: float) -> None:
        self.now += ahead
        self.pipe.on_time(self._tick())

    @invariant()
    def what_passes_is_what_was_sent(self) -> None:
        for action in self.pipe.poll_actions():
            assert self.closes != [True], "nothing follows an abrupt end"
            if isinstance(action, SendOrigin):
                self.up += action.data
            elif isinstance(action, SendVisitor):
                self.down += action.data
            elif isinstance(action, PipeDone):
                self.dones.append(action)
            elif isinstance(action, LeaveOrigin):
                self.leaves += 1
            elif isinstance(action, CloseVisitor):
                self.closes.append(action.abort)
            else:
                self.ends[isinstance(action, EndVisitor)] += 1
        assert self.up == self.sent_up
        assert self.down == self.sent_down

        self._has_one_end()

    def _has_one_end(self) -> None:
        assert len(self.dones) == self.leaves == (0 if self._is_open() else 1)
        assert max(self.ends) <= 1
        assert self.closes in ([], [True], [False], [False, True])
        for done in self.dones:
            assert (done.bytes_up, done.bytes_down) == (len(self.up), len(self.down))
            assert (done.outcome == "ok") == (self.ends == [1, 1])

    @invariant()
    def it_comes_to_rest_by_deadlines(self) -> None:
        if self.pipe.is_closed:
            assert self.pipe.waits_for is Wait.NOTHING
        else:
            assert self.pipe.next_deadline() <= at(self.now + LIMITS.upgraded_idle_seconds_max + 1e-3)


@pytest.mark.shows("RELAY-RAW-001", "RELAY-RAW-002", "RELAY-RAW-003", "RELAY-GUARD-001")
def test_any_calls_in_any_order_keep_the_rules() -> None:
    run_state_machine_as_test(_Anything, settings=settings(max_examples=150, stateful_step_count=30, deadline=None))


@pytest.mark.shows("RELAY-RAW-002")
@pytest.mark.bug("B7")
def test_each_end_is_passed_on_alone() -> None:
    pipe = standing()
    pipe.on_visitor_end(at(1))
    assert names(pipe.poll_actions()) == ["EndOrigin"]
    pipe.receive_origin(b"still here", at(2))
    assert names(pipe.poll_actions()) == ["SendVisitor"]
    pipe.on_origin_end(at(3))
    assert names(pipe.poll_actions()) == ["EndVisitor", "PipeDone ok", "LeaveOrigin fin", "CloseVisitor"]
    assert pipe.phase is PipePhase.CLOSING
    pipe.on_visitor_lost(at(4))
    assert pipe.is_closed
    assert pipe.poll_actions() == []


@pytest.mark.shows("RELAY-RAW-003")
def test_a_break_of_one_side_is_a_break_of_the_other() -> None:
    pipe = standing()
    pipe.on_origin_reset(at(1), was_local=True)
    assert names(pipe.poll_actions()) == ["PipeDone local-closed-early", "LeaveOrigin reset", "CloseVisitor abort"]
    pipe = standing()
    pipe.on_origin_reset(at(1), was_local=False)
    assert names(pipe.poll_actions())[-3] == "PipeDone link-lost"
    pipe = standing()
    pipe.on_visitor_end(at(1))
    pipe.on_visitor_lost(at(2))
    assert names(pipe.poll_actions()) == ["EndOrigin", "PipeDone visitor-left", "LeaveOrigin reset"]


@pytest.mark.shows("RELAY-RAW-004")
@pytest.mark.parametrize(
    ("wire", "outcome"),
    [
        (encode_reply(StreamReply.REFUSED), "local-refused"),
        (encode_reply(StreamReply.TIMED_OUT), "local-connect-timeout"),
        (b"\x01\xff", "link-broke-protocol"),
        (b"HTTP/1.1 200", "link-broke-protocol"),
    ],
)
def test_without_a_local_connection_the_visitor_is_reset(wire: bytes, outcome: str) -> None:
    pipe = Pipe(LIMITS, at(0))
    pipe.receive_visitor(b"ahead", at(0))
    pipe.receive_origin(wire, at(1))
    done = pipe.poll_actions()
    assert names(done) == ["SendOrigin", f"PipeDone {outcome}", "LeaveOrigin reset", "CloseVisitor abort"]
    pipe = Pipe(LIMITS, at(0))
    pipe.on_origin_end(at(1))
    assert names(pipe.poll_actions())[-3] == "PipeDone link-broke-protocol"


@pytest.mark.shows("RELAY-RAW-004")
def test_the_reply_may_come_in_pieces_and_with_bytes_behind_it() -> None:
    pipe = Pipe(LIMITS, at(0))
    pipe.receive_origin(STANDS[:1], at(0))
    pipe.receive_origin(b"", at(0))
    assert (pipe.poll_actions(), pipe.phase) == ([], PipePhase.CONNECTING)
    pipe.receive_origin(STANDS[1:] + b"hello", at(0))
    assert names(pipe.poll_actions()) == ["SendVisitor"]
    pipe.on_origin_end(at(1))
    pipe.receive_origin(b"after its end", at(2))
    assert names(pipe.poll_actions()) == ["EndVisitor"]


@pytest.mark.shows("RELAY-RAW-005")
def test_every_wait_ends() -> None:
    pipe = Pipe(LIMITS, at(0))
    pipe.on_time(at(LIMITS.response_head_seconds_max - 1))
    assert pipe.poll_actions() == []
    pipe.on_time(at(LIMITS.response_head_seconds_max))
    assert names(pipe.poll_actions())[-3] == "PipeDone local-timeout"
    pipe = standing()
    pipe.receive_visitor(b"x", at(100))
    pipe.on_time(at(LIMITS.upgraded_idle_seconds_max + 99))
    assert names(pipe.poll_actions()) == ["SendOrigin"]
    pipe.on_time(at(LIMITS.upgraded_idle_seconds_max + 100))
    assert names(pipe.poll_actions())[-3] == "PipeDone idle"


@pytest.mark.shows("RELAY-RAW-005")
def test_a_visitor_that_takes_nothing_is_dropped_also_at_its_end() -> None:
    pipe = standing()
    pipe.on_visitor_stuck(at(1))
    pipe.receive_origin(b"more", at(100))
    pipe.on_visitor_took(at(110))
    pipe.on_time(at(1 + LIMITS.write_stall_seconds_max))
    assert names(pipe.poll_actions()) == ["SendVisitor"]
    pipe.on_time(at(110 + LIMITS.write_stall_seconds_max))
    assert names(pipe.poll_actions())[-3] == "PipeDone visitor-stalled"
    pipe = standing()
    pipe.on_origin_end(at(0))
    pipe.on_visitor_end(at(0))
    pipe.poll_actions()
    pipe.on_time(at(LIMITS.write_stall_seconds_max))
    assert names(pipe.poll_actions()) == ["CloseVisitor abort"]
    assert pipe.is_closed


def raw_table(kind: EndpointKind) -> RouteTable:
    """A table in which `app` is of this kind."""
    table = table_of()
    token = replace(TOKEN, kinds=frozenset((kind,)))
    claim = Claim(Label("app"), SessionId(1), EndpointId(1), kind, token, Keep(), "198.51.100.7:1")
    assert isinstance(table.claim(claim, Instant(0.0)), Success)
    return table


@pytest.mark.shows("RELAY-RAW-007")
@pytest.mark.parametrize("kind", [EndpointKind.TCP, EndpointKind.TLS])
def test_a_name_that_is_not_served_over_http_is_said_to_be_so(kind: EndpointKind) -> None:
    """And not a byte of the request is sent to whatever it is."""
    world = World(table=raw_table(kind)).visitor(GET)
    assert world.statuses == [421]
    assert world.outcomes == ["not-http"]
    assert world.streams == []


@pytest.mark.shows("RELAY-RAW-007")
def test_a_request_is_not_repeated_to_a_name_that_has_become_another_kind() -> None:
    world = World(table=table_of("app")).visitor(GET).reply(StreamReply.CONNECTED)
    world.local(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").visitor(GET)
    claim = Claim(Label("app"), SessionId(1), EndpointId(2), EndpointKind.TLS, TOKEN, Keep(), "")
    assert isinstance(world.table.claim(claim, Instant(0.0)), Success)
    world.local_fin()
    assert len(world.streams) == 1
    assert world.statuses == [200, 502]


@pytest.mark.shows("RELAY-RAW-006")
def test_what_runs_beyond_the_grace_period_is_cut() -> None:
    pipe = standing()
    pipe.on_grace_over(at(1))
    assert names(pipe.poll_actions())[-3] == "PipeDone server-stopped"


@pytest.mark.shows("POLICY-BYTES-003")
def test_time_in_which_we_held_a_connection_back_is_not_held_against_it() -> None:
    pipe = standing()
    pipe.poll_actions()
    for _ in range(5):
        deadline = pipe.next_deadline()
        pipe.on_held_back(Instant(deadline - 0.1))
        pipe.on_time(deadline)
        assert pipe.poll_actions() == []
    pipe.on_visitor_stuck(pipe.next_deadline())
    deadline = pipe.next_deadline()
    pipe.on_held_back(Instant(deadline - 0.1))
    pipe.on_time(deadline)
    assert names(pipe.poll_actions())[0] == "PipeDone visitor-stalled", "who takes nothing is not excused by it"
