"""What is measured: histograms against their definition, sums over processes, and their way through JSON."""

import json
from collections import Counter
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.base.ids import RequestId
from tunnel.core.relay.actions import Report
from tunnel.core.relay.hops import Hops
from tunnel.observe.events import Event, LinkRefused, SessionEnded, SessionOpened, Warned
from tunnel.observe.measures import NOTHING, Durations, Measures, Totals, added, added_up, answer_of, measures_of
from tunnel.observe.metered import MeteredEvents
from tunnel.observe.metrics import BOUNDS, Histogram, Metrics

SECONDS: Final = st.floats(0, 100, allow_nan=False)
CODES: Final = st.sampled_from(["ok", "local-refused", "agent-offline", ""])
WHOLE: Final = st.integers(0, 1 << 40)
NUMBERS: Final = st.dictionaries(CODES, WHOLE, max_size=3)
FAMILIES: Final = st.dictionaries(st.sampled_from(["exchanges", "bytes", "sessions"]), NUMBERS, max_size=3)


@st.composite
def durations(draw: st.DrawFn) -> Durations:
    counts = draw(st.lists(WHOLE, min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1))
    return Durations(BOUNDS, tuple(counts), float(draw(st.integers(0, 1 << 30))))


@st.composite
def measured(draw: st.DrawFn) -> Measures:
    histograms = st.dictionaries(st.sampled_from(["exchange_seconds", "edge_seconds"]), durations(), max_size=2)
    process, build = draw(st.sampled_from(["a", "b", "c"])), {"version": "1"}
    return Measures(process, build, draw(FAMILIES), draw(FAMILIES), draw(histograms))


def report(outcome: str, seconds: float, up: int, down: int, method: bytes = b"GET") -> Report:
    hops = Hops(seconds / 8, seconds / 4, seconds / 2, seconds / 8)
    return Report(RequestId("r"), "app", method, b"/", 200, seconds, outcome, up, down, 0, None, hops)


@pytest.mark.shows("OBS-MEASURE-001")
@given(st.lists(SECONDS))
def test_a_histogram_has_each_duration_in_the_bucket_of_its_bound(seconds: list[float]) -> None:
    histogram = Histogram()
    for each in seconds:
        histogram.observe(each)
    below = [sum(each <= bound for each in seconds) for bound in BOUNDS]
    assert [sum(histogram.counts[: at + 1]) for at in range(len(BOUNDS))] == below
    assert sum(histogram.counts) == len(seconds)
    assert histogram.total == pytest.approx(sum(seconds))


@pytest.mark.shows("OBS-MEASURE-001")
@given(st.lists(st.tuples(CODES, SECONDS, WHOLE, WHOLE)))
def test_every_exchange_is_counted_once(several: list[tuple[str, float, int, int]]) -> None:
    metrics = Metrics()
    for outcome, seconds, up, down in several:
        metrics.note_exchange(report(outcome, seconds, up, down))
    assert metrics.exchanges == {code: n for code in {one[0] for one in several} if (n := _count(several, code))}
    assert (metrics.bytes_up, metrics.bytes_down) == (sum(one[2] for one in several), sum(one[3] for one in several))
    for histogram in (metrics.whole, metrics.edge, metrics.link, metrics.local, metrics.body):
        assert sum(histogram.counts) == len(several)
    parts = metrics.edge.total + metrics.link.total + metrics.local.total + metrics.body.total
    assert metrics.whole.total == pytest.approx(parts)


def _count(several: list[tuple[str, float, int, int]], code: str) -> int:
    return sum(one[0] == code for one in several)


@pytest.mark.shows("OBS-MEASURE-001")
def test_what_never_was_an_exchange_has_no_duration() -> None:
    metrics = Metrics()
    metrics.note_exchange(report("bad-request", 0.0, 0, 0, method=b""))
    assert metrics.exchanges == {"bad-request": 1}
    assert sum(metrics.whole.counts) == 0


