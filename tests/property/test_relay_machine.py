"""Any calls in any order: no exception, no forbidden list of actions, and rest by deadlines alone.

The machine draws operations as the world makes them, sensible and not; `World` checks each action and what holds in
between. When the faults stop and nobody does anything more, deadlines alone must close the connection.
"""

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.fuzz.targets.relay import LIMITS, fuzz_relay_actions
from tests.support.relay_harness import (
    CONNECTED,
    GET,
    HELLO,
    POST,
    SWITCHED,
    UPGRADE,
    World,
    claim_name,
    join_pool,
    pool_of,
)
from typing_extensions import override

from tunnel.core.base.ids import EndpointId, SessionId
from tunnel.core.base.problem import LINK_BUSY
from tunnel.core.link.preface import StreamReply, encode_reply

CORPUS: Final = Path(__file__).parents[1] / "fuzz" / "corpus" / "relay_actions"
REQUESTS: Final = (
    GET,
    GET + GET,
    GET.replace(b"GET", b"HEAD"),
    GET.replace(b"app", b"gone"),
    GET.replace(b"1.1", b"1.0"),
    GET[:25],
    GET[25:],
    POST,
    POST + b"12345",
    UPGRADE,
    UPGRADE + b"early",
    b"PUT / HTTP/1.1\r\nHost: other.tunnel.test\r\nTransfer-Encoding: chunked\r\n\r\n",
)
PIECES: Final = st.sampled_from([b"12345", b"3\r\nabc\r\n", b"0\r\n\r\n", b"x" * 300, b"\r\n"]) | st.binary(max_size=40)
LOCAL: Final = st.sampled_from(
    [
        CONNECTED,
        CONNECTED + HELLO,
        HELLO,
        HELLO[:30],
        HELLO[30:],
        SWITCHED,
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        encode_reply(StreamReply.REFUSED),
    ]
) | st.binary(max_size=40)
BEGINNINGS: Final = (
    HELLO,
    HELLO[:-2],
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nabc",
    b"HTTP/1.1 103 Early Hints\r\n\r\n",
)


def ripe(machine: "EdgeMachine") -> bool:
    """Whether enough has happened for faults to find something to break."""
    return len(machine.world.actions) > 4


