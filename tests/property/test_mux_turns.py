"""Whose turn it is: small exchanges first, everybody in turn, and no work that grows with the square of the streams.

Sessions are asked for output in portions, as a link does; what is looked at is the order of their frames.
"""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from mux_support import (
    ACK,
    DATA,
    FIN,
    PLENTY,
    RST,
    UPDATE,
    WINDOW,
    accepted,
    client,
    data,
    hear,
    opened,
    queue,
    sent,
    server,
)

from tunnel.core.base.ids import StreamId
from tunnel.core.base.limits import READ_BYTES, Limits
from tunnel.core.base.outcome import Failure, Success, value_of
from tunnel.core.mux.errors import StreamGone
from tunnel.core.mux.session import Session
from tunnel.core.mux.stream import Stream
from tunnel.core.mux.turns import Turns
from tunnel.core.mux.window import ReceiveWindow

FRAME = Limits().frame_bytes_sent_max


def busy_session(streams: int, quiet: int = 1) -> tuple[Session, list[StreamId]]:
    """A session with so many bulk transfers that have had several turns, and behind them streams that are quiet."""
    session = client(Limits(streams_per_session_max=streams + 100))
    ids = [opened(session) for _ in range(streams + quiet)]
    for stream in ids[:streams]:
        queue(session, stream, bytes(WINDOW))
    for _ in range(streams):
        session.poll_output(READ_BYTES)
    return session, ids


def data_frames(session: Session, room: int = READ_BYTES) -> list[tuple[StreamId, int]]:
    """Stream and length of the Data frames of the next portion."""
    return [(StreamId(stream), length) for kind, _, stream, length, _ in sent(session, room) if kind == DATA]


@pytest.mark.shows("MUX-OUT-008")
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, FRAME))
def test_a_small_exchange_leaves_in_the_next_portion_however_many_are_busy(streams: int, size: int) -> None:
    """At most one frame of a bulk transfer is ahead of it: the one whose turn it was."""
    session, ids = busy_session(streams)
    queue(session, ids[-1], bytes(size))
    portion = data_frames(session)
    assert (ids[-1], size) in portion[:2]


@pytest.mark.shows("MUX-OUT-003", "MUX-OUT-008")
def test_the_end_of_a_small_exchange_leaves_with_it() -> None:
    session, ids = busy_session(9)
    queue(session, ids[-1], b"answer")
    session.end(ids[-1])
    frames = [(stream, flags) for _, flags, stream, _, _ in sent(session, READ_BYTES)]
    assert [flags for stream, flags in frames if stream == ids[-1]] == [0, FIN]
    assert (ids[-1], FIN) in frames[:3]


@pytest.mark.shows("MUX-OUT-002", "MUX-OUT-008")
@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(1, 9), st.integers(50, FRAME))
def test_endless_small_exchanges_take_no_more_than_half_from_bulk_transfers(busy: int, small: int, size: int) -> None:
    """Each answers at once with the next: between two frames of bulk they have had at most one frame's bytes begun."""
    session, ids = busy_session(busy, small)
    little = ids[busy:]
    frames: list[tuple[StreamId, int]] = []
    for _ in range(5):
        for stream in little:
            if not session.queued(stream):
                queue(session, stream, bytes(size))
        frames += data_frames(session)
    between = 0
    for stream, length in frames:
        between = 0 if stream not in little else between + length
        assert between < 2 * FRAME
    bulk = sum(length for stream, length in frames if stream not in little)
    assert 3 * bulk >= sum(length for _, length in frames) - READ_BYTES - 2 * FRAME


@pytest.mark.shows("MUX-OUT-002")
@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(FRAME + 1, WINDOW), min_size=2, max_size=12), st.integers(100, READ_BYTES))
def test_bulk_transfers_get_one_frame_each_in_turn(sizes: list[int], room: int) -> None:
    """Nobody has two turns more than anybody else who still has something to send."""
    session = client()
    left = {opened(session): size for size in sizes}
    for stream, size in left.items():
        queue(session, stream, bytes(size))
    turns = dict.fromkeys(left, 0)
    while any(left.values()):
        for stream, length in data_frames(session, room):
            left[stream] -= length
            turns[stream] += 1
            waiting = [turns[one] for one, rest in left.items() if rest]
            assert not waiting or max(waiting) - min(waiting) <= 1


@pytest.mark.shows("MUX-OUT-002")
def test_a_stream_with_one_frame_more_than_its_small_start_goes_behind_the_others() -> None:
    session, ids = busy_session(3)
    queue(session, ids[-1], bytes(FRAME))
    queue(session, ids[-1], bytes(FRAME))
    frames = [stream for stream, _ in data_frames(session, 6 * (FRAME + 12))]
    assert frames.count(ids[-1]) == 2
    assert ids[-1] in frames[:2], "its first frame is early"
    assert frames.index(ids[-1], 2) >= 4, "its second has the turn that a bulk transfer has"


@pytest.mark.shows("MUX-OUT-009")
def test_a_break_waits_behind_what_is_queued_and_says_no_fin() -> None:
    session = client()
    stream = opened(session)
    queue(session, stream, b"before")
    session.end(stream)
    session.break_off(stream)
    assert session.send(stream, b"after") == Failure(StreamGone(stream))
    session.end(stream)
    assert sent(session) == [(DATA, 0, stream, 6, b"before")]
    assert sent(session) == [(UPDATE, RST, stream, 0, b"")]
    assert session.live_streams == 0
    session.break_off(stream)
    assert not session.has_output


