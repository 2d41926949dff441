"""The frame reader: what it was sent comes out, in any cut; what it must refuse it refuses from the header alone.

Frames are written with `struct` here, not by the code under test. A frame that arrives in pieces is put together again
before it is compared: the reader owes the bytes and the flags, not the cuts.
"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mux_support import ACK, AWAY, DATA, FIN, PING, RST, SYN, UPDATE, Seen, data, frames_of, header

from tunnel.core.base.partial import frame_header, frame_header_bytes
from tunnel.core.mux.errors import (
    FrameRefused,
    FrameTooLong,
    SessionFrameOnStream,
    StreamZero,
    UnknownKind,
    UnknownVersion,
)
from tunnel.core.mux.reader import FrameReader

FRAME_BYTES_MAX = 64

FLAGS = st.sampled_from([0, SYN, ACK, FIN, RST, SYN | FIN, ACK | FIN, 0x10, 0xFFF0 | FIN])
STREAMS = st.integers(1, 0xFFFF_FFFF)
DATA_FRAMES = st.builds(
    lambda flags, stream, payload: (DATA, flags, stream, len(payload), payload),
    FLAGS,
    STREAMS,
    st.binary(max_size=FRAME_BYTES_MAX),
)
OTHER_FRAMES = st.one_of(
    st.tuples(st.just(UPDATE), FLAGS, STREAMS, st.integers(0, 0xFFFF_FFFF), st.just(b"")),
    st.tuples(st.sampled_from([PING, AWAY]), FLAGS, st.just(0), st.integers(0, 0xFFFF_FFFF), st.just(b"")),
)
FRAMES = st.lists(DATA_FRAMES | OTHER_FRAMES, max_size=8)


def wire_of(frames: list[Seen]) -> bytes:
    return b"".join(header(kind, flags, stream, length) + payload for kind, flags, stream, length, payload in frames)


def cuts_of(wire: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    return [wire[start:end] for start, end in pairwise(places)]


def read(reader: FrameReader, chunks: list[bytes]) -> list[Seen]:
    """All frames, the pieces of one frame joined: flags together, the first length, the payload in order."""
    seen: list[Seen] = []
    missing = 0
    for chunk in chunks:
        for frame in reader.receive(chunk):
            if missing:
                kind, flags, stream, length, payload = seen[-1]
                assert (frame.kind, frame.stream, frame.length) == (DATA, stream, 0)
                assert not frame.flags & ~FIN
                seen[-1] = (kind, flags | frame.flags, stream, length, payload + frame.payload)
                missing -= len(frame.payload)
                assert missing == 0 or not frame.flags
            else:
                seen.append((frame.kind, frame.flags, frame.stream, frame.length, frame.payload))
                missing = frame.length - len(frame.payload) if frame.kind == DATA else 0
    return seen


@pytest.mark.shows("MUX-FRAME-001", "MUX-FRAME-005", "MUX-FRAME-006")
@given(FRAMES, st.lists(st.integers(0, 1 << 16), max_size=12))
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames: list[Seen], cuts: list[int]) -> None:
    wire = wire_of(frames)
    assert read(FrameReader(FRAME_BYTES_MAX), cuts_of(wire, cuts)) == frames
    assert read(FrameReader(FRAME_BYTES_MAX), [wire]) == frames


@pytest.mark.shows("MUX-FRAME-006")
@given(FRAMES)
def test_frames_come_out_byte_by_byte(frames: list[Seen]) -> None:
    wire = wire_of(frames)
    assert read(FrameReader(FRAME_BYTES_MAX), [wire[at : at + 1] for at in range(len(wire))]) == frames


@given(st.lists(DATA_FRAMES, max_size=3), st.binary(max_size=11))
def test_a_part_of_a_header_is_held_until_the_rest_comes(frames: list[Seen], tail: bytes) -> None:
    """Bytes after the last whole frame are left alone: they neither make a frame nor get lost."""
    after = header(PING, SYN, 0, 7)
    reader = FrameReader(FRAME_BYTES_MAX)
    assert read(reader, [wire_of(frames) + after[: len(tail)]]) == frames
    assert read(reader, [after[len(tail) :]]) == [(PING, SYN, 0, 7, b"")]


@pytest.mark.shows("MUX-FRAME-007")
@given(st.integers(1, FRAME_BYTES_MAX), st.data())
def test_payload_is_passed_on_before_the_frame_is_complete(length: int, draw: st.DataObject) -> None:
    here = draw.draw(st.integers(0, length - 1))
    reader = FrameReader(FRAME_BYTES_MAX)
    (first,) = reader.receive(header(DATA, SYN | FIN, 5, length) + bytes(here))
    assert (first.flags, first.length, first.payload) == (SYN, length, bytes(here))
    (rest,) = reader.receive(bytes(length - here))
    assert (rest.kind, rest.flags, rest.stream, rest.length) == (DATA, FIN, 5, 0)
    assert rest.payload == bytes(length - here)


def test_nothing_comes_of_nothing() -> None:
    reader = FrameReader(FRAME_BYTES_MAX)
    assert reader.receive(b"") == []
    assert len(reader.receive(header(DATA, 0, 5, 3))) == 1
    assert reader.receive(b"") == []
    assert reader.fault is None


@pytest.mark.shows("MUX-FRAME-002", "MUX-FRAME-003", "MUX-FRAME-004")
@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        pytest.param(header(DATA, 0, 1, 0, version=1), UnknownVersion(1), id="version 1"),
        pytest.param(header(DATA, 0, 1, 0, version=255), UnknownVersion(255), id="version 255"),
        pytest.param(header(4, 0, 0, 0), UnknownKind(4), id="type 4"),
        pytest.param(header(255, 0, 1, 0), UnknownKind(255), id="type 255"),
        pytest.param(header(DATA, 0, 0, 0), StreamZero(DATA), id="data on stream 0"),
        pytest.param(header(UPDATE, SYN, 0, 0), StreamZero(UPDATE), id="window update on stream 0"),
        pytest.param(header(PING, SYN, 3, 0), SessionFrameOnStream(PING, 3), id="ping on a stream"),
        pytest.param(header(AWAY, 0, 3, 0), SessionFrameOnStream(AWAY, 3), id="go away on a stream"),
        pytest.param(header(DATA, 0, 1, 65), FrameTooLong(1, 65, 64), id="one byte too long"),
        pytest.param(header(DATA, 0, 1, 0xFFFF_FFFF), FrameTooLong(1, 0xFFFF_FFFF, 64), id="4 GiB"),
    ],
)
def test_a_bad_header_is_refused_without_its_payload(bad: bytes, fault: FrameRefused) -> None:
    """What came before it in the same read is there, what comes after it never is."""
    reader = FrameReader(FRAME_BYTES_MAX)
    assert read(reader, [data(9, b"before") + bad + data(9, b"after")]) == [(DATA, 0, 9, 6, b"before")]
    assert reader.fault == fault
    assert reader.receive(data(9, b"later")) == []
    assert reader.fault == fault


def test_the_longest_frame_is_taken() -> None:
    reader = FrameReader(FRAME_BYTES_MAX)
    assert read(reader, [data(1, bytes(64))]) == [(DATA, 0, 1, 64, bytes(64))]
    assert reader.fault is None


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_arbitrary_bytes_never_raise_and_mean_the_same_in_one_piece(chunks: list[bytes]) -> None:
    cut, whole = FrameReader(FRAME_BYTES_MAX), FrameReader(FRAME_BYTES_MAX)
    assert read(cut, chunks) == read(whole, [b"".join(chunks)])
    assert cut.fault == whole.fault


@given(st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFFFF_FFFF))
def test_a_header_is_written_as_it_is_read(kind: int, flags: int, stream: int, length: int) -> None:
    written = frame_header_bytes(kind, flags, stream, length)
    assert written == header(kind, flags, stream, length)
    assert frame_header(written, 0) == (0, kind, flags, stream, length)


def test_the_test_reader_agrees_with_the_test_writer() -> None:
    assert frames_of(data(1, b"ab", FIN) + header(PING, ACK, 0, 9)) == [
        (DATA, FIN, 1, 2, b"ab"),
        (PING, ACK, 0, 9, b""),
    ]
