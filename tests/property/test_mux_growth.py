"""How wide receive windows are: they follow the round trip and their readers, within what a session may grant.

Whole sessions over a path with a delay, where time is a number and bytes are counted, not seconds; and the rules one by
one, on a session whose peer is written out frame by frame.
"""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from mux_delay import Far, carried
from mux_support import ACK, DATA, PING, START, SYN, UPDATE, WINDOW, accepted, data, header, hear, sent, server

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import KIB, MIB, Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.mux.keepalive import Keepalive
from tunnel.core.mux.session import Session
from tunnel.core.mux.tuning import WindowTuner
from tunnel.core.mux.window import ReceiveWindow

FIXED = Limits(stream_window_bytes_max=WINDOW)
ONE = StreamId(1)
RTT = 0.1


def later(seconds: float) -> Instant:
    """A moment after the start."""
    return Instant(START + seconds)


def near(limits: Limits, rtt: float = RTT) -> Session:
    """A server that knows its round trip and has accepted stream 1; `rtt` seconds have passed."""
    session = server(limits)
    session.ping(START)
    sent(session)
    hear(session, header(PING, ACK, 0, 0), later(rtt))
    assert session.rtt_seconds == pytest.approx(rtt)
    accepted(session, 1)
    return session


def drain(session: Session, count: int, now: Instant, piece: int = 64 * KIB) -> int:
    """Let `count` bytes of stream 1 arrive and leave in pieces; the credit that was granted for it."""
    granted = 0
    while count:
        size = min(count, piece)
        hear(session, data(1, bytes(size)), now)
        session.return_credit(ONE, size, now)
        granted += sum(delta for kind, _, _, delta, _ in sent(session) if kind == UPDATE)
        count -= size
    return granted


@pytest.mark.shows("MUX-FLOW-010")
def test_one_stream_over_100_ms_carries_twenty_times_what_a_fixed_window_does() -> None:
    """Counted in bytes: a fixed window passes once in a round trip, a grown one sixty-four times as much."""
    fixed, grown = carried(FIXED, 3.0), carried(Limits(), 3.0)
    assert fixed.got[ONE] <= 31 * WINDOW, "a window in each round trip, and not one more"
    assert grown.got[ONE] >= 40 * fixed.got[ONE]
    assert grown.ends[1].granted == Limits().stream_window_bytes_max
    assert fixed.ends[1].granted == WINDOW


@pytest.mark.shows("MUX-FLOW-010")
@pytest.mark.parametrize("one_way", [0.0001, 0.01, 0.25])
def test_a_window_doubles_once_in_a_round_trip_until_it_is_wide(one_way: float) -> None:
    far = carried(Limits(), one_way * 2 * 9, one_way)
    assert far.ends[1].granted == 16 * MIB, "six doublings, in nine round trips"


@pytest.mark.shows("MUX-FLOW-010")
def test_a_window_taken_in_two_round_trips_is_doubled_and_in_more_it_is_not() -> None:
    session = near(Limits())
    assert drain(session, WINDOW, later(1.0)) == 2 * WINDOW
    drain(session, WINDOW, later(2.0))
    assert session.granted == 2 * WINDOW
    drain(session, WINDOW, later(2.0 + 2 * RTT))
    assert session.granted == 4 * WINDOW
    drain(session, 2 * WINDOW, later(4.0))
    drain(session, 2 * WINDOW, later(4.01 + 2 * RTT))
    assert session.granted == 4 * WINDOW


@pytest.mark.shows("MUX-FLOW-010")
def test_no_window_grows_before_the_round_trip_is_known() -> None:
    session = server()
    accepted(session, 1)
    assert drain(session, 8 * WINDOW, START) == 8 * WINDOW
    assert session.rtt_seconds < 0


@pytest.mark.shows("MUX-FLOW-010")
def test_a_window_never_grows_beyond_its_limit() -> None:
    session = near(Limits(stream_window_bytes_max=3 * WINDOW))
    drain(session, 9 * WINDOW, later(1.0))
    assert session.granted == 3 * WINDOW
    fixed = near(FIXED)
    drain(fixed, 9 * WINDOW, later(1.0))
    assert fixed.granted == WINDOW


