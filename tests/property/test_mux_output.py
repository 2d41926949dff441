"""What a session sends and in which order: control first, streams in turn, whole frames within the room given."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mux_support import (
    ACK,
    DATA,
    FIN,
    PING,
    RST,
    START,
    SYN,
    UPDATE,
    WINDOW,
    accepted,
    client,
    data,
    frames_of,
    header,
    hear,
    opened,
    queue,
    refusal,
    sent,
    server,
    update,
)

from tunnel.core.base.ids import StreamId
from tunnel.core.base.limits import Limits
from tunnel.core.mux.errors import PeerDoesNotRead
from tunnel.core.mux.events import StreamWritable

PINGS = [header(PING, SYN, 0, value) for value in range(5000)]


@pytest.mark.shows("MUX-OUT-001")
def test_control_frames_leave_before_data() -> None:
    session = server()
    stream = accepted(session, 1)
    queue(session, stream, b"data")
    hear(session, PINGS[7] + update(3, 0, SYN))
    session.ping(START)
    session.go_away(0)
    assert sent(session) == [
        (PING, ACK, 0, 7, b""),
        (UPDATE, ACK, 3, 0, b""),
        (PING, SYN, 0, 0, b""),
        (3, 0, 0, 0, b""),
        (DATA, 0, 1, 4, b"data"),
    ]


@pytest.mark.shows("MUX-OUT-001", "MUX-OUT-004")
def test_control_frames_leave_one_by_one_when_there_is_room_for_one() -> None:
    session = server()
    stream = accepted(session, 1)
    queue(session, stream, b"data")
    hear(session, PINGS[1] + PINGS[2] + update(3, 0, SYN))
    session.ping(START)
    session.go_away(0)
    kinds = [sent(session, 23)[0][:2] for _ in range(5)]
    assert kinds == [(PING, ACK), (PING, ACK), (UPDATE, ACK), (PING, SYN), (3, 0)]
    assert sent(session, 12) == []
    assert sent(session, 13) == [(DATA, 0, 1, 1, b"d")]


@pytest.mark.shows("MUX-OUT-002")
def test_streams_take_turns_of_one_frame() -> None:
    limits = Limits(frame_bytes_sent_max=10)
    session = server(limits)
    for stream, size in ((1, 25), (3, 5), (5, 15)):
        accepted(session, stream)
        queue(session, StreamId(stream), bytes(size))
    assert [(stream, length) for _, _, stream, length, _ in sent(session)] == [
        (3, 5), (1, 10), (5, 10), (1, 10), (5, 5), (1, 5),
    ]  # fmt: skip


@pytest.mark.shows("MUX-OUT-002")
def test_a_turn_that_is_cut_short_goes_on_where_it_stopped() -> None:
    session = server(Limits(frame_bytes_sent_max=10))
    for stream in (1, 3, 5):
        accepted(session, stream)
        queue(session, StreamId(stream), bytes(20))
    turns = [[stream for _, _, stream, _, _ in sent(session, 44)] for _ in range(3)]
    assert turns == [[1, 3], [5, 1], [3, 5]]
    assert sent(session) == []


@pytest.mark.shows("MUX-OUT-003")
def test_fin_follows_the_last_byte_in_a_frame_of_its_own() -> None:
    session = server(Limits(frame_bytes_sent_max=4))
    stream = accepted(session, 1)
    queue(session, stream, b"abc")
    queue(session, stream, b"def")
    session.end(stream)
    assert sent(session) == [(DATA, 0, 1, 4, b"abcd"), (DATA, 0, 1, 2, b"ef"), (DATA, FIN, 1, 0, b"")]
    assert not session.has_output


@pytest.mark.shows("MUX-OUT-003", "MUX-FLOW-002")
def test_fin_waits_for_the_bytes_that_wait_for_the_window() -> None:
    session = server()
    stream = accepted(session, 1)
    queue(session, stream, bytes(WINDOW + 1))
    session.end(stream)
    assert all(flags == 0 for _, flags, _, _, _ in sent(session))
    hear(session, update(1, 1))
    assert sent(session) == [(DATA, 0, 1, 1, b"\0"), (DATA, FIN, 1, 0, b"")]


@pytest.mark.shows("MUX-OUT-004", "MUX-FRAME-009")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6), st.lists(st.integers(-30, 50), max_size=40))
def test_any_room_gives_whole_frames_that_join_to_what_was_sent(pieces: list[bytes], rooms: list[int]) -> None:
    session = server(Limits(frame_bytes_sent_max=16))
    stream = accepted(session, 1)
    for piece in pieces:
        queue(session, stream, piece)
    session.end(stream)
    wire = b""
    for number, room in enumerate([*rooms, 1 << 20]):
        hear(session, PINGS[number])
        some = session.poll_output(room)
        assert len(some) <= max(room, 0)
        frames_of(some)
        wire += some
    pongs = [length for kind, _, _, length, _ in frames_of(wire) if kind == PING]
    assert pongs == list(range(len(rooms) + 1))
    frames = [frame for frame in frames_of(wire) if frame[0] == DATA]
    assert b"".join(payload for _, _, _, _, payload in frames) == b"".join(pieces)
    assert [flags for _, flags, _, _, _ in frames] == [0] * (len(frames) - 1) + [FIN]
    assert max(length for _, _, _, length, _ in frames) <= 16


@pytest.mark.shows("MUX-OUT-005")
def test_writable_is_told_once_when_a_crowded_queue_has_fallen_to_half() -> None:
    session = server(Limits(stream_queue_bytes=100, frame_bytes_sent_max=10))
    stream = accepted(session, 1)
    assert queue(session, stream, bytes(101)) == 101
    told: list[tuple[int, bool]] = []
    while session.has_output:
        sent(session, 22)
        events = session.take_events()
        assert all(isinstance(event, StreamWritable) and event.stream == stream for event in events)
        told.append((session.queued(stream), bool(events)))
    assert [left for left, was_told in told if was_told] == [41]


@pytest.mark.shows("MUX-OUT-005")
def test_a_queue_that_never_passed_its_limit_is_not_told_writable() -> None:
    session = server(Limits(stream_queue_bytes=100))
    stream = accepted(session, 1)
    assert queue(session, stream, bytes(100)) == 100
    sent(session)
    assert session.take_events() == []


@pytest.mark.shows("MUX-OUT-006")
def test_a_peer_that_pings_and_reads_may_ping_a_lot_at_once() -> None:
    session = server()
    assert hear(session, b"".join(PINGS)) == []
    assert sent(session) == [(PING, ACK, 0, value, b"") for value in range(5000)]
    assert hear(session, PINGS[0]) == []


@pytest.mark.shows("MUX-OUT-006")
def test_a_peer_that_pings_and_does_not_read_is_cut_off() -> None:
    session = server(Limits(control_frames_max=10))
    for ping in PINGS[:11]:
        assert hear(session, ping) == []
    assert refusal(session, PINGS[11]) == PeerDoesNotRead(11, 10)


@pytest.mark.shows("MUX-OUT-006")
def test_a_peer_that_opens_and_does_not_read_is_cut_off() -> None:
    session = server(Limits(control_frames_max=10, streams_per_session_max=3))
    for stream in range(1, 29, 2):
        hear(session, update(stream, 0, SYN))
    assert session.live_streams == 3
    assert refusal(session, update(29, 0, SYN)) == PeerDoesNotRead(11, 10)


@pytest.mark.shows("MUX-OUT-006")
def test_our_own_resets_are_not_held_against_the_peer() -> None:
    session = server(Limits(control_frames_max=2, streams_per_session_max=8))
    for stream in range(1, 17, 2):
        accepted(session, stream)
    for stream in range(1, 17, 2):
        session.reset(StreamId(stream))
    assert hear(session, PINGS[0]) == []
    assert hear(session, PINGS[1]) == []
    assert len(sent(session)) == 10


@pytest.mark.shows("MUX-PING-001")
def test_equal_pings_in_a_row_share_an_answer() -> None:
    session = server(Limits(control_frames_max=2))
    for ping in [PINGS[4]] * 50 + [PINGS[5], PINGS[4]]:
        hear(session, ping)
    assert [length for _, _, _, length, _ in sent(session)] == [4, 5, 4]


@pytest.mark.shows("MUX-OUT-007")
def test_a_stream_without_window_holds_up_no_other() -> None:
    session = client()
    stalled, lively = opened(session), opened(session)
    queue(session, stalled, bytes(2 * WINDOW))
    sent(session)
    assert session.queued(stalled) == WINDOW
    for _ in range(9):
        queue(session, lively, b"hello")
        assert sent(session) == [(DATA, 0, 3, 5, b"hello")]
    hear(session, update(stalled, 7))
    assert sent(session) == [(DATA, 0, 1, 7, bytes(7))]


def test_a_reset_stream_in_the_middle_of_the_turn_is_left_out() -> None:
    session = server(Limits(frame_bytes_sent_max=1))
    for stream in (1, 3, 5):
        accepted(session, stream)
        queue(session, StreamId(stream), b"xy")
    sent(session, 13)
    hear(session, header(UPDATE, RST, 3, 0))
    assert [stream for _, _, stream, _, _ in sent(session)] == [5, 1, 5]


def test_a_reset_stream_that_was_owed_credit_is_left_out() -> None:
    session = server()
    stream = accepted(session, 1)
    hear(session, data(1, bytes(WINDOW)))
    session.return_credit(stream, WINDOW, START)
    session.reset(stream)
    assert sent(session) == [(UPDATE, RST, 1, 0, b"")]
