"""Records, frames and segments: round trips, a cut at every offset, and every kind of damage found and located."""

import json
import zlib
from pathlib import Path
from typing import Final, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.journals import ACCOUNT, JOURNAL, OTHER_JOURNAL, RECORDS, record_strategy, segment

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of
from tunnel.core.journal.codec import BODY_BYTES_MAX, DETAIL_CHARS_MAX, Kind, record_bytes, record_of
from tunnel.core.journal.frames import (
    FRAME_BYTES,
    HEAD_BYTES,
    Damage,
    HeadTorn,
    NotASegment,
    Portion,
    SegmentHead,
    describe,
    frame_bytes,
    read_frames,
    read_head,
)
from tunnel.core.journal.records import AgentRefused, Noted, Numbered, ServerNote, ServerNoted, UsageNoted

RECORD: Final = record_strategy()
VECTORS: Final = Path(__file__).parents[2] / "spec/vectors/journal-segments.json"
CASES: Final = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]


def ends_of(records: list[Noted]) -> list[int]:
    """The offsets behind the head at which each frame ends."""
    ends, at = list[int](), 0
    for record in records:
        at += FRAME_BYTES + len(record_bytes(record))
        ends.append(at)
    return ends


def numbered(records: list[Noted], first: int = 1) -> tuple[Numbered, ...]:
    return tuple(Numbered(first + place, record) for place, record in enumerate(records))


@given(RECORD)
@pytest.mark.shows("JRNL-FORM-001")
def test_what_is_written_is_read(record: Noted) -> None:
    assert record_of(record_bytes(record)) == record
    assert len(record_bytes(record)) <= BODY_BYTES_MAX


@given(st.text(max_size=600))
@pytest.mark.shows("JRNL-FORM-001")
def test_texts_are_made_printable_and_cut(text: str) -> None:
    read = record_of(record_bytes(AgentRefused(text, text, text, 1, UnixSeconds(1))))
    assert isinstance(read, AgentRefused)
    expected = "".join(char if " " <= char <= "~" else "?" for char in text)[:DETAIL_CHARS_MAX]
    assert read.detail == expected
    assert expected.startswith(read.peer)
    assert len(record_bytes(read)) <= BODY_BYTES_MAX


def test_every_record_is_in_the_strategy_and_has_a_kind() -> None:
    assert {type(record) for record in RECORDS} == set(get_args(Noted))
    assert {record_bytes(record)[0] for record in RECORDS} == {kind.value for kind in Kind}


@pytest.mark.shows("JRNL-FORM-006")
@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "a record of the unknown kind 0"),
        (b"\xff", "a record of the unknown kind 255"),
        (b"\x07\x09\0\0" + bytes(8), "a record SERVER whose field 'note' is not right"),
        (b"\x08" + bytes(23), "a record DROPPED whose field 'at' is not right"),
        (b"\x08" + bytes(25), "a record DROPPED whose field 'end' is not right"),
        (b"\x04\0\x01\x07", "a record REFUSED whose field 'peer' is not right"),
    ],
)
def test_a_body_that_is_no_record_is_named(body: bytes, detail: str) -> None:
    assert record_of(body) == detail


@given(st.lists(RECORD, max_size=6), st.integers(1, 2**32))
@settings(max_examples=50)
@pytest.mark.shows("JRNL-FORM-002")
def test_a_segment_is_read_as_it_was_written(records: list[Noted], first: int) -> None:
    data = segment(records, first)
    assert read_head(data) == Success(SegmentHead(JOURNAL, 1, first))
    portion = read_frames(JOURNAL, data[HEAD_BYTES:], first)
    assert portion == Portion(numbered(records, first), len(data) - HEAD_BYTES, first + len(records))


@pytest.mark.shows("JRNL-FORM-003")
def test_a_cut_at_every_offset_keeps_every_whole_record_and_no_other() -> None:
    records = [*RECORDS, *reversed(RECORDS)]
    frames, ends = segment(records)[HEAD_BYTES:], ends_of(records)
    for cut in range(len(frames) + 1):
        whole = sum(end <= cut for end in ends)
        portion = read_frames(JOURNAL, frames[:cut], 1)
        assert portion == Portion(numbered(records[:whole]), ends[whole - 1] if whole else 0, whole + 1)


