"""Plots as values: what a template draws as inline SVG, with the words for those who do not see it.

All coordinates are computed here, so that a template holds no arithmetic and a test can ask where a point went.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

WIDTH: Final = 640
HEIGHT: Final = 180
LEFT: Final = 52
RIGHT: Final = 8
TOP: Final = 10
BOTTOM: Final = 24
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_LEAST_TOP: Final = 1e-9
"""What is less is drawn as nothing: tenths of it would end at a zero that nothing can be divided by."""
_EMPTY_TOP: Final = 1.0


@final
@dataclass(frozen=True, slots=True)
class Series:
    """One row of numbers over time; `style` names a class of the style sheet. None: nothing was known then."""

    label: str
    style: str
    values: tuple[float | None, ...]


@final
@dataclass(frozen=True, slots=True)
class Mark:
    """One mark of an axis: where, and what it says."""

    at: float
    text: str


@final
@dataclass(frozen=True, slots=True)
class Line:
    """One drawn row: `path` for the line, `area` for what is under it ("" for none), `last` its newest in words."""

    label: str
    style: str
    path: str
    area: str
    last: str


@final
@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a plot of bars, in the coordinates of the plot; `title` says what it is."""

    x: float
    y: float
    width: float
    height: float
    title: str


@final
@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing, and `summary`: the same in one or two sentences."""

    key: str
    title: str
    summary: str
    lines: tuple[Line, ...]
    bars: tuple[Bar, ...]
    rows: tuple[Mark, ...]
    columns: tuple[Mark, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw yet."""
        return not self.bars and not any(line.path for line in self.lines)


Words = Callable[[float], str]


def line_plot(
    key: str, title: str, series: Sequence[Series], columns: Sequence[str], words: Words, *, filled: bool = False
) -> Plot:
    """Rows of equal length over the same time; `columns` are the words below, spread evenly from left to right."""
    top = _nice_top(max((value for row in series for value in row.values if value is not None), default=0.0))
    lines = tuple(_line(row, top, words, filled=filled) for row in series)
    return Plot(key, title, _summary_of_lines(series, words), lines, (), _row_marks(top, words), _column_marks(columns))


def bar_plot(key: str, title: str, values: Sequence[tuple[str, float]], columns: Sequence[str], words: Words) -> Plot:
    """One bar a value, in their order; each value comes with its name."""
    top = _nice_top(max((value for _, value in values), default=0.0))
    pitch = (WIDTH - LEFT - RIGHT) / max(len(values), 1)
    bars = tuple(
        Bar(
            round(LEFT + number * pitch + pitch * 0.1, 1),
            _y(value, top),
            round(pitch * 0.8, 1),
            round(HEIGHT - BOTTOM - _y(value, top), 1),
            f"{name}: {words(value)}",
        )
        for number, (name, value) in enumerate(values)
        if value > 0
    )
    highest = max(values, key=lambda pair: pair[1], default=("", 0.0))
    said = f"Highest: {words(highest[1])} at {highest[0]}." if bars else "Nothing yet."
    return Plot(key, title, said, (), bars, _row_marks(top, words), _column_marks(columns))


def _nice_top(highest: float) -> float:
    """The top of the axis: the smallest round number that is not below the highest value."""
    if highest < _LEAST_TOP:
        return _EMPTY_TOP
    power = 1.0
    while power * 10 <= highest:
        power *= 10
    while power > highest:
        power /= 10
    return next((step * power for step in _STEPS if step * power >= highest), 10 * power)


def _x(number: int, of: int) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * number / max(of - 1, 1), 1)


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)


def _line(row: Series, top: float, words: Words, *, filled: bool) -> Line:
    path: list[str] = []
    area: list[str] = []
    start: float | None = None
    at = 0.0
    for number, value in enumerate(row.values):
        if value is None:
            if start is not None:
                area.append(f"L{at} {HEIGHT - BOTTOM}L{start} {HEIGHT - BOTTOM}Z")
            start = None
            continue
        at = _x(number, len(row.values))
        step = f"{'M' if start is None else 'L'}{at} {_y(value, top)}"
        start = at if start is None else start
        path.append(step)
        area.append(step)
    if start is not None:
        area.append(f"L{at} {HEIGHT - BOTTOM}L{start} {HEIGHT - BOTTOM}Z")
    known = [value for value in row.values if value is not None]
    last = words(known[-1]) if known else "nothing yet"
    return Line(row.label, row.style, "".join(path), "".join(area) if filled else "", last)


def _summary_of_lines(series: Sequence[Series], words: Words) -> str:
    said = []
    for row in series:
        known = [value for value in row.values if value is not None]
        if known:
            said.append(
                f"{row.label}: now {words(known[-1])}, lowest {words(min(known))}, highest {words(max(known))}."
            )
    return " ".join(said) or "Nothing yet."


def _row_marks(top: float, words: Words) -> tuple[Mark, ...]:
    return tuple(Mark(_y(top * part / 2, top), words(top * part / 2)) for part in range(3))


def _column_marks(columns: Sequence[str]) -> tuple[Mark, ...]:
    return tuple(Mark(_x(number, len(columns)), text) for number, text in enumerate(columns))
