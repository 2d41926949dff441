"""The numbers of one process as others see them: as JSON over the feed, added up over processes (OBS-MEASURE)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

Numbers: TypeAlias = Mapping[str, float]
"""By the value of their label; "" where there is none."""


@final
@dataclass(frozen=True, slots=True)
class Durations:
    """A histogram: `counts` has one place more than `le`, for what is beyond the last bound; not cumulated."""

    le: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


@final
@dataclass(frozen=True, slots=True)
class Measures:
    """Counters since the process began, gauges of this moment, histograms; each by the name of its family.

    `process` names the process for as long as it runs: its counters go on where those of the last answer were.
    """

    process: str = ""
    build: Mapping[str, str] = field(default_factory=dict)
    counters: Mapping[str, Numbers] = field(default_factory=dict)
    gauges: Mapping[str, Numbers] = field(default_factory=dict)
    histograms: Mapping[str, Durations] = field(default_factory=dict)


NOTHING: Final = Measures()


def answer_of(measures: Measures) -> dict[str, object]:
    """The measures as the answer to the feed's question `metrics`."""
    return {
        "process": measures.process,
        "build": dict(measures.build),
        "counters": {name: dict(numbers) for name, numbers in measures.counters.items()},
        "gauges": {name: dict(numbers) for name, numbers in measures.gauges.items()},
        "histograms": {
            name: {"le": list(each.le), "counts": list(each.counts), "sum": each.total}
            for name, each in measures.histograms.items()
        },
    }


def measures_of(answer: Mapping[str, object]) -> Measures:
    """The measures in an answer; what in it is none is left out, as another version may have written it."""
    process, build = answer.get("process"), _table(answer.get("build"))
    return Measures(
        process if isinstance(process, str) else "",
        {name: value for name, value in build.items() if isinstance(value, str)},
        {name: _numbers(numbers) for name, numbers in _table(answer.get("counters")).items()},
        {name: _numbers(numbers) for name, numbers in _table(answer.get("gauges")).items()},
        {
            name: durations
            for name, each in _table(answer.get("histograms")).items()
            if (durations := _durations(_table(each))) is not None
        },
    )


def added(one: Measures, other: Measures) -> Measures:
    """Both together, as if one process had measured all of it."""
    return Measures(
        one.process or other.process,
        one.build or other.build,
        _added_families(one.counters, other.counters),
        _added_families(one.gauges, other.gauges),
        {
            name: _added_durations(one.histograms.get(name), other.histograms.get(name))
            for name in [*one.histograms, *[name for name in other.histograms if name not in one.histograms]]
        },
    )


def added_up(several: Sequence[Measures]) -> Measures:
    """All of them together; of none, nothing."""
    total = NOTHING
    for each in several:
        total = added(total, each)
    return total


@final
class Totals:
    """The sums over processes that come and go. What one had counted when it was last heard stays in the sums."""

    def __init__(self) -> None:
        self._last: Final[dict[str, Measures]] = {}
        self._gone = NOTHING

    def take(self, present: Sequence[Measures], *, is_complete: bool) -> Measures:
        """The sums, now that these answered. `is_complete`: no other process runs; otherwise a silent one may."""
        for each in present:
            self._last[each.process] = each
        if is_complete:
            for process in set(self._last) - {each.process for each in present}:
                gone = self._last.pop(process)
                self._gone = added(self._gone, Measures(counters=gone.counters, histograms=gone.histograms))
        return added_up([*self._last.values(), self._gone])


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _numbers(value: object) -> dict[str, float]:
    numbers = _table(value).items()
    return {name: each for name, each in numbers if isinstance(each, int | float) and not isinstance(each, bool)}


def _durations(table: Mapping[str, object]) -> Durations | None:
    le, counts, total = table.get("le"), table.get("counts"), table.get("sum")
    if not isinstance(le, list) or not isinstance(counts, list) or not isinstance(total, int | float):
        return None
    bounds = tuple(each for each in le if isinstance(each, int | float))
    whole = tuple(each for each in counts if isinstance(each, int))
    if len(bounds) != len(le) or len(whole) != len(counts) or len(counts) != len(le) + 1:
        return None
    return Durations(bounds, whole, total)


def _added_families(one: Mapping[str, Numbers], other: Mapping[str, Numbers]) -> dict[str, Numbers]:
    sums = {name: dict(numbers) for name, numbers in one.items()}
    for name, numbers in other.items():
        held = sums.setdefault(name, {})
        for label, number in numbers.items():
            held[label] = held.get(label, 0) + number
    return dict[str, Numbers](sums)


def _added_durations(one: Durations | None, other: Durations | None) -> Durations:
    """Bounds that differ, as those of two versions may, cannot be added: the first counts."""
    if one is None or other is None or one.le != other.le:
        return one or other or Durations((), (0,), 0.0)
    counts = tuple(mine + theirs for mine, theirs in zip(one.counts, other.counts, strict=True))
    return Durations(one.le, counts, one.total + other.total)
