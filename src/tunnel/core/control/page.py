"""Long lists, a page at a time: by the key of the last row seen, so that rows that come and go shift nothing."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar, final

T = TypeVar("T")

PAGE_ROWS: Final = 50
PAGE_ROWS_MAX: Final = 500
"""Bounds what one answer holds in memory; more is another page."""


@final
@dataclass(frozen=True, slots=True)
class Page:
    """Which page: at most `limit` rows (1 to `PAGE_ROWS_MAX`) beyond `after`, which a page before gave as `next`."""

    after: str = ""
    limit: int = PAGE_ROWS


@final
@dataclass(frozen=True, slots=True)
class PageOf(Generic[T]):
    """The rows of a page and where the next begins; None when there is no more."""

    items: tuple[T, ...]
    next: str | None
