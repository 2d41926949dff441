"""The last quarter of an hour of the data plane's counters, kept in memory for the plots of the overview.

The data plane counts and never forgets; here two readings become what happened between them. A counter that is lower
than before belongs to a server that was started again: what was before is not mixed with it.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.ids import Instant

STEP_SECONDS: Final = 5.0
STEPS: Final = 180
"""A quarter of an hour: long enough to see what has just changed; what was before is in Prometheus."""
_POINTS: Final = 60


@final
@dataclass(frozen=True, slots=True)
class Reading:
    """All counters at one moment, since the server began. `latency` counts, bucket by bucket, not cumulated."""

    at: Instant
    outcomes: Mapping[str, int]
    bytes_up: int
    bytes_down: int
    bounds: tuple[float, ...]
    latency: tuple[int, ...]

    @property
    def exchanges(self) -> int:
        """All exchanges that ended."""
        return sum(self.outcomes.values())


@final
@dataclass(frozen=True, slots=True)
class Step:
    """What happened between two readings; `seconds` apart."""

    seconds: float
    outcomes: Mapping[str, int]
    bytes_up: int
    bytes_down: int
    bounds: tuple[float, ...]
    latency: tuple[int, ...]

    @property
    def per_second(self) -> float:
        """Exchanges a second."""
        return sum(self.outcomes.values()) / self.seconds

    def percentile(self, share: float) -> float | None:
        """The latency in seconds below which `share` of the exchanges stayed; None when there were none.

        Within a bucket they are taken to lie evenly, as Prometheus does; beyond the last bound it is the bound.
        """
        total = sum(self.latency)
        if total == 0:
            return None
        wanted, below, lower = share * total, 0, 0.0
        for bound, count in zip(self.bounds, self.latency, strict=False):
            if below + count >= wanted and count:
                return lower + (bound - lower) * (wanted - below) / count
            below, lower = below + count, bound
        return lower


@final
class Traffic:
    """Readings in the order of their time; holds `STEPS` steps and forgets the oldest."""

    def __init__(self) -> None:
        self._steps: deque[Step] = deque(maxlen=STEPS)
        self._last: Reading | None = None
        self.is_known = False

    def take(self, reading: Reading) -> None:
        """One more reading, later than those before."""
        last, self._last = self._last, reading
        self.is_known = True
        if last is None or reading.at <= last.at:
            return
        if reading.exchanges < last.exchanges or reading.bounds != last.bounds:
            self._steps.clear()
            return
        self._steps.append(_between(last, reading))

    def lose(self) -> None:
        """The data plane did not answer; the next reading begins anew."""
        self.is_known = False

    def last(self) -> Step | None:
        """The newest step, None before there is one."""
        return self._steps[-1] if self._steps else None

    def points(self) -> tuple[Step | None, ...]:
        """The whole quarter in `_POINTS` steps of equal length, oldest first; None before there was a reading."""
        missing: list[Step | None] = [None] * (STEPS - len(self._steps))
        steps = [*missing, *self._steps]
        size = STEPS // _POINTS
        return tuple(_joined([step for step in steps[at : at + size] if step]) for at in range(0, STEPS, size))

    def outcomes(self) -> tuple[tuple[str, int], ...]:
        """How exchanges ended in this quarter, the most frequent first."""
        total: Counter[str] = Counter()
        for step in self._steps:
            total.update(step.outcomes)
        return tuple((code, count) for code, count in total.most_common() if count)


def _between(before: Reading, after: Reading) -> Step:
    outcomes = {code: count - before.outcomes.get(code, 0) for code, count in after.outcomes.items()}
    return Step(
        after.at - before.at,
        {code: count for code, count in outcomes.items() if count > 0},
        max(0, after.bytes_up - before.bytes_up),
        max(0, after.bytes_down - before.bytes_down),
        after.bounds,
        tuple(max(0, now - then) for now, then in zip(after.latency, before.latency, strict=False)),
    )


def _joined(steps: Sequence[Step]) -> Step | None:
    if not steps:
        return None
    outcomes: Counter[str] = Counter()
    for step in steps:
        outcomes.update(step.outcomes)
    return Step(
        sum(step.seconds for step in steps),
        outcomes,
        sum(step.bytes_up for step in steps),
        sum(step.bytes_down for step in steps),
        steps[-1].bounds,
        tuple(map(sum, zip(*(step.latency for step in steps), strict=False))),
    )
