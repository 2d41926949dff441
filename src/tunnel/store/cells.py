"""What both databases refuse to keep, found before either is asked, so that both refuse it in the same words."""

from collections.abc import Sequence
from typing import Final

from tunnel.store.errors import Unstorable
from tunnel.store.rows import Cell

NUMBER_MAX: Final = (1 << 63) - 1
"""The largest number that both databases hold."""
CELL_BYTES_MAX: Final = 1 << 20
"""No single value of ours is larger; an answer kept for an idempotency key is the largest."""
_SEEN_CHARS: Final = 80


class UnfitCellError(Exception):
    """A value that no database of ours can hold was on its way to one: a transaction ends, its caller gets `error`."""

    def __init__(self, error: Unstorable) -> None:
        super().__init__(error.why)
        self.error: Final = error


def refuse_unfit(cells: Sequence[Cell]) -> None:
    """Raises `UnfitCellError` for the first value that one of the databases cannot hold."""
    for cell in cells:
        why = _unfit(cell)
        if why is not None:
            raise UnfitCellError(Unstorable(why, ascii(cell)[:_SEEN_CHARS]))


def _unfit(cell: Cell) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, int):
        return None if -NUMBER_MAX <= cell <= NUMBER_MAX else "a number beyond 64 bits"
    if len(cell) > CELL_BYTES_MAX:
        return "more than a mebibyte"
    if isinstance(cell, bytes) or (cell.isascii() and "\x00" not in cell):
        return None
    if "\x00" in cell:
        return "text with a zero character"
    is_unicode = not any("\ud800" <= character <= "\udfff" for character in cell)
    return None if is_unicode else "text with half a surrogate pair"
