"""Section A of `spec/known-bugs.md`: inputs that once broke a yamux implementation, each with what ours does.

One test or a few for each entry, named and marked by its number; the story stands in its docstring.
"""

import ast
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mux_support import (
    ACK,
    DATA,
    FIN,
    PING,
    PLENTY,
    RST,
    START,
    SYN,
    UPDATE,
    WINDOW,
    Link,
    accepted,
    client,
    data,
    facts,
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

from tunnel.core import mux as core_mux
from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.mux.errors import (
    FlowControlViolated,
    FrameTooLong,
    PeerDoesNotRead,
    SessionOver,
    StreamGone,
    StreamIdsExhausted,
    WindowOverflow,
)
from tunnel.core.mux.events import StreamData
from tunnel.core.mux.session import Role, Session


@pytest.mark.bug("A1")
@pytest.mark.shows("MUX-FLOW-005")
@pytest.mark.parametrize("length", [WINDOW + 1, 1 << 20])
def test_a1_a_first_frame_beyond_the_default_window_leaves_no_half_made_stream(length: int) -> None:
    """rust-yamux panicked over the stream it had half made (CVE-2026-32314)."""
    session = server()
    assert refusal(session, header(DATA, SYN, 1, length)) == FlowControlViolated(StreamId(1), length, WINDOW)
    assert session.live_streams == 0
    assert session.on_link_lost() == []


@pytest.mark.bug("A2")
@pytest.mark.shows("MUX-FLOW-004")
def test_a2_a_window_update_that_overflows_is_refused() -> None:
    """rust-yamux panicked on the addition, others wrapped and stalled (CVE-2026-31814)."""
    session = client()
    stream = opened(session)
    assert refusal(session, update(stream, 0xFFFF_FFFF)) == WindowOverflow(stream, WINDOW, 0xFFFF_FFFF)


@pytest.mark.bug("A3")
@pytest.mark.shows("MUX-OUT-006")
@pytest.mark.parametrize("kind", ["pings", "opens"])
def test_a3_a_peer_that_never_reads_cannot_make_us_hold_answers_without_end(kind: str) -> None:
    """rust-yamux queued frames without bound (CVE-2024-32984)."""
    session = server()
    for number in range(10_000):
        frame = header(PING, SYN, 0, number) if kind == "pings" else update(2 * number + 1, 0, SYN)
        outcome = session.receive(frame, START)
        if not isinstance(outcome, Success):
            assert outcome == Failure(PeerDoesNotRead(1025, 1024))
            break
    assert session.is_over
    assert session.live_streams <= DEFAULT_LIMITS.streams_per_session_max


@pytest.mark.bug("A4")
@pytest.mark.shows("MUX-STREAM-016")
def test_a4_a_write_that_failed_ends_the_stream_so_that_the_reader_does_not_hang() -> None:
    """The frame of a timed-out write was dropped by hashicorp; the remote reader hung (GO-2025-3408)."""
    link = Link()
    ours, theirs = link.ends
    stream = opened(ours)
    hear(theirs, update(stream, 0, SYN))
    queue(ours, stream, bytes(2 * WINDOW))
    link.write(0, PLENTY)
    assert ours.queued(stream) == WINDOW
    ours.reset(stream)
    link.write(0, PLENTY)
    assert facts(link.read(1, PLENTY))[-1] == ("reset", stream)
    assert not ours.live_streams
    assert not theirs.live_streams


@pytest.mark.bug("A5")
@pytest.mark.shows("MUX-STREAM-016")
def test_a5_a_reader_that_stops_says_so_and_the_writer_past_the_window_wakes() -> None:
    """The peer FINs and stops reading: hashicorp's writer waited five minutes. Whoever stops consuming sends RST."""
    link = Link()
    ours, theirs = link.ends
    stream = opened(ours)
    hear(theirs, update(stream, 0, SYN))
    queue(ours, stream, bytes(2 * WINDOW))
    theirs.end(stream)
    link.write(0, PLENTY)
    link.write(1, PLENTY)
    assert facts(link.read(0, PLENTY)) == [("ended", stream)]
    assert ours.queued(stream) == WINDOW
    theirs.reset(stream)
    link.write(1, PLENTY)
    assert facts(link.read(0, PLENTY)) == [("reset", stream)]
    assert ours.send(stream, b"x") == Failure(StreamGone(stream))


@pytest.mark.bug("A6")
@pytest.mark.shows("MUX-STREAM-010")
def test_a6_close_then_read_the_rest_gives_all_bytes() -> None:
    """The yamux in Debian answers EOF to reads after Close and cuts responses short."""
    session = client()
    stream = opened(session)
    session.end(stream)
    assert sent(session) == [(DATA, FIN, stream, 0, b"")]
    body = bytes(range(256)) * 1000
    told = [data(stream, body[at : at + 999]) for at in range(0, len(body), 999)]
    outcome = session.receive(b"".join(told) + data(stream, b"", FIN), START)
    assert isinstance(outcome, Success)
    events = outcome.unwrap()
    assert b"".join(event.data for event in events if isinstance(event, StreamData)) == body
    assert facts(events)[-1] == ("ended", stream)


@pytest.mark.bug("A7")
@pytest.mark.shows("MUX-STREAM-015", "MUX-AWAY-004")
def test_a7_a_session_that_dies_wakes_everyone_who_waits_on_it() -> None:
    """hashicorp, py-libp2p, consul: a blocked open, write or accept slept on, once for 88 minutes."""
    session = server()
    writing, reading = accepted(session, 1), accepted(session, 3)
    queue(session, writing, bytes(2 * WINDOW))
    sent(session)
    assert facts(session.on_link_lost()) == [("reset", writing), ("reset", reading)]
    assert session.send(writing, b"x") == Failure(StreamGone(writing))
    assert session.open_stream() == Failure(SessionOver())
    assert hear(session, update(5, 0, SYN)) == []


@pytest.mark.bug("A8")
@pytest.mark.shows("MUX-STREAM-013", "MUX-STREAM-014")
@pytest.mark.parametrize("poll_every", [1, 7, 100_000])
def test_a8_opening_and_closing_before_the_ack_leaks_nothing(poll_every: int) -> None:
    """An entry for each was kept by hashicorp and go-yamux (150 MB). Nor does it ever use up the limit of streams."""
    session = client()
    for number in range(1, 100_001):
        opening = session.open_stream()
        assert isinstance(opening, Success)
        session.send(opening.unwrap(), b"preface")
        session.reset(opening.unwrap())
        if number % poll_every == 0:
            session.poll_output(PLENTY)
    assert session.live_streams == 0
    assert not session.has_output


@pytest.mark.bug("A9")
def test_a9_what_is_queued_cannot_be_changed_by_its_owner() -> None:
    """A buffer that its caller had used again was sent by hashicorp; here the type at the door is immutable."""
    source = Path(core_mux.__file__).with_name("session.py").read_text()
    (send,) = (
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef) and node.name == "send"
    )
    assert [ast.unparse(each.annotation) for each in send.args.args if each.annotation] == ["StreamId", "bytes"]


