"""Plots, figures and traffic: what is drawn is inside its frame, said in words, and honest about what is not known."""

import re
import time
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.api.pages import figures
from tunnel.api.pages.plots import HEIGHT, LEFT, RIGHT, TOP, WIDTH, Plot, Series, bar_plot, line_plot
from tunnel.api.pages.traffic import STEPS, Reading, Traffic
from tunnel.api.pages.used import NameUsed, by_name
from tunnel.core.base.ids import Instant, Label, UnixSeconds
from tunnel.core.control.usage import UsageHour
from tunnel.core.token.token import AccountId

VALUES: Final = st.lists(st.none() | st.floats(0, 1e12, allow_nan=False), max_size=40)
BOUNDS: Final = (0.001, 0.01, 0.1, 1.0)


def points_of(plot: Plot) -> list[tuple[float, float]]:
    drawn = "".join(line.path for line in plot.lines)
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", drawn)]


@pytest.mark.shows("DASH-PLOT-002", "DASH-PLOT-003")
@settings(max_examples=100)
@given(VALUES)
def test_a_line_has_a_point_for_each_known_value_within_the_frame(values: list[float | None]) -> None:
    plot = line_plot("a", "A", [Series("a", "s-main", tuple(values))], ("then", "now"), figures.rate, filled=True)
    points = points_of(plot)
    known = [value for value in values if value is not None]
    assert len(points) == len(known)
    assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT for x, y in points)
    # A row begins wherever nothing was known before it: gaps are not drawn over.
    starts = sum(value is not None and (at == 0 or values[at - 1] is None) for at, value in enumerate(values))
    assert (
        sum(line.path.count("M") for line in plot.lines) == starts == sum(each.area.count("Z") for each in plot.lines)
    )
    assert plot.is_empty == (not known)
    higher = sorted(zip(known, (y for _, y in points), strict=True))
    assert [y for _, y in higher] == sorted((y for _, y in points), reverse=True)


@pytest.mark.shows("DASH-PLOT-003")
@settings(max_examples=50)
@given(st.lists(st.floats(0, 1e9, allow_nan=False), max_size=40))
def test_bars_stand_side_by_side_within_the_frame(values: list[float]) -> None:
    plot = bar_plot("b", "B", [(str(at), value) for at, value in enumerate(values)], ("then", "now"), figures.rate)
    assert len(plot.bars) == sum(value > 0 for value in values)
    assert all(bar.x >= LEFT and bar.x + bar.width <= WIDTH and TOP <= bar.y <= HEIGHT for bar in plot.bars)
    assert all(left.x + left.width <= right.x for left, right in zip(plot.bars, plot.bars[1:], strict=False))


@pytest.mark.shows("DASH-PLOT-001")
def test_a_plot_says_what_it_draws() -> None:
    rows = [Series("requests", "s-main", (1.0, None, 4.0, 2.5)), Series("errors", "s-bad", (None, None, None, None))]
    plot = line_plot("a", "Traffic", rows, ("then", "now"), figures.rate)
    assert plot.summary == "requests: now 2.5, lowest 1.0, highest 4.0."
    assert [line.last for line in plot.lines] == ["2.5", "nothing yet"]
    bars = bar_plot("b", "Bars", [("one", 1.0), ("two", 3.0)], ("one", "two"), figures.rate)
    assert bars.summary == "Highest: 3.0 at two."
    assert bar_plot("b", "Bars", [("one", 0.0)], ("one",), figures.rate).summary == "Nothing yet."
    assert line_plot("a", "A", [], (), figures.rate).summary == "Nothing yet."


def reading(at: float, ok: int, latency: tuple[int, ...] = (0, 0, 0, 0), bad: int = 0) -> Reading:
    return Reading(Instant(at), {"ok": ok, "local-refused": bad}, ok * 10, ok * 100, BOUNDS, latency)