@pytest.mark.shows("JRNL-FORM-003")
def test_what_is_written_on_behind_a_cut_is_read_from_where_the_tail_began() -> None:
    frames = segment(RECORDS)[HEAD_BYTES:]
    for cut in range(0, len(frames) + 1, 7):
        before = read_frames(JOURNAL, frames[:cut], 1)
        after = read_frames(JOURNAL, frames[before.used :], before.expected)
        assert before.items + after.items == numbered(RECORDS)


@pytest.mark.shows("JRNL-FORM-003")
def test_a_cut_within_the_head_is_told_with_what_is_there() -> None:
    data = segment(RECORDS)
    for cut in range(HEAD_BYTES):
        assert read_head(data[:cut]) == Failure(HeadTorn(cut))


@pytest.mark.shows("JRNL-FORM-004")
def test_every_flipped_bit_is_found_and_located() -> None:
    records = RECORDS[:3]
    frames, ends = bytearray(segment(records)[HEAD_BYTES:]), ends_of(records)
    for bit in range(8 * len(frames)):
        frames[bit >> 3] ^= 1 << (bit & 7)
        hit = sum(end <= bit >> 3 for end in ends)
        portion = read_frames(JOURNAL, bytes(frames), 1)
        begin = ends[hit - 1] if hit else 0
        expected: list[Numbered | Damage] = [*numbered(records)]
        if hit == len(records) - 1:
            assert portion == Portion(tuple(expected[:hit]), begin, hit + 1), bit
        else:
            expected[hit] = Damage(begin, ends[hit], hit + 1, 1, "unreadable bytes")
            assert portion == Portion(tuple(expected), len(frames), len(records) + 1), bit
        frames[bit >> 3] ^= 1 << (bit & 7)


@pytest.mark.shows("JRNL-FORM-004")
def test_a_bad_block_is_told_with_all_that_was_in_it() -> None:
    frames, ends = bytearray(segment(RECORDS)[HEAD_BYTES:]), ends_of(RECORDS)
    frames[ends[0] + 9 : ends[3] - 9] = bytes(ends[3] - ends[0] - 18)
    portion = read_frames(JOURNAL, bytes(frames), 1)
    whole = numbered(RECORDS)
    damage = Damage(ends[0], ends[3], 2, 3, "unreadable bytes")
    assert portion == Portion((whole[0], damage, *whole[4:]), len(frames), len(RECORDS) + 1)


@pytest.mark.shows("JRNL-FORM-004")
def test_every_flipped_bit_of_a_head_is_found() -> None:
    data = bytearray(segment([]))
    for bit in range(8 * len(data)):
        data[bit >> 3] ^= 1 << (bit & 7)
        assert read_head(bytes(data)) == Failure(NotASegment())
        data[bit >> 3] ^= 1 << (bit & 7)


@given(st.lists(RECORD, min_size=3, max_size=8), st.data(), st.binary(min_size=1, max_size=4))
@settings(max_examples=150)
@pytest.mark.shows("JRNL-FORM-004")
def test_any_short_burst_makes_no_other_record_and_loses_no_further_one(
    records: list[Noted], data: st.DataObject, burst: bytes
) -> None:
    frames = bytearray(segment(records)[HEAD_BYTES:])
    at = data.draw(st.integers(0, len(frames) - len(burst)))
    for place, byte in enumerate(burst):
        frames[at + place] ^= byte
    portion = read_frames(JOURNAL, bytes(frames), 1)
    read = {item.sequence: item.record for item in portion.items if isinstance(item, Numbered)}
    ends = ends_of(records)
    hit = {sum(end <= at + place for end in ends) for place, byte in enumerate(burst) if byte}
    for place, record in enumerate(records):
        assert read.get(place + 1) == (None if place in hit else record)
    told = sum(item.count for item in portion.items if isinstance(item, Damage))
    assert told == sum(place < max(read, default=0) - 1 for place in hit)


@given(st.lists(RECORD, min_size=2, max_size=6), st.data())
@settings(max_examples=80)
@pytest.mark.shows("JRNL-FORM-004")
def test_a_frame_that_was_cut_out_is_missed_by_its_number(records: list[Noted], data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, len(records) - 2))
    frames = [frame_bytes(JOURNAL, place + 1, record) for place, record in enumerate(records)]
    at = sum(len(frame) for frame in frames[:gone])
    portion = read_frames(JOURNAL, b"".join([*frames[:gone], *frames[gone + 1 :]]), 1)
    assert portion.items[gone] == Damage(at, at, gone + 1, 1, "a number left out")
    assert portion.expected == len(records) + 1


