"""A journal on a disk: segments of frames, read back exactly up to where a crash tore them.

    segment = head, frame, frame, ...
    head    = "tnljrnl1", journal (16), segment number (4), number of its first record (8), CRC-32 (4)
    frame   = A5 4A, length of the body (2), number of the record (8), CRC-32 (4), body

Numbers are big-endian. The CRC-32 (zlib's) of a frame is of the journal, the length, the number and the body: a frame
of another journal, in a block that a file system gave to a new owner, is none of ours.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.base.partial import crc32, uint_at, uint_bytes
from tunnel.core.journal.codec import BODY_BYTES_MAX, record_bytes, record_of
from tunnel.core.journal.records import JOURNAL_ID_BYTES, JournalId, Noted, Numbered

HEAD_BYTES: Final = 40
FRAME_BYTES: Final = 16
"""Of a frame without its body."""

_MAGIC: Final = b"tnljrnl1"
_MARK: Final = b"\xa5\x4a"
_SUMMED_AT: Final = 36
_NUMBER_AT: Final = 24
_FIRST_AT: Final = 28


@final
@dataclass(frozen=True, slots=True)
class SegmentHead:
    """Which journal a segment belongs to, which of its segments it is, and the number that its first record has."""

    journal: JournalId
    number: int
    first: int


@final
@dataclass(frozen=True, slots=True)
class HeadTorn:
    """The segment ends within its head: it was begun and nothing was written."""

    seen: int


@final
@dataclass(frozen=True, slots=True)
class NotASegment:
    """The bytes where a head should be are none of this version."""


HeadError: TypeAlias = HeadTorn | NotASegment


@final
@dataclass(frozen=True, slots=True)
class Damage:
    """Records `first` and on, `count` of them, are lost in the bytes from `at` to `to`, behind which is a whole one."""

    at: int
    to: int
    first: int
    count: int
    detail: str


@final
@dataclass(frozen=True, slots=True)
class Portion:
    """What a stretch of frames holds, in order, up to `used`, behind which there is no whole frame.

    `expected` is the number that the next record will have. Bytes behind `used` are a torn tail, if nobody writes on.
    """

    items: tuple[Numbered | Damage, ...]
    used: int
    expected: int


def head_bytes(head: SegmentHead) -> bytes:
    """The first bytes of a segment."""
    said = _MAGIC + head.journal + uint_bytes(head.number, 4) + uint_bytes(head.first, 8)
    return said + uint_bytes(crc32(said), 4)


def read_head(data: bytes) -> Outcome[SegmentHead, HeadError]:
    """What the first bytes of a segment say."""
    if len(data) < HEAD_BYTES:
        return Failure(HeadTorn(len(data)))
    if not data.startswith(_MAGIC) or uint_at(data, _SUMMED_AT, 4) != crc32(data[:_SUMMED_AT]):
        return Failure(NotASegment())
    journal = JournalId(data[len(_MAGIC) : len(_MAGIC) + JOURNAL_ID_BYTES])
    return Success(SegmentHead(journal, uint_at(data, _NUMBER_AT, 4), uint_at(data, _FIRST_AT, 8)))


def describe(error: HeadError) -> str:
    """What was seen, and what was expected."""
    if isinstance(error, HeadTorn):
        return f"a segment of {error.seen} bytes, where its head alone has {HEAD_BYTES}"
    return "a file whose head is damaged, or not one of this version"


def frame_bytes(journal: JournalId, sequence: int, record: Noted) -> bytes:
    """One record, framed."""
    body = record_bytes(record)
    length, number = uint_bytes(len(body), 2), uint_bytes(sequence, 8)
    return _MARK + length + number + uint_bytes(crc32(journal + length + number + body), 4) + body


def read_frames(journal: JournalId, data: bytes, expected: int) -> Portion:
    """The records in `data`, which begins where a frame does; the first should be number `expected`.

    Whole frames behind damaged bytes are found again; those of a number below `expected` were read before, in a segment
    that a failed write ended, and are passed over. Any bytes are taken.
    """
    items: list[Numbered | Damage] = []
    used = 0
    frame = _next_frame(journal, data, used)
    while frame is not None:
        if frame.sequence >= expected:
            if frame.sequence > expected:
                found = "unreadable bytes" if frame.at > used else "a number left out"
                items.append(Damage(used, frame.at, expected, frame.sequence - expected, found))
            record = record_of(frame.body)
            if isinstance(record, str):
                items.append(Damage(frame.at, frame.end, frame.sequence, 1, record))
            else:
                items.append(Numbered(frame.sequence, record))
            expected = frame.sequence + 1
        used = frame.end
        frame = _next_frame(journal, data, used)
    return Portion(tuple(items), used, expected)


@final
class _Frame:
    """One whole frame: where it is, its number and its body."""

    def __init__(self, at: int, end: int, sequence: int, body: bytes) -> None:
        self.at: Final = at
        self.end: Final = end
        self.sequence: Final = sequence
        self.body: Final = body


def _next_frame(journal: JournalId, data: bytes, at: int) -> _Frame | None:
    """The first whole frame at or behind `at`."""
    found = data.find(_MARK, at)
    while found >= 0:
        frame = _frame_at(journal, data, found)
        if frame is not None:
            return frame
        found = data.find(_MARK, found + 1)
    return None


def _frame_at(journal: JournalId, data: bytes, at: int) -> _Frame | None:
    """The frame that begins at `at`, if it is whole and its sum is right."""
    size = uint_at(data, at + 2, 2)
    end = at + FRAME_BYTES + size
    if size < 0 or size > BODY_BYTES_MAX or end > len(data):
        return None
    body = data[at + FRAME_BYTES : end]
    if uint_at(data, at + 12, 4) != crc32(journal + data[at + 2 : at + 12] + body):
        return None
    return _Frame(at, end, uint_at(data, at + 4, 8), body)
