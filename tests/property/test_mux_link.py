"""Two sessions wired together by a pipe that loses nothing and cuts anywhere.

A Hypothesis machine opens, sends, ends, resets, reads, pings and lets time pass on both ends. After every step: what
arrived is a beginning of what was sent, credit is conserved and every count is within its limit. At the end both ends
come to rest, and what was sent on streams that nobody reset has arrived whole.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from mux_support import PLENTY, START, WINDOW, Link, opened, queue
from typing_extensions import override

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.mux.events import (
    Event,
    PeerGoingAway,
    Pong,
    StreamData,
    StreamEnded,
    StreamOpened,
    StreamReset,
    StreamWritable,
)
from tunnel.core.mux.session import Session

PATTERN = bytes((7 * at + (at >> 8)) & 0xFF for at in range(1 << 20))
LIMITS = Limits(
    streams_per_session_max=6,
    frame_bytes_sent_max=5000,
    stream_queue_bytes=50_000,
    session_buffer_bytes_max=2 * WINDOW,
    stream_window_bytes=WINDOW + 1000,
    stream_window_bytes_max=3 * WINDOW,
    stream_window_bytes_min=3000,
    session_growth_bytes_max=4 * WINDOW,
)
ENDS = st.sampled_from([0, 1])
PICKS = st.integers(0, 99)


@dataclass
class Half:
    """One direction of a stream: what its sender queued and what its receiver heard and gave back."""

    queued: int = 0
    heard: int = 0
    returned: int = 0
    is_ended: bool = False
    is_heard_ended: bool = False


@dataclass
class Line:
    """One stream: a half for each sending end, and whether it was broken anywhere."""

    halves: tuple[Half, Half] = field(default_factory=lambda: (Half(), Half()))
    gone: list[bool] = field(default_factory=lambda: [False, False])
    is_broken: bool = False


class TwoEnds(RuleBasedStateMachine):
    """Both ends, the wires between them, and a plain account of every stream."""

    def __init__(self) -> None:
        super().__init__()
        self.link = Link(LIMITS)
        self.lines: dict[StreamId, Line] = {}
        self.crowded: set[tuple[int, StreamId]] = set()
        self.now = START

    @initialize()
    def begin(self) -> None:
        """Each end has a stream from the start."""
        for end in (0, 1):
            self.open_stream(end)

    def session(self, end: int) -> Session:
        """One of the two ends: 0 is the client."""
        return self.link.ends[end]

    def usable(self, end: int) -> list[StreamId]:
        """Streams that this end has not seen the end of."""
        return [stream for stream, line in self.lines.items() if not line.gone[end]]

    def pick(self, end: int, pick: int) -> StreamId | None:
        """One of them, if there is any."""
        streams = self.usable(end)
        return streams[pick % len(streams)] if streams else None

    @rule(end=ENDS)
    def open_stream(self, end: int) -> None:
        """Ids are new and of the right parity."""
        outcome = self.session(end).open_stream()
        if isinstance(outcome, Success):
            stream = value_of(outcome)
            assert stream not in self.lines
            assert stream % 2 == 1 - end
            self.lines[stream] = Line(gone=[end == 1, end == 0])

    @rule(end=ENDS, pick=PICKS, size=st.one_of(st.integers(0, 50), st.sampled_from([5000, 50_001, 300_000])))
    def send(self, end: int, pick: int, size: int) -> None:
        """Queue the next part of the pattern, unless the direction was ended."""
        stream = self.pick(end, pick)
        if stream is None:
            return
        half = self.lines[stream].halves[end]
        size = min(size, len(PATTERN) - half.queued)
        outcome = self.session(end).send(stream, PATTERN[half.queued : half.queued + size])
        assert isinstance(outcome, Success) is not half.is_ended
        if isinstance(outcome, Success):
            half.queued += size
            assert value_of(outcome) == self.session(end).queued(stream)
            if value_of(outcome) > LIMITS.stream_queue_bytes:
                self.crowded.add((end, stream))

    @rule(end=ENDS, pick=PICKS)
    def end_stream(self, end: int, pick: int) -> None:
        """End the direction of this end."""
        stream = self.pick(end, pick)
        if stream is not None:
            self.session(end).end(stream)
            self.lines[stream].halves[end].is_ended = True

    @rule(end=ENDS, pick=PICKS, chance=st.integers(0, 7))
    def reset_stream(self, end: int, pick: int, chance: int) -> None:
        """Break a stream, more seldom than the other rules."""
        stream = self.pick(end, pick)
        if stream is not None and chance == 0:
            self.session(end).reset(stream)
            self.lines[stream].is_broken = True
            self.lines[stream].gone[end] = True

    @rule(end=ENDS, pick=PICKS, size=st.integers(0, WINDOW))
    def take(self, end: int, pick: int, size: int) -> None:
        """Let some of the bytes that were heard leave this end."""
        stream = self.pick(end, pick)
        if stream is None:
            return
        half = self.lines[stream].halves[1 - end]
        size = min(size, half.heard - half.returned)
        self.session(end).return_credit(stream, size, self.now)
        half.returned += size

    @rule(end=ENDS, room=st.one_of(st.integers(0, 30), st.integers(0, 100_000)))
    def write(self, end: int, room: int) -> None:
        """Put some output on the wire."""
        self.link.write(end, room)
        self.settle(end)

    @rule(end=ENDS, size=st.one_of(st.integers(1, 30), st.integers(1, 100_000)))
    def read(self, end: int, size: int) -> None:
        """Take some bytes off the wire, cutting frames anywhere."""
        for event in self.link.read(end, size, self.now):
            self.hear(end, event)
        self.settle(end)

    @rule(seconds=st.floats(0, 4))
    def time_passes(self, seconds: float) -> None:
        """Both ends are asked in time, so neither may call the other silent."""
        self.now = Instant(self.now + seconds)
        for end in (0, 1):
            if self.now < self.session(end).heard_at + LIMITS.heartbeat_deadline_seconds:
                assert self.session(end).on_time(self.now) == Success(None)
                assert self.session(end).next_deadline() > self.now

    @rule(end=ENDS)
    def ask(self, end: int) -> None:
        """Measure the round trip, without which no window grows."""
        self.session(end).ping(self.now)

    @rule(end=ENDS, chance=st.integers(0, 29))
    def go_away(self, end: int, chance: int) -> None:
        """Drain, in a few of the runs."""
        if chance == 0:
            self.session(end).go_away(0)

    @rule(first=ENDS)
    def exchange(self, first: int) -> None:
        """Carry what both ends have across, so that most streams get somewhere."""
        for end in (first, 1 - first):
            self.write(end, PLENTY)
            self.read(1 - end, PLENTY)

    @rule(end=ENDS, pick=PICKS)
    def finish(self, end: int, pick: int) -> None:
        """Take everything of a stream and end it, so that some streams close."""
        self.take(end, pick, PLENTY)
        self.end_stream(end, pick)

    def settle(self, end: int) -> None:
        """Events of the writer, and streams that closed: both directions over, as seen from this end."""
        for event in self.session(end).take_events():
            self.hear(end, event)
        for stream in self.usable(end):
            line = self.lines[stream]
            ours, theirs = line.halves[end], line.halves[1 - end]
            if ours.is_ended and theirs.is_heard_ended and self.session(end).queued(stream) == 0:
                line.gone[end] = not self.holds(end, stream)

    def holds(self, end: int, stream: StreamId) -> bool:
        """Whether this end still lists the stream, seen from outside: an ended one takes back credit."""
        return stream in self.session(end)._table.live  # noqa: SLF001 - the one look inside, for conservation

    def hear(self, end: int, event: Event) -> None:
        """Check one event against what the other end did."""
        if isinstance(event, PeerGoingAway | Pong):
            return
        line = self.lines[event.stream]
        half = line.halves[1 - end]
        match event:
            case StreamOpened():
                assert event.stream % 2 == end
                line.gone[end] = False
            case StreamData():
                assert event.data
                assert not half.is_heard_ended
                assert event.data == PATTERN[half.heard : half.heard + len(event.data)]
                half.heard += len(event.data)
            case StreamEnded():
                assert half.is_ended
                assert not half.is_heard_ended
                assert half.heard == half.queued
                half.is_heard_ended = True
            case StreamReset():
                line.gone[end] = line.is_broken = True
            case StreamWritable():
                self.crowded.remove((end, event.stream))
                assert self.session(end).queued(event.stream) <= LIMITS.stream_queue_bytes // 2

    @invariant()
    def counts_are_within_limits(self) -> None:
        """An honest peer is never accused of anything, and nothing grows beyond its limit."""
        for end in (0, 1):
            session = self.session(end)
            assert not session.is_over
            assert session.violations == 0
            assert session.live_streams <= LIMITS.streams_per_session_max
            assert session.unread <= LIMITS.session_buffer_bytes_max

    @invariant()
    def what_arrived_was_sent(self) -> None:
        """No byte is made up and none given back twice."""
        for line in self.lines.values():
            for half in line.halves:
                assert half.returned <= half.heard <= half.queued

    @invariant()
    def credit_is_conserved(self) -> None:
        """Credit, unread and owed are the window, but for the rest of a frame that arrives; windows are their sum."""
        for end in (0, 1):
            held = granted = 0
            for stream, live in self.session(end)._table.live.items():  # noqa: SLF001 - the same look
                half = self.lines[stream].halves[1 - end]
                window = live.receive_window
                held += window.unread
                assert window.unread == half.heard - half.returned
                known = window.credit + window.unread + window.owed
                granted += window.size
                assert window.target <= window.size <= LIMITS.stream_window_bytes_max
                assert known <= window.size <= known + LIMITS.frame_bytes_sent_max
                other = self.session(1 - end)._table.live.get(stream)  # noqa: SLF001 - the same look
                if other is not None:
                    assert other.send_window.credit <= known
            assert held == self.session(end).unread
            assert granted == self.session(end).granted
            most = LIMITS.stream_window_bytes * self.session(end).live_streams + LIMITS.session_growth_bytes_max
            assert granted <= most

    def move_everything(self) -> int:
        """Carry all output across, take all bytes; how many moved."""
        moved = 0
        for end in (0, 1):
            self.link.write(end, PLENTY)
            self.settle(end)
        for end in (0, 1):
            moved += len(self.link.wires[1 - end])
            for event in self.link.read(end, PLENTY, self.now):
                self.hear(end, event)
            for stream in self.usable(end):
                half = self.lines[stream].halves[1 - end]
                self.session(end).return_credit(stream, half.heard - half.returned, self.now)
                half.returned = half.heard
            self.settle(end)
        return moved

    @override
    def teardown(self) -> None:
        """The two ends come to rest, with nothing lost and nothing left over."""
        rounds = 0
        while self.move_everything() or any(end.has_output for end in self.link.ends):
            rounds += 1
            assert rounds < 200, "the two ends never come to rest"
        first, second = self.link.ends
        assert not any(self.link.wires)
        assert set(self.usable(0)) == set(self.usable(1))
        assert first.live_streams == second.live_streams == len(self.usable(0))
        for line in self.lines.values():
            for half in () if line.is_broken else line.halves:
                assert half.heard == half.queued
                assert half.is_heard_ended is half.is_ended
        assert first.unread == second.unread == 0


@pytest.mark.shows("MUX-FLOW-002", "MUX-FLOW-006", "MUX-STREAM-010", "MUX-FLOW-011", "MUX-STREAM-013", "MUX-FRAME-006")
def test_two_ends_agree_at_every_step_and_come_to_rest() -> None:
    run_state_machine_as_test(TwoEnds, settings=settings(max_examples=100, stateful_step_count=80, deadline=None))


@pytest.mark.shows("MUX-FLOW-002", "MUX-FLOW-007")
@pytest.mark.parametrize("chunk", [1, 4096, 65_536, PLENTY])
def test_a_megabyte_passes_through_a_window_of_a_quarter(chunk: int) -> None:
    """A reader that takes everything at once never lets the writer starve, however the reads are cut."""
    total = len(PATTERN) if chunk > 1 else 3000
    link = Link()
    writer, reader = link.ends
    stream = opened(writer)
    reader.receive(b"\0\1\0\1\0\0\0\1\0\0\0\0", START)
    queue(writer, stream, PATTERN[:total])
    writer.end(stream)
    arrived = bytearray()
    while reader.has_output or writer.has_output or link.wires[0] or link.wires[1]:
        link.write(0, chunk + 12)
        link.write(1, PLENTY)
        link.read(0, PLENTY)
        for event in link.read(1, chunk):
            if isinstance(event, StreamData):
                arrived += event.data
                reader.return_credit(event.stream, len(event.data), START)
    assert bytes(arrived) == PATTERN[:total]