@given(st.lists(RECORD, min_size=1, max_size=5), st.integers(1, 8))
@settings(max_examples=50)
def test_what_was_read_before_is_passed_over(records: list[Noted], expected: int) -> None:
    frames = segment(records)[HEAD_BYTES:]
    portion = read_frames(JOURNAL, frames, expected)
    fresh = tuple(item for item in numbered(records) if item.sequence >= expected)
    assert portion == Portion(fresh, len(frames), max(expected, len(records) + 1))


@pytest.mark.shows("JRNL-FORM-006")
def test_a_kind_of_another_version_is_told_and_the_rest_is_read() -> None:
    first, last = RECORDS[0], RECORDS[1]
    strange = bytearray(record_bytes(first))
    strange[0] = 0x7F
    middle = framed(2, bytes(strange))
    data = frame_bytes(JOURNAL, 1, first) + middle + frame_bytes(JOURNAL, 3, last)
    at = len(frame_bytes(JOURNAL, 1, first))
    damage = Damage(at, at + len(middle), 2, 1, "a record of the unknown kind 127")
    assert read_frames(JOURNAL, data, 1).items == (Numbered(1, first), damage, Numbered(3, last))


@given(st.binary(max_size=400))
@settings(max_examples=200)
@pytest.mark.shows("JRNL-FORM-005")
def test_any_bytes_are_taken(data: bytes) -> None:
    portion = read_frames(JOURNAL, data, 1)
    assert 0 <= portion.used <= len(data)
    head = read_head(data)
    assert isinstance(head, Success) or describe(error_of(head))


@given(RECORD, st.binary(max_size=40))
@settings(max_examples=50)
@pytest.mark.shows("JRNL-FORM-005")
def test_bytes_behind_the_end_are_left(record: Noted, rest: bytes) -> None:
    frame = frame_bytes(JOURNAL, 1, record)
    portion = read_frames(JOURNAL, frame + rest, 1)
    assert portion.items[0] == Numbered(1, record)
    assert portion.used == len(frame) or portion.items[1:]


@pytest.mark.shows("JRNL-FORM-005")
def test_a_frame_of_another_journal_is_none() -> None:
    assert read_frames(OTHER_JOURNAL, segment(RECORDS)[HEAD_BYTES:], 1) == Portion((), 0, 1)


def test_numbers_too_large_are_taken_into_their_width() -> None:
    huge = UsageNoted(ACCOUNT, "a", UnixSeconds(0), 2**70, 2**70, -5, 1)
    assert record_of(record_bytes(huge)) == UsageNoted(ACCOUNT, "a", UnixSeconds(0), 2**64 - 1, 2**64 - 1, 0, 1)


@pytest.mark.parametrize("note", list(ServerNote))
def test_every_note_is_read_back(note: ServerNote) -> None:
    record = ServerNoted(note, "said", UnixSeconds(7))
    assert record_of(record_bytes(record)) == record


@pytest.mark.shows("JRNL-FORM-002", "JRNL-FORM-003", "JRNL-FORM-004")
@pytest.mark.parametrize(
    "case", json.loads(VECTORS.read_text(encoding="utf-8"))["cases"], ids=lambda case: case["name"]
)
def test_the_vectors(case: dict[str, object]) -> None:
    data = bytes.fromhex(str(case["segment"]))
    head = read_head(data)
    assert (None if isinstance(head, Success) else describe(error_of(head))) == case["head_error"]
    portion = read_frames(JOURNAL, data[HEAD_BYTES:], 1)
    assert [told(item) for item in portion.items] == case["items"]
    assert portion.used == case["used"]


def told(item: Numbered | Damage) -> str:
    """An item as the vectors write it."""
    return repr(item) if isinstance(item, Damage) else f"{item.sequence} {record_bytes(item.record).hex()}"


def framed(sequence: int, body: bytes) -> bytes:
    """A frame around any body."""
    length, number = len(body).to_bytes(2, "big"), sequence.to_bytes(8, "big")
    return b"\xa5\x4a" + length + number + zlib.crc32(JOURNAL + length + number + body).to_bytes(4, "big") + body
