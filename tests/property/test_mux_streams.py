"""The life of a stream, one named example for each thing that the specification or `spec/wire.md` says of it."""

import pytest
from mux_support import (
    ACK,
    DATA,
    FIN,
    PLENTY,
    RST,
    START,
    SYN,
    UPDATE,
    accepted,
    client,
    data,
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
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.mux.errors import (
    SessionDraining,
    SessionOver,
    StreamGone,
    StreamIdsExhausted,
    StreamLimitReached,
    StreamReopened,
    WrongParity,
)
from tunnel.core.mux.session import Role, Session

FOUR = Limits(streams_per_session_max=4)


@pytest.mark.shows("MUX-STREAM-001")
def test_the_client_opens_odd_streams_and_the_server_even_ones() -> None:
    ours, theirs = client(), server()
    assert [opened(ours) for _ in range(3)] == [1, 3, 5]
    assert [opened(theirs) for _ in range(3)] == [2, 4, 6]


@pytest.mark.shows("MUX-STREAM-001")
@pytest.mark.parametrize(("role", "last"), [(Role.CLIENT, 0xFFFF_FFFF), (Role.SERVER, 0xFFFF_FFFE)])
def test_the_last_id_is_used_and_none_after_it(role: Role, last: int) -> None:
    session = Session(role, Limits(), START, first_id=last - 2)
    assert [opened(session), opened(session)] == [last - 2, last]
    assert session.open_stream() == Failure(StreamIdsExhausted(0xFFFF_FFFF))
    session.reset(StreamId(last))
    assert session.open_stream() == Failure(StreamIdsExhausted(0xFFFF_FFFF))


@pytest.mark.shows("MUX-STREAM-002", "MUX-OUT-001")
def test_the_syn_leaves_before_data_even_when_there_is_room_for_little() -> None:
    session = client()
    assert session.open_stream() == Success(1)
    queue(session, StreamId(1), b"hello")
    assert sent(session, 11) == []
    assert sent(session, 23) == [(UPDATE, SYN, 1, 0, b"")]
    assert sent(session, 17) == [(DATA, 0, 1, 5, b"hello")]


@pytest.mark.shows("MUX-STREAM-003")
def test_an_accepted_stream_is_acknowledged_at_once() -> None:
    accepted(server(), 1)


@pytest.mark.shows("MUX-STREAM-004")
def test_a_stream_works_without_an_ack() -> None:
    session = client()
    stream = opened(session)
    assert hear(session, data(stream, b"unacknowledged", FIN)) == [("data", 1, b"unacknowledged"), ("ended", 1)]
    queue(session, stream, b"ours")
    session.end(stream)
    assert sent(session) == [(DATA, 0, 1, 4, b"ours"), (DATA, FIN, 1, 0, b"")]
    assert session.live_streams == 0


@pytest.mark.shows("MUX-STREAM-005")
def test_data_with_syn_and_fin_opens_delivers_and_ends() -> None:
    session = server()
    assert hear(session, data(1, b"all of it", SYN | FIN)) == [("opened", 1), ("data", 1, b"all of it"), ("ended", 1)]
    assert sent(session) == [(UPDATE, ACK, 1, 0, b"")]


@pytest.mark.shows("MUX-STREAM-005")
def test_a_window_update_with_syn_and_fin_opens_and_ends() -> None:
    assert hear(server(), update(1, 0, SYN | FIN)) == [("opened", 1), ("ended", 1)]


@pytest.mark.shows("MUX-STREAM-006")
@pytest.mark.parametrize("frame", [update(2, 0, SYN), data(2, b"x", SYN)], ids=["window update", "data"])
def test_a_syn_of_our_parity_ends_the_session(frame: bytes) -> None:
    session = server()
    assert refusal(session, frame) == WrongParity(StreamId(2))
    assert session.live_streams == 0
    assert refusal(client(), update(1, 0, SYN)) == WrongParity(StreamId(1))


@pytest.mark.shows("MUX-STREAM-006")
@pytest.mark.parametrize("frame", [update(1, 0, SYN), data(1, b"x", SYN)], ids=["window update", "data"])
def test_a_second_syn_of_an_open_stream_ends_the_session(frame: bytes) -> None:
    session = server()
    accepted(session, 1)
    assert refusal(session, frame) == StreamReopened(StreamId(1))


@pytest.mark.shows("MUX-STREAM-007")
def test_lower_ids_and_ids_of_closed_streams_are_accepted() -> None:
    session = server()
    accepted(session, 9)
    accepted(session, 3)
    session.reset(StreamId(9))
    assert sent(session) == [(UPDATE, RST, 9, 0, b"")]
    accepted(session, 9)


@pytest.mark.shows("MUX-STREAM-008")
def test_streams_above_the_limit_are_refused_and_the_others_go_on() -> None:
    session = server(FOUR)
    for stream in (1, 3, 5, 7):
        accepted(session, stream)
    assert hear(session, data(9, b"dropped", SYN) + data(9, b"dropped too") + data(7, b"kept")) == [
        ("data", 7, b"kept")
    ]
    assert sent(session) == [(UPDATE, RST, 9, 0, b"")]
    assert session.live_streams == 4
    assert session.open_stream() == Failure(StreamLimitReached(4))


@pytest.mark.shows("MUX-STREAM-008")
def test_a_stream_counts_as_open_until_its_reset_has_left() -> None:
    session = server(FOUR)
    for stream in (1, 3, 5, 7):
        accepted(session, stream)
    session.reset(StreamId(5))
    assert session.live_streams == 3
    assert session.open_stream() == Failure(StreamLimitReached(4))
    assert hear(session, update(9, 0, SYN)) == []
    assert sent(session) == [(UPDATE, RST, 9, 0, b""), (UPDATE, RST, 5, 0, b"")]
    accepted(session, 9)


@pytest.mark.shows("MUX-STREAM-009")
@pytest.mark.parametrize("ending", [data(1, b"", FIN), update(1, 0, FIN)], ids=["data", "window update"])
def test_fin_ends_the_peers_direction_only(ending: bytes) -> None:
    session = server()
    stream = accepted(session, 1)
    assert hear(session, ending) == [("ended", 1)]
    queue(session, stream, b"still here")
    assert sent(session) == [(DATA, 0, 1, 10, b"still here")]
    assert session.live_streams == 1


@pytest.mark.shows("MUX-STREAM-009", "MUX-STREAM-013")
@pytest.mark.parametrize(
    "ending", [data(1, b"dropped", RST), update(1, 7, RST), data(1, b"", RST | FIN)], ids=["data", "update", "with FIN"]
)
def test_rst_breaks_the_stream_at_once(ending: bytes) -> None:
    session = server()
    stream = accepted(session, 1)
    queue(session, stream, b"never sent")
    assert hear(session, data(1, b"first") + ending) == [("data", 1, b"first"), ("reset", 1)]
    assert session.live_streams == session.unread == session.queued(stream) == 0
    assert not session.has_output
    assert session.send(stream, b"x") == Failure(StreamGone(stream))


@pytest.mark.shows("MUX-STREAM-010", "MUX-STREAM-013")
def test_after_our_fin_everything_of_the_peer_still_arrives() -> None:
    session = server()
    stream = accepted(session, 1)
    session.end(stream)
    session.end(stream)
    assert sent(session) == [(DATA, FIN, 1, 0, b"")]
    assert hear(session, data(1, b"rest")) == [("data", 1, b"rest")]
    assert session.send(stream, b"x") == Failure(StreamGone(stream))
    session.end(stream)
    assert sent(session) == []
    assert hear(session, data(1, b"!", FIN)) == [("data", 1, b"!"), ("ended", 1)]
    assert session.live_streams == session.unread == 0


@pytest.mark.shows("MUX-STREAM-011")
@pytest.mark.parametrize(
    "more",
    [data(1, b"", FIN), update(1, 0, FIN), data(1, b"late"), data(1, b"late", FIN)],
    ids=["FIN on data", "FIN on window update", "data", "data with FIN"],
)
def test_whatever_follows_fin_breaks_that_stream_and_no_other(more: bytes) -> None:
    session = server()
    accepted(session, 1)
    accepted(session, 3)
    assert hear(session, data(1, b"", FIN) + more + data(3, b"fine")) == [
        ("ended", 1),
        ("reset", 1),
        ("data", 3, b"fine"),
    ]
    assert sent(session) == [(UPDATE, RST, 1, 0, b"")]
    assert session.violations == 1


@pytest.mark.shows("MUX-STREAM-011")
def test_an_empty_frame_and_a_window_update_after_fin_are_no_breach() -> None:
    session = server()
    accepted(session, 1)
    assert hear(session, update(1, 0, FIN) + data(1, b"") + update(1, 5)) == [("ended", 1)]
    assert not session.has_output
    assert session.violations == 0


@pytest.mark.shows("MUX-STREAM-012")
@pytest.mark.parametrize("flags", [0, ACK, FIN, RST])
def test_frames_for_unknown_streams_are_ignored(flags: int) -> None:
    session = server()
    accepted(session, 1)
    noise = data(7, b"payload", flags) + update(7, 9, flags) + data(2, b"ours, never opened", flags)
    assert hear(session, noise + data(1, b"next")) == [("data", 1, b"next")]
    assert not session.has_output
    assert session.live_streams == 1


@pytest.mark.shows("MUX-STREAM-012")
def test_the_rest_of_a_frame_whose_stream_was_reset_is_drained() -> None:
    session = server()
    stream = accepted(session, 1)
    frame = data(1, b"0123456789", FIN)
    assert hear(session, frame[:15]) == [("data", 1, b"012")]
    session.reset(stream)
    assert hear(session, frame[15:] + update(3, 0, SYN)) == [("opened", 3)]
    assert session.unread == 0


@pytest.mark.shows("MUX-STREAM-013")
def test_a_stream_closed_by_both_sides_leaves_nothing_behind() -> None:
    session = server()
    stream = accepted(session, 1)
    hear(session, data(1, bytes(200_000), FIN))
    session.return_credit(stream, 10, START)
    queue(session, stream, b"bye")
    session.end(stream)
    assert session.live_streams == 1
    assert sent(session) == [(DATA, 0, 1, 3, b"bye"), (DATA, FIN, 1, 0, b"")]
    assert session.live_streams == session.unread == session.queued(stream) == 0
    session.return_credit(stream, 199_990, START)
    session.reset(stream)
    assert session.unread == 0
    assert not session.has_output


@pytest.mark.shows("MUX-STREAM-013")
def test_a_stream_that_closes_with_a_window_update_waiting_sends_none() -> None:
    session = server()
    stream = accepted(session, 1)
    session.end(stream)
    sent(session)
    hear(session, data(1, bytes(200_000)))
    session.return_credit(stream, 200_000, START)
    assert session.has_output
    assert hear(session, data(1, b"", FIN)) == [("ended", 1)]
    assert not session.has_output


@pytest.mark.shows("MUX-STREAM-014")
def test_a_stream_opened_and_reset_in_one_breath_is_never_mentioned() -> None:
    session = client()
    assert session.open_stream() == Success(1)
    queue(session, StreamId(1), b"never")
    session.end(StreamId(1))
    session.reset(StreamId(1))
    assert not session.has_output
    assert session.live_streams == 0
    assert opened(session) == 3


@pytest.mark.shows("MUX-STREAM-014")
def test_a_stream_accepted_and_reset_in_one_breath_gets_rst_without_ack() -> None:
    session = server()
    assert hear(session, update(1, 0, SYN)) == [("opened", 1)]
    session.reset(StreamId(1))
    session.reset(StreamId(1))
    assert sent(session) == [(UPDATE, RST, 1, 0, b"")]


@pytest.mark.shows("MUX-STREAM-016")
def test_a_reset_drops_the_queue_and_overtakes_other_streams() -> None:
    session = server()
    one, three = accepted(session, 1), accepted(session, 3)
    queue(session, three, b"other")
    queue(session, one, bytes(400_000))
    session.poll_output(100)
    session.reset(one)
    assert session.queued(one) == 0
    assert sent(session)[0] == (UPDATE, RST, 1, 0, b"")


def test_commands_for_streams_that_never_were_do_nothing() -> None:
    session = server()
    ghost = StreamId(77)
    assert session.send(ghost, b"x") == Failure(StreamGone(ghost))
    session.end(ghost)
    session.reset(ghost)
    session.return_credit(ghost, 5, START)
    assert session.queued(ghost) == 0
    assert not session.has_output


def test_sending_nothing_queues_nothing() -> None:
    session = server()
    stream = accepted(session, 1)
    assert queue(session, stream, b"") == 0
    assert not session.has_output
    assert queue(session, stream, b"ab") == 2
    assert queue(session, stream, b"c") == 3
    assert session.queued(stream) == 3


def test_no_stream_opens_on_a_session_that_is_over_or_draining() -> None:
    session = client()
    session.go_away(0)
    assert session.open_stream() == Failure(SessionDraining())
    session.on_link_lost()
    assert session.open_stream() == Failure(SessionOver())
    assert session.poll_output(PLENTY) == b""