@pytest.mark.shows("MUX-FLOW-011")
def test_windows_grow_together_by_no_more_than_the_session_allows() -> None:
    session = near(Limits(session_growth_bytes_max=4 * WINDOW))
    accepted(session, 3)
    drain(session, 20 * WINDOW, later(1.0))
    assert session.granted == 6 * WINDOW
    for _ in range(4):
        hear(session, data(3, bytes(WINDOW)), later(1.0))
        session.return_credit(StreamId(3), WINDOW, later(1.0))
        sent(session)
    assert session.granted == 6 * WINDOW, "stream 1 has all there is"
    session.reset(ONE)
    hear(session, data(3, bytes(WINDOW)), later(1.0))
    session.return_credit(StreamId(3), WINDOW, later(1.0))
    assert session.granted == 2 * WINDOW, "what stream 1 had is free"


@pytest.mark.shows("MUX-FLOW-012")
def test_the_grown_window_of_a_stalled_reader_falls_back_as_it_takes_what_waits() -> None:
    """8 windows wait; each time a second has passed and half of it still waits, it is halved, down to the first."""
    session = near(Limits())
    drain(session, 7 * WINDOW, later(1.0))
    assert session.granted == 8 * WINDOW
    hear(session, data(1, bytes(4 * WINDOW)) + data(1, bytes(4 * WINDOW)), later(1.1))
    seen: list[tuple[int, int]] = []
    for step in range(16):
        session.return_credit(ONE, WINDOW // 2, later(3.0 + 1.1 * step))
        granted = sum(delta for kind, _, _, delta, _ in sent(session) if kind == UPDATE)
        seen.append((session.granted * 2 // WINDOW, granted * 2 // WINDOW))
    assert [size for size, _ in seen] == [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 2, 2]
    assert [granted for _, granted in seen[:13]] == [0] * 13, "nothing is granted while it falls"
    assert sum(granted for _, granted in seen) * WINDOW // 2 == WINDOW
    assert session.unread == 0


@pytest.mark.shows("MUX-FLOW-012")
def test_a_reader_that_was_quiet_for_long_but_takes_what_comes_keeps_its_window() -> None:
    session = near(Limits())
    drain(session, 7 * WINDOW, later(1.0))
    for seconds in range(10, 100, 10):
        drain(session, WINDOW, later(seconds), piece=WINDOW // 4)
        assert session.granted >= 8 * WINDOW


@pytest.mark.shows("MUX-FLOW-012")
def test_a_narrowed_window_grows_again_with_its_reader() -> None:
    session = near(Limits())
    drain(session, 7 * WINDOW, later(1.0))
    hear(session, data(1, bytes(4 * WINDOW)) + data(1, bytes(WINDOW)), later(1.0))
    session.return_credit(ONE, WINDOW, later(5.0))
    session.return_credit(ONE, 4 * WINDOW, later(5.2))
    assert session.granted == 4 * WINDOW
    sent(session)
    drain(session, 4 * WINDOW, later(5.3))
    assert session.granted == 8 * WINDOW


@pytest.mark.shows("MUX-FLOW-013")
def test_when_half_the_buffer_is_held_a_reader_that_goes_on_falls_to_its_share_of_that_half() -> None:
    limits = Limits(session_buffer_bytes_max=4 * WINDOW, stream_window_bytes_min=20 * KIB)
    session = near(limits)
    for stream in range(3, 41, 2):
        accepted(session, stream)
    for stream in (3, 5, 7):
        hear(session, data(stream, bytes(WINDOW - 1)), later(1.0))
    before = session.granted
    granted = drain(session, WINDOW, later(1.0), piece=WINDOW // 8)
    share = 2 * WINDOW // 20
    assert before - session.granted == WINDOW - share
    assert granted == share
    assert drain(session, share, later(1.0)) == share, "and it goes on, with the less"


@pytest.mark.shows("MUX-FLOW-013")
def test_no_share_is_less_than_its_minimum() -> None:
    session = near(Limits(session_buffer_bytes_max=1000, stream_window_bytes_min=300))
    for stream in range(3, 23, 2):
        accepted(session, stream)
    hear(session, data(3, bytes(600)))
    before = session.granted
    for piece in (100, 100):
        hear(session, data(1, bytes(piece)))
        session.return_credit(ONE, piece, START)
    assert before - session.granted == 200
    assert drain_to_rest(session) == WINDOW - 300


def drain_to_rest(session: Session) -> int:
    """Use all that stream 1 was granted, in pieces of 100 bytes, and answer how far its window fell."""
    tuner = session._table.tuner  # noqa: SLF001 - the size of one window is nobody else's business
    window = session._table.live[ONE].receive_window  # noqa: SLF001 - likewise
    while window.size > window.target:
        hear(session, data(1, bytes(100)))
        session.return_credit(ONE, 100, START)
        sent(session)
    assert tuner.granted == sum(live.receive_window.size for live in session._table.live.values())  # noqa: SLF001 - likewise
    return WINDOW - window.size


@pytest.mark.shows("MUX-FLOW-009", "MUX-FLOW-011")
@pytest.mark.parametrize("readers", ["reading", "stalled"])
def test_a_thousand_streams_stay_within_both_bounds_of_the_session(readers: str) -> None:
    """All of them full at once: those whose readers stall cost no more than the buffer, the others no more windows."""
    limits = Limits()
    far = Far(0.05, limits)
    far.meet()
    streams = [value_of(one) for one in (far.ends[0].open_stream() for _ in range(1000)) if isinstance(one, Success)]
    for stream in streams:
        far.ends[0].send(stream, bytes(2 * WINDOW))
    if readers == "stalled":
        far.stalled.update(streams)
    most_held = most_granted = 0
    for _ in range(20):
        far.go_on(0.05)
        most_held = max(most_held, far.ends[1].unread)
        most_granted = max(most_granted, far.ends[1].granted)
    assert most_held <= limits.session_buffer_bytes_max
    assert most_granted <= 1000 * WINDOW + limits.session_growth_bytes_max
    if readers == "stalled":
        assert far.ends[1].live_streams == limits.session_buffer_bytes_max // WINDOW
    else:
        assert sum(far.got.values()) == 1000 * 2 * WINDOW


@pytest.mark.shows("MUX-PING-006")
@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 50.0), st.floats(0.0, 10.0)), min_size=1, max_size=30))
def test_the_round_trip_is_the_smallest_of_the_last_minute_or_two(asked: list[tuple[float, float]]) -> None:
    """Each sample counts for a minute at least and for two at most after the next one is told."""
    keepalive = Keepalive(5.0, 15.0, START)
    assert keepalive.rtt_seconds < 0
    now, told = START, list[tuple[float, float]]()
    for pause, seconds in asked:
        opaque = keepalive.ask(Instant(now + pause))
        now = Instant(now + pause + seconds)
        rtt = keepalive.round_trip(opaque, now)
        assert rtt == pytest.approx(seconds, abs=1e-6)
        assert keepalive.round_trip(opaque, now) is None
        told.append((now, rtt if rtt is not None else inf))
        assert keepalive.rtt_seconds in [one for _, one in told]
        assert keepalive.rtt_seconds <= min(one for at, one in told if now - at < 60.0)


@pytest.mark.shows("MUX-PING-006")
def test_a_longer_path_is_noticed_after_two_minutes() -> None:
    keepalive = Keepalive(5.0, 15.0, START)
    now = START
    for number in range(40):
        seconds = 0.01 if number < 4 else 0.3
        opaque = keepalive.ask(now)
        keepalive.round_trip(opaque, Instant(now + seconds))
        now = Instant(now + 5.0)
        assert keepalive.rtt_seconds == pytest.approx(0.01 if number < 24 else 0.3, abs=1e-6)


@pytest.mark.shows("MUX-PING-006")
def test_a_busy_link_is_asked_once_a_heartbeat_and_a_quiet_reader_causes_no_ping() -> None:
    session = server(Limits(heartbeat_seconds=5.0))
    accepted(session, 1)
    pings = 0
    for step in range(100):
        hear(session, data(1, bytes(WINDOW)), later(step / 4))
        session.return_credit(ONE, WINDOW, later(step / 4))
        frames = sent(session)
        pings += sum(1 for kind, flags, _, _, _ in frames if (kind, flags) == (PING, SYN))
        assert sum(1 for kind, _, _, _, _ in frames if kind != DATA) <= 2
    assert pings == 4
    hear(session, data(1, b"."), later(100.0))
    session.return_credit(ONE, 1, later(100.0))
    assert not session.has_output


LIMITS = Limits(
    stream_window_bytes=WINDOW + 1000,
    stream_window_bytes_max=5 * WINDOW,
    stream_window_bytes_min=1000,
    session_growth_bytes_max=8 * WINDOW,
    session_buffer_bytes_max=4 * WINDOW,
)


class Windows(RuleBasedStateMachine):
    """The windows of one session by themselves: arrivals, takes, grants, new streams and ends, while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.keepalive = Keepalive(5.0, 15.0, START)
        self.tuner = WindowTuner(LIMITS, self.keepalive)
        self.windows: list[ReceiveWindow] = [self.tuner.begin()]
        self.granted_before: list[int] = [WINDOW]
        self.arrived: list[int] = [0]
        self.now = START

    def most(self) -> int:
        """What all windows may come to."""
        return LIMITS.stream_window_bytes * len(self.windows) + LIMITS.session_growth_bytes_max

    @rule(rtt=st.sampled_from([0.0, 0.01, 0.1, 3.0]))
    def answer(self, rtt: float) -> None:
        """The round trip is measured."""
        opaque = self.keepalive.ask(self.now)
        self.now = Instant(self.now + rtt)
        self.keepalive.round_trip(opaque, self.now)

    @rule(seconds=st.sampled_from([0.001, 0.05, 0.5, 4.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now = Instant(self.now + seconds)

    @rule()
    def begin(self) -> None:
        """One more stream."""
        if len(self.windows) < 12:
            self.windows.append(self.tuner.begin())
            self.granted_before.append(WINDOW)
            self.arrived.append(0)

    @rule(pick=st.integers(0, 99))
    def end(self, pick: int) -> None:
        """One stream less, whatever is left of it."""
        if len(self.windows) > 1:
            at = pick % len(self.windows)
            self.tuner.forget(self.windows.pop(at))
            del self.granted_before[at], self.arrived[at]

    @rule(pick=st.integers(0, 99), share=st.integers(1, 4))
    def arrive(self, pick: int, share: int) -> None:
        """The peer sends a part of what it may."""
        at = pick % len(self.windows)
        window = self.windows[at]
        size = window.credit * share // 4
        assert window.spend(size)
        window.unread += size
        self.arrived[at] += size

    @rule(pick=st.integers(0, 99), share=st.integers(1, 4))
    def take(self, pick: int, share: int) -> None:
        """The reader takes a part of what waits; then a window has moved towards its target and no further."""
        window = self.windows[pick % len(self.windows)]
        size, target = window.size, window.target
        taken = window.take_back(window.unread * share // 4)
        held = sum(one.unread for one in self.windows)
        self.tuner.settle(window, taken, held, len(self.windows), self.now)
        assert window.size <= max(2 * size, size)
        if window.size > size:
            assert window.size == window.target <= LIMITS.stream_window_bytes_max
            assert self.tuner.granted <= self.most()
        else:
            assert window.size >= min(size, window.target)
            assert window.target >= min(target, LIMITS.stream_window_bytes_min)

    @rule(pick=st.integers(0, 99))
    def grant(self, pick: int) -> None:
        """A window update leaves, if one is due: never more than the window."""
        at = pick % len(self.windows)
        window = self.windows[at]
        if window.is_update_due:
            delta = window.grant()
            assert delta > 0
            self.granted_before[at] += delta

    @invariant()
    def every_byte_of_credit_is_somewhere(self) -> None:
        """What was granted has arrived or may still; the windows are what they say; the sum is the sum."""
        for window, granted, arrived in zip(self.windows, self.granted_before, self.arrived, strict=True):
            assert granted - arrived == window.credit
            assert window.credit + window.unread + window.owed == window.size
            assert min(window.credit, window.unread, window.owed) >= 0
            assert window.target <= window.size <= LIMITS.stream_window_bytes_max
        assert self.tuner.granted == sum(window.size for window in self.windows)
        assert self.tuner.granted <= self.most()

    @invariant()
    def a_reader_that_took_everything_lets_its_peer_go_on(self) -> None:
        """No stream rests for ever: with nothing unread, either credit is left or an update is due."""
        for window in self.windows:
            assert window.unread or window.credit or window.is_update_due


@pytest.mark.bug("A17", "A21")
@pytest.mark.shows("MUX-FLOW-006", "MUX-FLOW-011", "MUX-FLOW-013")
def test_windows_keep_their_books_whatever_happens() -> None:
    run_state_machine_as_test(Windows, settings=settings(max_examples=150, stateful_step_count=60, deadline=None))
