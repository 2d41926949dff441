"""A link writes a record of TLS at a time at least, a turn at most, between them what leaves in a millisecond.

Seconds are numbers that the test adds to.
"""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.drive.pace import PORTION_BYTES_MAX, PORTION_BYTES_MIN, Pace

SLOW: Final = 0.02
"""Long enough to see a pace by."""
steps = st.tuples(st.integers(0, 10_000_000), st.floats(0, 100))


@pytest.mark.shows("OPS-RUN-014")
@given(st.lists(steps))
def test_a_portion_is_a_record_at_least_and_a_turn_at_most(written: list[tuple[int, float]]) -> None:
    pace, now = Pace(), 0.0
    for count, seconds in written:
        pace.note_written(count)
        now += seconds
        pace.note_room(now)
        assert PORTION_BYTES_MIN <= pace.portion_bytes <= PORTION_BYTES_MAX


@pytest.mark.shows("OPS-RUN-014")
@given(st.integers(16_384_000, 65_536_000), st.integers(1, 10), st.floats(SLOW, 100))
def test_between_them_it_is_what_leaves_in_a_millisecond(bytes_a_second: int, pieces: int, seconds: float) -> None:
    pace = Pace()
    pace.note_room(1.0)
    for _ in range(pieces):
        pace.note_written(int(bytes_a_second * seconds / pieces))
    pace.note_room(1.0 + seconds)
    assert abs(pace.portion_bytes - bytes_a_second / 1000) < 2


def test_a_burst_says_nothing_and_counts_all_the_same() -> None:
    """A kernel takes a megabyte at once; only over ten milliseconds is it seen what the network takes."""
    pace = Pace()
    pace.note_room(1.0)
    pace.note_written(1_000_000)
    pace.note_room(1.001)
    assert pace.portion_bytes == PORTION_BYTES_MIN
    pace.note_room(1.025)
    assert abs(pace.portion_bytes - 40_000) < 2


def test_what_was_seen_is_not_counted_again() -> None:
    pace = Pace()
    for now in (1.0, 2.0):
        pace.note_written(100_000_000)
        pace.note_room(now)
    assert pace.portion_bytes == PORTION_BYTES_MAX
    pace.note_written(40_000)
    pace.note_room(2.0 + SLOW)
    assert pace.portion_bytes == PORTION_BYTES_MIN
