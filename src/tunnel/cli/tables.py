"""Rows for people: columns as wide as they need, and never more than a terminal has."""

from collections.abc import Sequence
from typing import Final

WIDTH: Final = 80
_GAP: Final = "  "
_NARROWEST: Final = 8
"""What is left of a column that has to give way: enough to know a thing by."""
_FIRST: Final = 36
"""Likewise of the first column, which names the row: an ID stays whole."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A line of heads and one for each row, each of at most `WIDTH` characters; long cells end in `...`.

    The widest column gives way first.
    """
    if not rows:
        return []
    widths = [max(len(line[at]) for line in (head, *rows)) for at in range(len(head))]
    least = [_NARROWEST if at else _FIRST for at in range(len(head))]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > WIDTH:
        spare = [width - kept for width, kept in zip(widths, least, strict=True)]
        if max(spare) <= 0:
            break
        widths[max(range(len(spare)), key=lambda at: (spare[at] > 0, widths[at]))] -= 1
    return [_line(line, widths) for line in (head, *rows)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = [_cut(cell, width).ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return _GAP.join(shown).rstrip()


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 3] + "..."