@pytest.mark.bug("A10")
@pytest.mark.shows("MUX-OUT-007")
def test_a10_a_blocked_writer_blocks_neither_frames_nor_the_end() -> None:
    """A frame handler or Close that needs what a blocked writer holds: a deadlock in hashicorp and go-yamux."""
    session = server()
    stream = accepted(session, 1)
    queue(session, stream, bytes(4 * WINDOW))
    sent(session)
    assert hear(session, data(1, b"in") + header(PING, SYN, 0, 5)) == [("data", 1, b"in")]
    assert sent(session) == [(PING, ACK, 0, 5, b"")]
    session.go_away(2)
    assert session.is_over
    assert facts(session.on_link_lost()) == [("reset", 1)]


@pytest.mark.bug("A11")
@pytest.mark.shows("MUX-FRAME-008")
@pytest.mark.parametrize("ending", [header(3, 0, 0, 0), header(3, 0, 0, 1), header(9, 0, 0, 0)])
def test_a11_data_followed_at_once_by_the_end_is_delivered(ending: bytes) -> None:
    """Data or EOF with the close right behind them were lost by hashicorp and rust-yamux."""
    session = server()
    accepted(session, 1)
    outcome = session.receive(data(1, b"last words", FIN) + ending, START)
    events = outcome.unwrap() if isinstance(outcome, Success) else []
    told = facts(events + session.on_link_lost())
    assert told[:2] == [("data", 1, b"last words"), ("ended", 1)]


@pytest.mark.bug("A12")
@pytest.mark.shows("MUX-STREAM-012")
def test_a12_frames_for_a_stream_just_dropped_are_not_answered() -> None:
    """rust-yamux reset finished streams over late frames."""
    session = server()
    stream = accepted(session, 1)
    session.reset(stream)
    sent(session)
    assert hear(session, data(1, b"in flight") + update(1, 99) + data(1, b"", FIN) + update(1, 0, RST)) == []
    assert not session.has_output


@pytest.mark.bug("A13")
@pytest.mark.shows("MUX-FLOW-001", "MUX-FLOW-003")
def test_a13_the_delta_on_syn_is_added_to_262144() -> None:
    """rust-yamux took it as the whole window; one port began at 256,000."""
    session = server()
    hear(session, update(1, 10, SYN))
    queue(session, StreamId(1), bytes(WINDOW + 11))
    assert sum(length for kind, _, _, length, _ in sent(session) if kind == DATA) == 262_154