@pytest.mark.shows("MUX-OUT-009")
def test_a_break_with_nothing_queued_is_a_reset_and_one_without_window_waits_for_it() -> None:
    session = server()
    quiet, full = accepted(session, 1), accepted(session, 3)
    session.break_off(quiet)
    assert sent(session) == [(UPDATE, RST, quiet, 0, b"")]
    queue(session, full, bytes(WINDOW + 7))
    sent(session)
    session.break_off(full)
    assert not session.has_output
    hear(session, data(full, b"still talking"))
    assert session.live_streams == 1
    hear(session, b"\0\1\0\0\0\0\0\3\0\0\0\7")
    assert data_frames(session) == [(full, 7)]
    assert sent(session) == [(UPDATE, RST, full, 0, b"")]
    assert session.live_streams == session.unread == 0


@pytest.mark.shows("MUX-OUT-010")
@pytest.mark.parametrize("streams", [100, 1000])
def test_streams_that_come_and_go_unsent_leave_nothing_behind(streams: int) -> None:
    """A peer that takes nothing while streams are opened, written and reset: the rows do not grow with them."""
    session = client(Limits(streams_per_session_max=10))
    session.open_stream()
    for _ in range(streams):
        outcome = session.open_stream()
        assert isinstance(outcome, Success)
        queue(session, value_of(outcome), b"never sent")
        session.reset(value_of(outcome))
    turns = session._outbox._turns  # noqa: SLF001 - what must not grow is nobody's business otherwise
    assert turns._listed <= 2  # noqa: SLF001 - likewise
    assert len(session.poll_output(PLENTY)) == 12


@pytest.mark.shows("MUX-OUT-002", "MUX-OUT-004")
def test_window_updates_of_more_streams_than_fit_leave_in_order() -> None:
    session = server(Limits(streams_per_session_max=2000))
    hear(session, b"".join(b"\0\1\0\1" + stream.to_bytes(4) + b"\0\0\0\0" for stream in range(1, 2001, 2)))
    answered: list[int] = []
    while session.has_output:
        portion = sent(session, 300)
        assert len(portion) <= 25
        answered += [stream for kind, flags, stream, _, _ in portion if (kind, flags) == (UPDATE, ACK)]
    assert answered == list(range(1, 2001, 2))


class Rows(RuleBasedStateMachine):
    """Turns against a model that is two plain lists and looks for what leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns(100)
        self.small: deque[Stream] = deque()
        self.crowd: deque[Stream] = deque()
        self.number = 0
        self.between = 0
        self.most = 0

    @rule(size=st.sampled_from([1, 60, 100, 101, 500]))
    def join(self, size: int) -> None:
        """A stream has something to send."""
        self.number += 1
        stream = Stream(StreamId(self.number), 0, ReceiveWindow(WINDOW))
        stream.queue.put(bytes(size))
        self.turns.join(stream)
        (self.small if size <= 100 else self.crowd).append(stream)

    @rule(pick=st.integers(0, 99))
    def leave(self, pick: int) -> None:
        """One is reset."""
        listed = [*self.small, *self.crowd]
        if listed:
            stream = listed[pick % len(listed)]
            self.turns.leave(stream)
            (self.small if stream in self.small else self.crowd).remove(stream)

    @rule(ending=st.sampled_from(["done", "more", "cut"]))
    def take(self, ending: str) -> None:
        """Somebody has a turn, and maybe more to send."""
        if self.between >= 100 and not self.crowd:
            self.between = 0
        stream = self.turns.take()
        if stream is None:
            assert not self.small
            assert not self.crowd
            self.between = 0
            return
        is_small = bool(self.small) and stream is self.small[0]
        if is_small:
            self.small.popleft()
            assert self.between < 100 or not self.crowd
            self.between += stream.queue.size
        else:
            assert stream is self.crowd.popleft()
            assert not self.small or self.between >= 100
            self.between = 0
        is_cut = ending == "cut"
        if ending == "done":
            stream.is_offered = False
        else:
            is_first = is_cut and is_small
            self.turns.rejoin(stream, is_cut=is_cut)
            if is_first:
                self.small.appendleft(stream)
            else:
                self.crowd.append(stream)

    @rule()
    def clear(self) -> None:
        """The session is over."""
        for stream in (*self.small, *self.crowd):
            assert stream.is_offered
        self.turns.clear()
        assert not any(stream.is_offered for stream in (*self.small, *self.crowd))
        self.small.clear()
        self.crowd.clear()

    @invariant()
    def rows_are_short(self) -> None:
        """Whoever left is not kept for long."""
        listed = len(self.small) + len(self.crowd)
        assert self.turns.is_empty is (listed == 0)
        self.most = max(self.most, listed)
        assert self.turns._listed <= 2 * self.most  # noqa: SLF001 - the memory that is bounded


@pytest.mark.shows("MUX-OUT-002", "MUX-OUT-008", "MUX-OUT-010")
def test_the_rows_are_what_two_plain_lists_would_be() -> None:
    run_state_machine_as_test(Rows, settings=settings(max_examples=150, stateful_step_count=50, deadline=None))