class Heard:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Keep one."""
        self.events.append(event)


@pytest.mark.shows("OBS-MEASURE-002")
def test_sessions_refusals_and_connections_are_counted() -> None:
    metrics, heard = Metrics(), Heard()
    metered = MeteredEvents(metrics, heard)
    events: list[Event] = [
        SessionOpened(1, "", "p"),
        SessionOpened(2, "", "p"),
        SessionEnded(1, "gone", 1.0),
        LinkRefused("p", "expired", ""),
        LinkRefused("p", "expired", ""),
        Warned("x"),
    ]
    for event in events:
        metered.emit(event)
    assert heard.events == events
    assert (metrics.sessions_opened, metrics.sessions_ended, metrics.agents_refused) == (2, 1, {"expired": 2})
    metrics.note_connection("tcp", "ok", 3, 4)
    metrics.note_connection("tls", "idle", 1, 1)
    metrics.note_turned_away("server-full")
    assert metrics.connections == {"tcp": {"ok": 1}, "tls": {"idle": 1}}
    assert (metrics.bytes_up, metrics.bytes_down, metrics.turned_away) == (4, 5, {"server-full": 1})


@pytest.mark.shows("OBS-MEASURE-003")
@given(measured(), measured(), measured())
def test_sums_do_not_depend_on_the_order(one: Measures, two: Measures, three: Measures) -> None:
    assert added(NOTHING, one) == one == added(one, NOTHING)
    assert added_up([one, two, three]).counters == added_up([three, two, one]).counters
    assert added(added(one, two), three) == added(one, added(two, three))
    assert added(one, two).histograms.keys() == one.histograms.keys() | two.histograms.keys()


@pytest.mark.shows("OBS-MEASURE-003")
@given(st.lists(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9)), max_size=4), max_size=8))
def test_sums_never_fall_while_processes_come_and_go(rounds: list[list[tuple[str, int]]]) -> None:
    totals, counted, lives, before = Totals(), dict[str, int](), Counter[str](), 0.0
    for present in rounds:
        for gone in set(counted) - {name for name, _ in present}:
            # One that comes back under its name is another process, and begins with nothing.
            counted.pop(gone)
            lives[gone] += 1
        for name, more in present:
            counted[name] = counted.get(name, 0) + more
        heard = [Measures(f"{name}{lives[name]}", counters={"n": {"": count}}) for name, count in counted.items()]
        summed = totals.take(heard, is_complete=True).counters.get("n", {}).get("", 0)
        assert summed >= before
        before = summed


@pytest.mark.shows("OBS-MEASURE-003")
def test_a_process_that_is_silent_stays_in_the_sums_and_its_gauges_go_with_it() -> None:
    totals = Totals()
    two = [Measures(each, counters={"n": {"": 5}}, gauges={"g": {"": 1}}) for each in ("a", "b")]
    assert totals.take(two, is_complete=True).counters == {"n": {"": 10}}
    silent = totals.take(two[:1], is_complete=False)
    assert (silent.counters, silent.gauges) == ({"n": {"": 10}}, {"g": {"": 2}})
    gone = totals.take(two[:1], is_complete=True)
    assert (gone.counters, gone.gauges) == ({"n": {"": 10}}, {"g": {"": 1}})


@pytest.mark.shows("OBS-MEASURE-003")
def test_bounds_that_differ_are_not_added() -> None:
    one = Measures(histograms={"h": Durations((1.0,), (1, 2), 3.0)})
    other = Measures(histograms={"h": Durations((2.0,), (1, 2), 3.0)})
    assert added(one, other).histograms == one.histograms


@pytest.mark.shows("OBS-MEASURE-004")
@given(measured())
def test_measures_come_back_from_json(one: Measures) -> None:
    told = json.loads(json.dumps(answer_of(one)))
    assert measures_of(told) == one
    assert measures_of({**told, "later": [1], "ok": True}) == one


@pytest.mark.shows("OBS-MEASURE-004")
@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"process": 1, "build": [], "counters": 3, "gauges": None, "histograms": "x"},
        {"counters": {"a": 1, "b": {"": "x"}, "c": {"": True}}, "build": {"version": 1}},
        {"histograms": {"h": {"le": [1], "counts": [1], "sum": 1}, "i": {"le": ["x"], "counts": [1, 2], "sum": 1}}},
        {"histograms": {"h": {"le": [1], "counts": [1, None], "sum": 1}, "i": {}, "j": {"le": [], "counts": [1]}}},
    ],
)
def test_what_is_no_measure_is_left_out(answer: dict[str, object]) -> None:
    read = measures_of(answer)
    assert not any(read.counters.values())
    assert (read.process, read.build, read.gauges, read.histograms) == ("", {}, {}, {})