@pytest.mark.bug("A14")
@pytest.mark.shows("MUX-FRAME-009", "MUX-FLOW-002")
def test_a14_a_write_beyond_window_and_frame_limit_is_split_and_goes_on_with_each_update() -> None:
    """jvm-libp2p and kagome sent it whole or stopped for good."""
    session = client()
    stream = opened(session)
    body = bytes(range(251)) * 3000
    queue(session, stream, body)
    arrived = b""
    while len(arrived) < len(body):
        frames = sent(session)
        assert frames
        assert max(length for _, _, _, length, _ in frames) <= 16_384
        arrived += b"".join(payload for _, _, _, _, payload in frames)
        hear(session, update(stream, 70_000))
    assert arrived == body


@pytest.mark.bug("A15")
@pytest.mark.shows("MUX-STREAM-009")
@pytest.mark.parametrize("kind", [DATA, UPDATE])
@pytest.mark.parametrize(("flag", "name"), [(FIN, "ended"), (RST, "reset")])
def test_a15_fin_and_rst_count_on_either_kind_of_frame(kind: int, flag: int, name: str) -> None:
    """py-libp2p and yamux-js looked for them on one kind only."""
    session = server()
    accepted(session, 1)
    assert hear(session, header(kind, flag, 1, 0)) == [(name, 1)]


@pytest.mark.bug("A16")
@pytest.mark.shows("MUX-OUT-004")
@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=40))
def test_a16_frames_never_interleave(rooms: list[int]) -> None:
    """py-libp2p let two tasks write at once; here there is one writer, and each thing it is given is whole frames."""
    session = server(Limits(frame_bytes_sent_max=50))
    for stream in (1, 3, 5):
        accepted(session, stream)
        queue(session, StreamId(stream), bytes([stream]) * 300)
    for number, room in enumerate(rooms):
        hear(session, header(PING, SYN, 0, number))
        for _, _, stream, length, payload in frames_of(session.poll_output(room)):
            assert payload == bytes([stream]) * len(payload)
            assert len(payload) in {0, length}


@pytest.mark.bug("A17")
@pytest.mark.shows("MUX-FLOW-006")
def test_a17_no_credit_before_the_reader_has_taken_the_bytes() -> None:
    """rust-yamux granted credit on arrival, which switches back-pressure off."""
    session = server()
    stream = accepted(session, 1)
    hear(session, data(1, bytes(WINDOW)))
    session.return_credit(stream, 1, START)
    assert not session.has_output
    session.return_credit(stream, WINDOW - 1, START)
    assert sent(session) == [(UPDATE, 0, 1, WINDOW, b"")]


@pytest.mark.bug("A17")
@pytest.mark.shows("MUX-OUT-007")
def test_a17_two_ends_that_fill_each_others_windows_do_not_deadlock() -> None:
    """libp2p: each end waited to write a window update before it read the other's."""
    link = Link()
    streams = [opened(link.ends[0]) for _ in range(2)]
    hear(link.ends[1], b"".join(update(stream, 0, SYN) for stream in streams))
    for end in link.ends:
        for stream in streams:
            queue(end, stream, bytes(5 * WINDOW))
    arrived = [0, 0]
    for _ in range(1000):
        moved = link.write(0, 65_536) + link.write(1, 65_536)
        for side in (0, 1):
            for event in link.read(side, 65_536):
                if isinstance(event, StreamData):
                    arrived[side] += len(event.data)
                    link.ends[side].return_credit(event.stream, len(event.data), START)
        if not moved:
            break
    assert arrived == [10 * WINDOW, 10 * WINDOW]


@pytest.mark.bug("A18")
@pytest.mark.shows("MUX-OUT-001", "MUX-PING-001")
def test_a18_a_ping_behind_a_big_write_is_answered_first() -> None:
    """go-yamux answered after all of it."""
    session = server()
    stream = accepted(session, 1)
    queue(session, stream, bytes(WINDOW))
    sent(session, 65_536)
    hear(session, header(PING, SYN, 0, 9))
    assert sent(session, 65_536)[0] == (PING, ACK, 0, 9, b"")