class EdgeMachine(RuleBasedStateMachine):
    """Operations on one edge; `World` asserts on every action."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(LIMITS)
        self.world.takes_rest = False
        self.is_shared = False
        self.is_link_lost = False
        self.joined = 0

    @initialize(members=st.integers(0, 3))
    def some_share_the_name(self, members: int) -> None:
        """Several agents, or one alone as in the fuzz target."""
        self.is_shared = members > 0
        if members:
            self.world = World(LIMITS, pool_of(members, LIMITS))
            self.world.takes_rest = False

    @rule(data=st.sampled_from(REQUESTS))
    def visitor_asks(self, data: bytes) -> None:
        """A request or two, or part of one."""
        self.world.visitor(data)

    @precondition(ripe)
    @rule(data=PIECES)
    def visitor_sends(self, data: bytes) -> None:
        """Content, or anything."""
        self.world.visitor(data)

    @precondition(lambda self: self.world.edge.is_full)
    @rule(data=PIECES)
    def visitor_sends_on(self, data: bytes) -> None:
        """Bytes although the edge is full."""
        self.world.edge.receive_visitor(data, self.world.now)
        self.world.pump()

    @precondition(lambda self: self.world.stream is not None)
    @rule(begin=st.sampled_from(BEGINNINGS), data=LOCAL)
    def local_answers(self, begin: bytes, data: bytes) -> None:
        """An answer of the local service that has at least begun."""
        self.world.local(begin)
        if self.world.stream is not None:
            self.world.local(data)

    @precondition(ripe)
    @rule(data=LOCAL)
    def stream_brings(self, data: bytes) -> None:
        """Bytes of the stream, whether there is one or not."""
        self.world.stream_bytes(data)

    @precondition(ripe)
    @rule()
    def visitor_ends(self) -> None:
        """FIN of the visitor."""
        self.world.visitor_fin()

    @precondition(ripe)
    @rule()
    def local_ends(self) -> None:
        """FIN of the stream."""
        self.world.local_fin()

    @precondition(ripe)
    @rule()
    def stream_breaks(self) -> None:
        """RST of the stream."""
        self.world.stream_reset()

    @precondition(lambda self: ripe(self) and self.world.stream is not None)
    @rule()
    def agent_resets(self) -> None:
        """RST of the agent itself."""
        self.world.agent_reset()

    @precondition(ripe)
    @rule()
    def stream_refused(self) -> None:
        """The next stream is not given."""
        self.world.refuses = LINK_BUSY

    @precondition(ripe)
    @rule()
    def refused_out_of_the_blue(self) -> None:
        """A refusal, wanted or not; the shell has forgotten the stream then."""
        if self.world.stream is not None and not self.world.stream.has_replied and not self.world.stream.up_ended:
            return
        self.world.edge.on_origin_refused(LINK_BUSY, "", self.world.now)
        self.world.pump()

    @rule(is_stuck=st.booleans())
    def visitor_flow(self, *, is_stuck: bool) -> None:
        """The visitor takes nothing, or again."""
        if is_stuck:
            self.world.stuck()
        else:
            self.world.flowing()

    @rule(is_stuck=st.booleans())
    def origin_flow(self, *, is_stuck: bool) -> None:
        """The stream takes nothing, or again."""
        if is_stuck:
            self.world.edge.on_origin_stuck(self.world.now)
        else:
            self.world.edge.on_origin_flowing(self.world.now)

    @rule()
    def visitor_took(self) -> None:
        """A stuck visitor took a byte."""
        self.world.edge.on_visitor_took(self.world.now)

    @precondition(ripe)
    @rule(seconds=st.sampled_from([0.0, 1.0, 9.0, 61.0, 121.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        """The clock."""
        self.world.tick(seconds)

    @precondition(ripe)
    @rule()
    def last_call(self) -> None:
        """Another process takes over."""
        self.world.last_call()

    @precondition(ripe)
    @rule()
    def server_drains(self) -> None:
        """The server shuts down."""
        self.world.drain()

    @precondition(ripe)
    @rule()
    def server_waits_no_longer(self) -> None:
        """The grace period is over."""
        self.world.grace_over()

    @precondition(lambda self: self.is_shared or not self.is_link_lost)
    @rule()
    def name_moves(self) -> None:
        """The name is held by a newer endpoint, or shared by one more."""
        if self.is_shared:
            self.joined += 1
            join_pool(self.world.table, 100 + self.joined)
        else:
            claim_name(self.world.table, "app", SessionId(1), EndpointId(2))

    @precondition(lambda self: ripe(self) and self.world.stream is not None)
    @rule()
    def link_breaks(self) -> None:
        """The link of the stream is lost, and the leases on it."""
        self.is_link_lost = True
        self.world.link_lost()

    @precondition(ripe)
    @rule()
    def visitor_goes(self) -> None:
        """The visitor's connection is gone."""
        self.world.visitor_lost()

    @precondition(lambda self: self.world.closed is not None or self.world.edge.is_closed)
    @rule(wait=st.booleans())
    def another_comes(self, *, wait: bool) -> None:
        """A new visitor, once this connection is at rest."""
        if wait:
            self.world.settle()
            self.world = World(LIMITS, self.world.table if self.is_shared else None)
            self.is_link_lost = False
            self.world.takes_rest = False

    @invariant()
    def all_holds(self) -> None:
        """What holds after anything at all."""
        self.world.check()

    @override
    def teardown(self) -> None:
        """Without anybody's doing, deadlines alone bring rest, and every exchange has ended once."""
        self.world.settle()


@pytest.mark.shows("RELAY-GUARD-001", "RELAY-GUARD-002", "RELAY-GUARD-003", "RELAY-GUARD-004", "RELAY-TIME-001")
@pytest.mark.shows("RELAY-LIMIT-001", "RELAY-EXCH-002", "RELAY-EXCH-003", "RELAY-CUT-001", "RELAY-CUT-002")
@pytest.mark.bug("B3", "B4", "C16", "C18", "D")
def test_any_calls_in_any_order() -> None:
    run_state_machine_as_test(EdgeMachine, settings=settings(max_examples=250, stateful_step_count=60, deadline=None))


KINDS: Final = st.sampled_from([2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 0, 1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
"""Of the fuzz target: mostly phrases of both sides."""
STEPS: Final = st.lists(st.tuples(KINDS, st.integers(0, 12)), min_size=3, max_size=40)


@pytest.mark.shows("RELAY-GUARD-001", "RELAY-CUT-001", "RELAY-EXCH-003")
@settings(max_examples=400, deadline=None)
@given(steps=STEPS)
def test_any_list_of_actions_is_survived(steps: list[tuple[int, int]]) -> None:
    fuzz_relay_actions(b"".join(bytes(step) + b"?" * (step[1] if step[0] < 2 else 0) for step in steps))


@pytest.mark.shows("RELAY-GUARD-001")
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_list_of_actions(data: bytes) -> None:
    fuzz_relay_actions(data)


@pytest.mark.shows("RELAY-GUARD-001")
@pytest.mark.parametrize("seed", sorted(CORPUS.iterdir()), ids=lambda seed: seed.name)
def test_each_kept_list_is_survived(seed: Path) -> None:
    fuzz_relay_actions(seed.read_bytes())
