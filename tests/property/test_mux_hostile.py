"""A session whose peer sends anything at all: it never raises, ends with GOAWAY 1 or lives, and stays small."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mux_support import AWAY, DATA, PING, PLENTY, SYN, UPDATE, frames_of, header, joined, sent, server

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.mux.errors import describe
from tunnel.core.mux.events import Event
from tunnel.core.mux.session import Session

LIMITS = Limits(
    frame_bytes_max=300,
    session_buffer_bytes_max=1000,
    streams_per_session_max=4,
    control_frames_max=8,
    stream_queue_bytes=100,
)
LENGTHS = st.one_of(st.integers(0, 40), st.sampled_from([299, 300, 301, 262_144, 262_145, 0xFFFF_FFFF]))
STREAMS = st.one_of(st.integers(1, 9), st.sampled_from([0, 0xFFFF_FFFE, 0xFFFF_FFFF]))
FLAGS = st.one_of(st.sampled_from([0, 0, 0, 1, 1, 2, 4, 8, 5]), st.integers(0, 0xFFFF))
ODD_FRAMES = st.builds(header, st.sampled_from([0, 0, 0, 1, 1, 1, 2, 3, 4]), FLAGS, STREAMS, LENGTHS)
SOUND_FRAMES = st.one_of(
    st.builds(lambda stream, flags, payload: header(DATA, flags, stream, len(payload)) + payload,
              st.sampled_from([1, 3, 5, 7]), FLAGS, st.binary(max_size=300)),
    st.builds(header, st.just(UPDATE), FLAGS, st.sampled_from([1, 3, 5, 7, 9, 11]), st.integers(0, 99)),
    st.builds(header, st.just(PING), st.sampled_from([1, 2]), st.just(0), st.integers(0, 5)),
    st.builds(header, st.just(AWAY), st.just(0), st.just(0), st.integers(0, 2)),
    st.builds(header, st.just(UPDATE), st.just(SYN), st.integers(1, 30), st.just(0)),
)  # fmt: skip
WIRES = st.lists(st.one_of(SOUND_FRAMES, SOUND_FRAMES, SOUND_FRAMES, ODD_FRAMES, st.binary(max_size=15)), max_size=25)
COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["open", "send", "end", "reset", "return", "away", "ping", "time", "poll"]),
        st.integers(1, 9),
        st.integers(0, 300),
    ),
    max_size=25,
)


def act(session: Session, command: str, stream: StreamId, number: int) -> None:
    now = Instant(session.heard_at + number / 30)
    match command:
        case "open":
            session.open_stream()
        case "send":
            session.send(stream, bytes(number))
        case "end":
            session.end(stream)
        case "reset":
            session.reset(stream)
        case "return":
            session.return_credit(stream, number, now)
        case "away":
            session.go_away(number // 100)
        case "ping":
            session.ping(now)
        case "time":
            session.on_time(now)
        case _:
            frames_of(session.poll_output(number))


def check_bounds(session: Session) -> None:
    assert session.live_streams <= LIMITS.streams_per_session_max
    assert session.unread <= LIMITS.session_buffer_bytes_max
    assert session.next_deadline() > session.heard_at
    assert not (session.is_over and session.live_streams and session.queued(StreamId(1)))


@pytest.mark.shows("MUX-FRAME-008", "MUX-AWAY-003", "MUX-AWAY-004", "MUX-FLOW-009")
@settings(max_examples=400, deadline=None)
@given(WIRES, COMMANDS)
@example([header(UPDATE, SYN, 1, 0xFFFC_0000), header(DATA, 0, 1, 0)], [])  # opened, then too wide, in one read
def test_nothing_a_peer_sends_raises_or_grows_without_bound(
    wires: list[bytes], commands: list[tuple[str, int, int]]
) -> None:
    session = server(LIMITS)
    for number, wire in enumerate(wires):
        was_over = session.is_over
        outcome = session.receive(wire, Instant(session.heard_at + 1))
        if not isinstance(outcome, Success):
            assert not was_over
            assert session.is_over
            assert describe(error_of(outcome))
            assert sent(session) == [(AWAY, 0, 0, 1, b"")]
            session.take_events()  # what came before the bad frame in the same read
        elif was_over:
            assert value_of(outcome) == []
        check_bounds(session)
        for command, stream, amount in commands[number : number + 1]:
            act(session, command, StreamId(stream), amount)
            check_bounds(session)
    lost = session.live_streams
    session.take_events()
    assert len(session.on_link_lost()) == lost
    assert session.poll_output(PLENTY) == b""


def everything(session: Session, chunks: list[bytes]) -> tuple[list[Event], str, bytes]:
    """All events, the error if one ended the session, and all output after it."""
    events: list[Event] = []
    error = ""
    for chunk in chunks:
        outcome = session.receive(chunk, session.heard_at)
        if isinstance(outcome, Success):
            events += value_of(outcome)
        else:
            error = describe(error_of(outcome))
    return events + session.take_events(), error, session.poll_output(PLENTY)


@pytest.mark.shows("MUX-FRAME-006")
@settings(max_examples=200, deadline=None)
@given(WIRES, st.lists(st.integers(0, 1 << 12), max_size=10))
def test_a_session_hears_the_same_however_the_bytes_are_cut(wires: list[bytes], cuts: list[int]) -> None:
    """With room for all answers and all bytes: what is bounded by time and memory may depend on when it is asked."""
    roomy = Limits(frame_bytes_max=300, streams_per_session_max=4)
    wire = b"".join(wires)
    places = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    whole = everything(server(roomy), [wire])
    cut = everything(server(roomy), [wire[start:end] for start, end in pairwise(places)])
    single = everything(server(roomy), [wire[at : at + 1] for at in range(len(wire))])
    assert joined(cut[0]) == joined(single[0]) == joined(whole[0])
    assert cut[1:] == single[1:] == whole[1:]
