"""Fuzz targets of the journal: any bytes of a segment are read to one place, and what is read is written alike."""

from collections.abc import Callable
from typing import Final

from tunnel.core.base.outcome import Success, value_of
from tunnel.core.journal.codec import record_bytes, record_of
from tunnel.core.journal.frames import HEAD_BYTES, Damage, frame_bytes, head_bytes, read_frames, read_head
from tunnel.core.journal.records import JournalId, Numbered

JOURNAL: Final = JournalId(bytes(range(16)))


def fuzz_journal_segment(data: bytes) -> None:
    """Numbers rise without a gap that is not told; a second reading from any frame on gives the same."""
    head = read_head(data)
    if isinstance(head, Success):
        assert head_bytes(value_of(head)) == data[:HEAD_BYTES]
    frames = data[HEAD_BYTES:]
    portion = read_frames(JOURNAL, frames, 1)
    expected = 1
    for item in portion.items:
        if isinstance(item, Damage):
            assert item.first == expected
            assert 0 <= item.at <= item.to <= portion.used
            expected += item.count
        else:
            assert item.sequence == expected
            assert frame_bytes(JOURNAL, item.sequence, item.record) in frames
            expected += 1
    assert portion.expected == expected
    rest = read_frames(JOURNAL, frames[portion.used :], portion.expected)
    assert (rest.items, rest.used) == ((), 0)
    records = [item.record for item in portion.items if isinstance(item, Numbered)]
    again = b"".join(frame_bytes(JOURNAL, place + 1, record) for place, record in enumerate(records))
    assert read_frames(JOURNAL, again, 1).items == tuple(
        Numbered(place + 1, record) for place, record in enumerate(records)
    )


def fuzz_journal_record(data: bytes) -> None:
    """A body is a record that is written alike, or what is wrong with it."""
    read = record_of(data)
    if isinstance(read, str):
        assert read
    else:
        assert record_bytes(read) == data


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "journal_segment": fuzz_journal_segment,
    "journal_record": fuzz_journal_record,
}