@pytest.mark.shows("DASH-PLOT-002")
def test_two_readings_make_a_step_and_a_restart_begins_anew() -> None:
    traffic = Traffic()
    assert traffic.last() is None
    assert set(traffic.points()) == {None}
    for each in (reading(0, 100), reading(5, 150, (0, 50, 0, 0), 2), reading(10, 150, (0, 50, 0, 0), 2)):
        traffic.take(each)
    assert traffic.outcomes() == (("ok", 50), ("local-refused", 2))
    last = traffic.last()
    assert last is not None
    assert (last.per_second, last.percentile(0.5)) == (0.0, None)
    traffic.take(reading(15, 3))
    assert traffic.outcomes() == ()
    traffic.take(reading(20, 8))
    assert traffic.outcomes() == (("ok", 5),)
    # A reading that is not later says nothing.
    traffic.take(reading(20, 9))
    assert traffic.outcomes() == (("ok", 5),)


def test_a_quarter_of_an_hour_is_kept_and_no_more() -> None:
    traffic = Traffic()
    for number in range(STEPS + 50):
        traffic.take(reading(number * 5.0, number * 7))
    points = traffic.points()
    assert len(points) == 60
    assert {point.per_second for point in points if point} == {7 / 5}
    assert sum(count for _, count in traffic.outcomes()) == STEPS * 7


@settings(max_examples=100)
@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_percentiles_rise_with_their_share_and_stay_within_the_bounds(
    counts: list[int], one: float, two: float
) -> None:
    traffic = Traffic()
    traffic.take(reading(0, 0))
    traffic.take(reading(5, sum(counts), (counts[0], counts[1], counts[2], counts[3])))
    step = traffic.last()
    assert step is not None
    low, high = step.percentile(min(one, two)), step.percentile(max(one, two))
    assert (low is None) == (high is None) == (sum(counts) == 0)
    if low is not None and high is not None:
        assert 0 <= low <= high <= BOUNDS[-1]


def test_figures_read_as_a_person_would_say_them() -> None:
    sizes = {
        0: "0 B",
        999: "999 B",
        1000: "1.0 kB",
        1234: "1.2 kB",
        34_000_000: "34 MB",
        999_999: "1.0 MB",
        10**18: "1000 PB",
    }
    assert {octets: figures.size(octets) for octets in sizes} == sizes
    assert [figures.rate(each) for each in (0, 0.25, 4.2, 1234.0)] == ["0", "0.25", "4.2", "1,234"]
    assert [figures.milliseconds(each) for each in (0.42, 12.3, 3400)] == ["0.4 ms", "12 ms", "3.4 s"]
    assert figures.count(1234567) == "1,234,567"
    assert [figures.percent(*pair) for pair in ((1, 3), (5, 3), (0, 0), (1, 0))] == [33, 100, 0, 100]
    now = UnixSeconds(1_000_000)
    assert [figures.since(UnixSeconds(now + off), now) for off in (-7200, 0, 90)] == [
        "2 hours ago",
        "now",
        "in 1 minute",
    ]
    assert figures.machine_moment(UnixSeconds(0)) == "1970-01-01T00:00:00Z"
    assert (figures.short("0123456789ab"), figures.short("short")) == ("01234567…", "short")


def test_ten_thousand_names_are_summed_in_one_pass() -> None:
    """As many as a page reads at most: an account may have one each hour that it never has again."""
    hours = tuple(
        UsageHour(AccountId(b"a" * 16), Label(f"n{number}"), UnixSeconds(hour * 3600), number, 2, 3, 4)
        for number in range(5000)
        for hour in range(2)
    )
    begun = time.process_time()
    used = by_name(hours)
    assert time.process_time() - begun < 1.0  # a square of it takes five seconds and more
    assert len(used) == 5000
    assert used[0] == NameUsed("n4999", 9998, 4, 6, 8)
    assert by_name((replace(hours[0], name=Label("")),)) == (NameUsed("(all others)", 0, 2, 3, 4),)
