"""Pings, silence, GOAWAY and the end of a session; the clock is a number that the tests add to."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mux_support import (
    ACK,
    AWAY,
    DATA,
    FIN,
    PING,
    RST,
    START,
    SYN,
    UPDATE,
    accepted,
    client,
    data,
    facts,
    header,
    hear,
    opened,
    queue,
    refusal,
    sent,
    server,
    update,
)

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.mux.errors import PeerSilent, SessionDraining, SessionOver, StreamGone, UnknownKind
from tunnel.core.mux.session import Session

LIMITS = Limits(heartbeat_seconds=5.0, heartbeat_deadline_seconds=15.0)
BAD = header(9, 0, 0, 0)


def later(seconds: float) -> Instant:
    return Instant(START + seconds)


def pings(session: Session) -> list[int]:
    """The values of our own pings that leave now, which is all that leaves."""
    frames = sent(session)
    assert all(frame[:3] == (PING, SYN, 0) for frame in frames)
    return [frame[3] for frame in frames]


@pytest.mark.shows("MUX-PING-001")
@given(st.integers(0, 0xFFFF_FFFF), st.sampled_from([SYN, SYN | ACK]))
def test_a_ping_is_answered_with_its_value(value: int, flags: int) -> None:
    session = server()
    assert hear(session, header(PING, flags, 0, value)) == []
    assert sent(session) == [(PING, ACK, 0, value, b"")]


@pytest.mark.shows("MUX-PING-002")
@pytest.mark.parametrize("flags", [ACK, 0, FIN])
def test_an_answer_to_no_ping_is_ignored_and_counted(flags: int) -> None:
    session = server()
    assert hear(session, header(PING, flags, 0, 0) + header(PING, flags, 0, 77)) == []
    assert session.violations == 2
    assert not session.has_output


@pytest.mark.shows("MUX-PING-003")
def test_a_ping_leaves_after_each_heartbeat_of_silence() -> None:
    session = server(LIMITS)
    assert session.next_deadline() == later(5)
    assert session.on_time(later(4.9)) == Success(None)
    assert pings(session) == []
    assert session.on_time(later(5)) == Success(None)
    assert pings(session) == [0]
    assert session.on_time(later(5)) == Success(None)
    assert pings(session) == []
    assert session.next_deadline() == later(10)
    assert session.on_time(later(10)) == Success(None)
    assert pings(session) == [1]
    assert session.next_deadline() == later(15)


@pytest.mark.shows("MUX-PING-003")
def test_whatever_is_heard_puts_the_ping_off() -> None:
    session = server(LIMITS)
    hear(session, data(99, b"unknown stream")[:5], later(3))
    assert session.heard_at == later(3)
    assert session.next_deadline() == later(8)
    session.on_time(later(5))
    assert pings(session) == []
    hear(session, b"", later(7))
    assert session.heard_at == later(3)


@pytest.mark.shows("MUX-PING-004", "MUX-AWAY-003")
def test_silence_ends_the_session() -> None:
    session = server(LIMITS)
    stream = accepted(session, 1)
    queue(session, stream, b"never sent")
    assert session.on_time(later(14.5)) == Success(None)
    assert session.on_time(later(15)) == Failure(PeerSilent(15.0, 15.0))
    assert session.is_over
    assert sent(session) == [(AWAY, 0, 0, 2, b"")]
    assert session.next_deadline() == inf
    assert session.on_time(later(99)) == Success(None)


@pytest.mark.shows("MUX-PING-004")
def test_a_peer_that_answers_only_some_pings_is_not_silent() -> None:
    session = server(LIMITS)
    now = 0.0
    for _ in range(20):
        now += 5
        assert session.on_time(later(now)) == Success(None)
        dropped = pings(session)
        now += 5
        assert session.on_time(later(now)) == Success(None)
        assert len(dropped) == 1
        (value,) = pings(session)
        assert hear(session, header(PING, ACK, 0, value), later(now)) == [("pong", 0.0)]
    assert session.violations == 0


@pytest.mark.shows("MUX-PING-005")
def test_the_answer_to_the_latest_ping_tells_the_round_trip_once() -> None:
    session = client(LIMITS)
    session.ping(later(1))
    assert pings(session) == [0]
    session.ping(later(2))
    assert pings(session) == [1]
    assert hear(session, header(PING, ACK, 0, 0), later(3)) == []
    assert hear(session, header(PING, ACK, 0, 1) * 2, later(4.5)) == [("pong", 2.5)]
    assert session.violations == 0


def test_a_ping_that_has_not_left_is_replaced() -> None:
    session = client(LIMITS)
    session.ping(later(1))
    session.ping(later(2))
    assert pings(session) == [1]


@pytest.mark.shows("MUX-AWAY-001")
def test_after_our_goaway_streams_go_on_and_new_ones_are_refused() -> None:
    session = server()
    stream = accepted(session, 1)
    session.go_away(0)
    session.go_away(0)
    assert session.is_draining
    assert not session.is_over
    assert sent(session) == [(AWAY, 0, 0, 0, b"")]
    session.go_away(0)
    assert not session.has_output
    assert hear(session, data(3, b"new", SYN) + data(1, b"old", FIN)) == [("data", 1, b"old"), ("ended", 1)]
    queue(session, stream, b"bye")
    session.end(stream)
    assert sent(session) == [(UPDATE, RST, 3, 0, b""), (DATA, 0, 1, 3, b"bye"), (DATA, FIN, 1, 0, b"")]
    assert session.live_streams == 0
    assert session.open_stream() == Failure(SessionDraining())


@pytest.mark.shows("MUX-AWAY-001", "MUX-STREAM-002")
def test_the_syn_of_a_stream_opened_before_leaves_before_goaway() -> None:
    session = client()
    assert session.open_stream() == Success(1)
    session.go_away(0)
    assert [kind for kind, *_ in sent(session)] == [UPDATE, AWAY]


@pytest.mark.shows("MUX-AWAY-002")
@pytest.mark.parametrize("code", [0, 1, 2, 0xFFFF_FFFF])
def test_after_the_peers_goaway_streams_go_on_and_we_open_none(code: int) -> None:
    session = client()
    stream = opened(session)
    assert hear(session, header(AWAY, 0, 0, code) * 2) == [("going away", code)]
    assert session.is_draining
    assert session.open_stream() == Failure(SessionDraining())
    assert hear(session, data(stream, b"more") + update(2, 0, SYN)) == [("data", 1, b"more"), ("opened", 2)]
    queue(session, stream, b"ours")
    assert sent(session)[-1] == (DATA, 0, 1, 4, b"ours")


@pytest.mark.shows("MUX-AWAY-002")
def test_a_second_goaway_with_another_code_is_told() -> None:
    session = client()
    assert hear(session, header(AWAY, 0, 0, 0) + header(AWAY, 0, 0, 1)) == [("going away", 0), ("going away", 1)]


@pytest.mark.shows("MUX-FRAME-008", "MUX-AWAY-003")
def test_what_came_before_a_bad_frame_is_delivered_and_nothing_after_it() -> None:
    session = server()
    stream = accepted(session, 1)
    queue(session, stream, b"dropped")
    assert refusal(session, data(1, b"before") + BAD + data(1, b"after")) == UnknownKind(9)
    assert facts(session.take_events()) == [("data", 1, b"before")]
    assert hear(session, data(1, b"later")) == []


@pytest.mark.shows("MUX-AWAY-004")
def test_after_the_end_nothing_is_accepted_or_sent() -> None:
    session = server()
    stream = accepted(session, 1)
    refusal(session, BAD)
    assert session.send(stream, b"x") == Failure(StreamGone(stream))
    assert session.open_stream() == Failure(SessionOver())
    session.end(stream)
    session.reset(stream)
    session.return_credit(stream, 1, START)
    session.ping(later(1))
    session.go_away(0)
    session.go_away(2)
    assert session.on_time(later(99)) == Success(None)
    assert hear(session, header(PING, SYN, 0, 1)) == []
    assert not session.has_output


@pytest.mark.shows("MUX-AWAY-004")
@pytest.mark.parametrize("code", [1, 2])
def test_going_away_with_an_error_ends_the_session_at_once(code: int) -> None:
    session = server()
    stream = accepted(session, 1)
    queue(session, stream, b"dropped")
    session.go_away(code)
    assert session.is_over
    assert sent(session) == [(AWAY, 0, 0, code, b"")]
    assert facts(session.on_link_lost()) == [("reset", 1)]


@pytest.mark.shows("MUX-AWAY-004")
def test_an_error_may_follow_a_graceful_goaway() -> None:
    session = server()
    session.go_away(0)
    session.go_away(2)
    assert sent(session) == [(AWAY, 0, 0, 2, b"")]


@pytest.mark.shows("MUX-STREAM-015")
def test_a_lost_link_is_told_once_for_each_stream_after_what_came_before() -> None:
    session = server()
    one, three = accepted(session, 1), accepted(session, 3)
    queue(session, one, bytes(400_000))
    hear(session, data(3, bytes(100)))
    refusal(session, data(1, b"last") + BAD)
    assert facts(session.on_link_lost()) == [("data", 1, b"last"), ("reset", one), ("reset", three)]
    assert session.is_over
    assert session.live_streams == session.unread == 0
    assert not session.has_output
    assert session.on_link_lost() == []


@pytest.mark.shows("MUX-STREAM-015")
def test_a_lost_link_cancels_all_output() -> None:
    session = server()
    stream = accepted(session, 1)
    hear(session, data(1, bytes(200_000)) + header(PING, SYN, 0, 1) + update(3, 0, SYN))
    session.return_credit(stream, 200_000, START)
    queue(session, StreamId(3), b"x")
    session.ping(later(1))
    session.go_away(0)
    assert facts(session.on_link_lost()) == [("reset", 1), ("reset", 3)]
    assert session.poll_output(1 << 20) == b""
