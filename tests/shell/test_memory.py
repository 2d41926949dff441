"""What many visitors and slow ones cost in memory, in real processes from the command line.

The measurements are those of `bench/slow_reader.py` and `bench/thousand.py`, with less data and time: the buffers that
could grow are full after a second, so more of either would only show the same for longer.
"""

from pathlib import Path
from typing import Final

import pytest
from bench import slow_reader, thousand

pytestmark = pytest.mark.anyio

MEGABYTE: Final = 1_000_000
GROWTH_MAX: Final = 16 * MEGABYTE


@pytest.mark.shows("OPS-RUN-004")
@pytest.mark.bug("A17", "A22")
async def test_a_slow_visitor_of_a_big_download_grows_neither_process(tmp_path: Path) -> None:
    """128 MB are offered; what is not read stays with the local service, and others download 320 MB meanwhile."""
    offered = 128 * MEGABYTE
    report = await slow_reader.measure(tmp_path, offered=offered, seconds=2.0, others=5)
    server, agent = report.grown()
    assert server < GROWTH_MAX
    assert agent < GROWTH_MAX
    assert report.ahead_peak < offered / 4, "the rest was never asked of the local service"
    assert len(report.others_during) == 5
    assert report.passed >= offered


@pytest.mark.shows("OPS-RUN-005")
async def test_a_thousand_visitors_at_once_are_all_answered(tmp_path: Path) -> None:
    report = await thousand.measure(tmp_path, 1000)
    assert report.answered == 1000
    for full, idle in zip(report.full, report.idle, strict=True):
        assert full - idle < 2 * GROWTH_MAX