@pytest.mark.bug("A19")
@pytest.mark.shows("MUX-STREAM-008")
def test_a19_streams_of_the_peer_are_bounded_and_the_rest_is_refused() -> None:
    """300 SYNs at once: ACK up to the limit, RST for the rest (CVE-2022-23492)."""
    session = server(Limits(streams_per_session_max=256))
    wire = b"".join(update(stream, 0, SYN) for stream in range(1, 601, 2))
    assert len(hear(session, wire)) == 256
    assert session.live_streams == 256
    answers = sent(session)
    assert [stream for _, flags, stream, _, _ in answers if flags == RST] == list(range(513, 601, 2))
    assert [stream for _, flags, stream, _, _ in answers if flags == ACK] == list(range(1, 513, 2))


@pytest.mark.bug("A20")
@pytest.mark.shows("MUX-STREAM-003", "MUX-STREAM-004")
def test_a20_a_missing_ack_ends_nothing_and_ours_is_never_missing() -> None:
    """The whole session of hashicorp ends 75 s after a SYN without ACK, even while data flows."""
    session = client()
    stream = opened(session)
    for seconds in range(1, 200):
        now = Instant(START + seconds)
        assert hear(session, data(stream, b"."), now) == [("data", stream, b".")]
        assert session.on_time(now) == Success(None)
    accepted(server(), 1)


@pytest.mark.bug("A21")
@pytest.mark.shows("MUX-FLOW-006")
def test_a21_no_update_changes_what_is_accounted() -> None:
    """go-yamux granted on a forced update what it granted again later."""
    session = server()
    stream = accepted(session, 1)
    granted = WINDOW
    arrived = 0
    for size in (1, WINDOW // 2, 7, WINDOW // 2 - 8, WINDOW // 2 + 1, 100):
        hear(session, data(1, bytes(size)))
        arrived += size
        session.return_credit(stream, size, START)
        granted += sum(delta for kind, _, _, delta, _ in sent(session) if kind == UPDATE)
        assert arrived <= granted <= arrived + WINDOW


@pytest.mark.bug("A22")
@pytest.mark.shows("MUX-OUT-007")
def test_a22_one_stalled_reader_leaves_99_others_unaffected() -> None:
    """One consumer stops; the bytes of all others pass at full speed, in both directions."""
    session = server()
    streams = [accepted(session, number) for number in range(1, 201, 2)]
    stalled, others = streams[0], streams[1:]
    hear(session, data(stalled, bytes(WINDOW)))
    queue(session, stalled, bytes(2 * WINDOW))
    sent(session)
    for _ in range(3):
        for stream in others:
            assert hear(session, data(stream, bytes(1000))) == [("data", stream, bytes(1000))]
            session.return_credit(stream, 1000, START)
            queue(session, stream, b"answer")
        assert [stream for kind, _, stream, _, _ in sent(session) if kind == DATA] == others


@pytest.mark.bug("A22")
@pytest.mark.shows("MUX-FRAME-003")
def test_a22_a_frame_of_4_gib_for_an_unknown_stream_is_refused_by_its_header() -> None:
    """All 4 GiB of it are read and dropped by hashicorp."""
    assert refusal(server(), header(DATA, 0, 7, 0xFFFF_FFFF)) == FrameTooLong(7, 0xFFFF_FFFF, 1 << 24)


@pytest.mark.bug("A23")
@pytest.mark.shows("MUX-OUT-004", "MUX-FRAME-006")
@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1), st.lists(st.integers(13, 90), min_size=1))
def test_a23_a_transport_that_takes_and_gives_little_loses_nothing(takes: list[int], rooms: list[int]) -> None:
    """rust-yamux panicked when a write was short or claimed more than was asked."""
    link = Link(Limits(frame_bytes_sent_max=32))
    ours, theirs = link.ends
    stream = opened(ours)
    hear(theirs, update(stream, 0, SYN))
    body = bytes(range(200))
    queue(ours, stream, body)
    arrived = b""
    for number in count():
        link.write(0, rooms[number % len(rooms)])
        events = link.read(1, takes[number % len(takes)])
        arrived += b"".join(event.data for event in events if isinstance(event, StreamData))
        if not link.wires[0] and not ours.has_output:
            break
    assert arrived == body


@pytest.mark.bug("A24")
@pytest.mark.shows("MUX-STREAM-001")
def test_a24_when_the_ids_run_out_nothing_wraps() -> None:
    """2^31 opens on one session; a second stream 1 would have met the first."""
    session = Session(Role.CLIENT, DEFAULT_LIMITS, START, first_id=0xFFFF_FFFD)
    assert [opened(session), opened(session)] == [0xFFFF_FFFD, 0xFFFF_FFFF]
    assert session.open_stream() == Failure(StreamIdsExhausted(0xFFFF_FFFF))
    session.go_away(0)
    assert session.live_streams == 2
    assert hear(session, data(0xFFFF_FFFF, b"old streams go on")) == [("data", 0xFFFF_FFFF, b"old streams go on")]
