"""Flow control of whole sessions: what may be sent, what may be received, and who is told of credit when."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mux_support import (
    ACK,
    DATA,
    FIN,
    RST,
    START,
    SYN,
    UPDATE,
    WINDOW,
    accepted,
    client,
    data,
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
from tunnel.core.base.outcome import Success
from tunnel.core.mux.errors import FlowControlViolated, FrameTooLong, WindowOverflow


def payload_bytes(frames: list[tuple[int, int, int, int, bytes]]) -> int:
    return sum(length for kind, _, _, length, _ in frames if kind == DATA)


@pytest.mark.shows("MUX-FLOW-001", "MUX-FLOW-002", "MUX-FRAME-009")
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3 * WINDOW), max_size=5))
def test_we_send_exactly_what_the_window_allows(deltas: list[int]) -> None:
    session = client()
    stream = opened(session)
    total = 5 * WINDOW
    queue(session, stream, bytes(total))
    frames = sent(session)
    allowed = WINDOW
    assert payload_bytes(frames) == min(total, allowed)
    for delta in deltas:
        allowed += delta
        hear(session, update(stream, delta))
        frames += sent(session)
        assert payload_bytes(frames) == min(total, allowed)
        assert session.queued(stream) == total - min(total, allowed)
    assert max(length for _, _, _, length, _ in frames) <= Limits().frame_bytes_sent_max


@pytest.mark.shows("MUX-FLOW-002")
def test_fin_and_rst_need_no_window() -> None:
    session = client()
    one, three = opened(session), opened(session)
    for stream in (one, three):
        queue(session, stream, bytes(WINDOW))
    sent(session)
    session.end(one)
    session.reset(three)
    assert sent(session) == [(UPDATE, RST, 3, 0, b""), (DATA, FIN, 1, 0, b"")]


@pytest.mark.shows("MUX-FLOW-003")
def test_a_delta_on_syn_is_added_to_the_initial_window() -> None:
    session = server()
    assert hear(session, update(1, 1000, SYN)) == [("opened", 1)]
    queue(session, StreamId(1), bytes(2 * WINDOW))
    assert payload_bytes(sent(session)) == WINDOW + 1000


@pytest.mark.shows("MUX-FLOW-003")
def test_a_delta_on_ack_is_added_to_the_initial_window() -> None:
    session = client()
    stream = opened(session)
    hear(session, update(stream, 1000, ACK))
    queue(session, stream, bytes(2 * WINDOW))
    assert payload_bytes(sent(session)) == WINDOW + 1000


@pytest.mark.shows("MUX-FLOW-004")
def test_a_window_beyond_32_bits_ends_the_session() -> None:
    session = server()
    accepted(session, 1)
    hear(session, update(1, 0xFFFF_FFFF - WINDOW))
    assert refusal(session, update(1, 1)) == WindowOverflow(StreamId(1), 0xFFFF_FFFF, 1)


@pytest.mark.shows("MUX-FLOW-004")
def test_a_window_beyond_32_bits_on_syn_ends_the_session() -> None:
    assert refusal(server(), update(1, 0xFFFF_FFFF, SYN)) == WindowOverflow(StreamId(1), WINDOW, 0xFFFF_FFFF)


@pytest.mark.shows("MUX-FLOW-001", "MUX-FLOW-005")
@pytest.mark.parametrize("cut", [1, 12, 4096, 1 << 20], ids=str)
def test_the_whole_window_may_be_used_and_not_one_byte_more(cut: int) -> None:
    session = server()
    accepted(session, 1)
    wire = data(1, bytes(WINDOW - 1)) + data(1, b"x")
    if cut > 1:
        for at in range(0, len(wire), cut):
            hear(session, wire[at : at + cut])
    else:
        hear(session, wire)
    assert session.unread == WINDOW
    assert refusal(session, header(DATA, 0, 1, 1)) == FlowControlViolated(StreamId(1), 1, 0)


@pytest.mark.shows("MUX-FLOW-005")
def test_data_beyond_the_window_is_refused_from_its_header() -> None:
    session = server()
    accepted(session, 1)
    hear(session, data(1, bytes(WINDOW - 9)))
    assert refusal(session, header(DATA, 0, 1, 10)) == FlowControlViolated(StreamId(1), 10, 9)


@pytest.mark.shows("MUX-FLOW-005")
def test_a_first_frame_beyond_the_window_makes_no_stream() -> None:
    session = server()
    assert refusal(session, header(DATA, SYN, 1, WINDOW + 1)) == FlowControlViolated(StreamId(1), WINDOW + 1, WINDOW)
    assert session.live_streams == 0
    assert session.take_events() == []


@pytest.mark.shows("MUX-FLOW-005")
def test_a_first_frame_of_the_whole_window_is_taken() -> None:
    session = server()
    assert hear(session, data(1, bytes(WINDOW), SYN)) == [("opened", 1), ("data", 1, bytes(WINDOW))]


@pytest.mark.shows("MUX-FRAME-003")
def test_a_frame_beyond_the_frame_limit_is_refused_on_any_stream() -> None:
    assert refusal(server(), header(DATA, 0, 99, 1 << 25)) == FrameTooLong(99, 1 << 25, 1 << 24)


@pytest.mark.shows("MUX-FRAME-003", "MUX-FLOW-005")
def test_a_whole_window_is_taken_in_one_frame_however_far_it_has_grown() -> None:
    """@libp2p/yamux fills what it is granted with one frame; a window beyond the frame limit would be a trap for it."""
    widest = Limits().stream_window_bytes_max
    session = server(Limits(stream_window_bytes=widest))
    assert hear(session, update(1, 0, SYN)) == [("opened", 1)]
    assert sent(session, 12) == [(UPDATE, ACK, 1, widest - WINDOW, b"")]
    assert hear(session, header(DATA, 0, 1, widest) + b"the first of them") == [("data", 1, b"the first of them")]
    assert isinstance(refusal(session, bytes(widest - 17) + data(1, b"x")), FlowControlViolated)


@pytest.mark.shows("MUX-FLOW-006", "MUX-FLOW-007")
def test_credit_is_granted_when_bytes_have_left_and_half_a_window_is_owed() -> None:
    session = server()
    stream = accepted(session, 1)
    hear(session, data(1, bytes(WINDOW)))
    assert not session.has_output
    session.return_credit(stream, WINDOW // 2 - 1, START)
    assert not session.has_output
    session.return_credit(stream, 1, START)
    session.return_credit(stream, 5, START)
    assert session.unread == WINDOW // 2 - 5
    assert sent(session) == [(UPDATE, 0, 1, WINDOW // 2 + 5, b"")]
    hear(session, data(1, bytes(WINDOW // 2 + 5)))
    assert refusal(session, data(1, b"x")) == FlowControlViolated(StreamId(1), 1, 0)


@pytest.mark.shows("MUX-FLOW-006")
def test_credit_that_was_never_received_cannot_be_returned() -> None:
    session = server()
    stream = accepted(session, 1)
    hear(session, data(1, bytes(10)))
    session.return_credit(stream, 10 * WINDOW, START)
    session.return_credit(stream, -1, START)
    assert session.unread == 0
    hear(session, data(1, bytes(WINDOW - 10)))
    session.return_credit(stream, 10 * WINDOW, START)
    assert sent(session) == [(UPDATE, 0, 1, WINDOW, b"")]


@pytest.mark.shows("MUX-FLOW-007")
def test_a_peer_that_has_ended_is_granted_nothing() -> None:
    session = server()
    stream = accepted(session, 1)
    hear(session, data(1, bytes(WINDOW), FIN))
    session.return_credit(stream, WINDOW, START)
    assert session.unread == 0
    assert not session.has_output


@pytest.mark.shows("MUX-FLOW-008")
def test_a_wider_window_is_granted_with_syn_and_with_ack() -> None:
    wide = Limits(stream_window_bytes=WINDOW + 5000)
    opener, accepter = client(wide), server(wide)
    assert opener.open_stream() == Success(1)
    assert sent(opener) == [(UPDATE, SYN, 1, 5000, b"")]
    hear(accepter, update(1, 0, SYN))
    assert sent(accepter) == [(UPDATE, ACK, 1, 5000, b"")]
    hear(accepter, data(1, bytes(WINDOW + 5000)))
    assert refusal(accepter, data(1, b"x")) == FlowControlViolated(StreamId(1), 1, 0)


@pytest.mark.shows("MUX-FLOW-008")
def test_until_the_ack_has_left_the_window_is_the_initial_one() -> None:
    session = server(Limits(stream_window_bytes=2 * WINDOW))
    hear(session, update(1, 0, SYN))
    hear(session, data(1, bytes(WINDOW)))
    assert refusal(session, data(1, b"x")) == FlowControlViolated(StreamId(1), 1, 0)


@pytest.mark.shows("MUX-FLOW-008")
def test_a_narrower_window_is_the_initial_one() -> None:
    session = server(Limits(stream_window_bytes=1000))
    accepted(session, 1)
    hear(session, data(1, bytes(WINDOW)))
    session.return_credit(StreamId(1), WINDOW, START)
    assert sent(session) == [(UPDATE, 0, 1, WINDOW, b"")]


@pytest.mark.shows("MUX-FLOW-009")
def test_the_stream_that_holds_most_is_reset_when_the_session_holds_too_much() -> None:
    session = server(Limits(session_buffer_bytes_max=1000))
    for stream in (1, 3, 5):
        accepted(session, stream)
    told = hear(session, data(1, bytes(300)) + data(3, bytes(500)) + data(5, bytes(200)))
    assert ("reset", 3) not in told
    assert session.unread == 1000
    assert hear(session, data(5, b"x")) == [("data", 5, b"x"), ("reset", 3)]
    assert sent(session) == [(UPDATE, RST, 3, 0, b"")]
    assert session.unread == 501
    assert session.live_streams == 2
    assert hear(session, data(3, b"late") + data(1, b"fine")) == [("data", 1, b"fine")]


@pytest.mark.shows("MUX-FLOW-009")
def test_bytes_that_were_taken_do_not_count() -> None:
    session = server(Limits(session_buffer_bytes_max=1000))
    stream = accepted(session, 1)
    for _ in range(10):
        hear(session, data(1, bytes(900)))
        session.return_credit(stream, 900, START)
    assert session.live_streams == 1


@pytest.mark.shows("MUX-FLOW-009", "MUX-STREAM-013")
def test_bytes_of_a_closed_stream_do_not_count() -> None:
    session = server(Limits(session_buffer_bytes_max=1000))
    stream = accepted(session, 1)
    session.end(stream)
    sent(session)
    assert hear(session, data(1, bytes(1001), FIN))[-1] == ("ended", 1)
    assert session.unread == 0
    assert not session.has_output
