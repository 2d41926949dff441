"""What a database must be able to do for the nouns beside this file: run one piece of work as one transaction.

SQL is written once, in what both databases understand: `?` for a value, and `{account}` for the columns of a noun in
the order in which `rows.py` reads them. Both are translated here and nowhere else.
"""

import functools
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, Protocol, TypeAlias, TypeVar

from tunnel.store.errors import Told, Unstorable
from tunnel.store.rows import COLUMNS, Cell, Row

T = TypeVar("T")
NUMBER_MAX: Final = (1 << 63) - 1
"""The largest number that both databases hold."""
CELL_BYTES_MAX: Final = 1 << 20
"""No single value of ours is larger; an answer kept for an idempotency key is the largest."""

_COLUMNS: Final = re.compile(r"\{([a-z_]+)\}")


class Transaction(Protocol):
    """A transaction that is open: what was read stays true and what was written is seen until it ends."""

    async def rows(self, sql: str, *cells: Cell) -> list[Row]:
        """The rows that the statement gives, none when it gives none."""

    async def each(self, sql: str, many: Sequence[Row]) -> None:
        """The statement, once for each of `many`."""

    async def script(self, sql: str) -> None:
        """Statements of a migration, one after the other, as they are written."""


Work: TypeAlias = Callable[[Transaction], Coroutine[object, None, Told[T]]]
"""What happens in one transaction: it may run more than once, so it changes nothing but the database."""


class Driver(Protocol):
    """A database. A transaction is committed when its work succeeds and undone when it fails or raises."""

    @property
    def kind(self) -> str:
        """`sqlite` or `postgres`: also the folder of its migrations."""

    async def read(self, work: Work[T]) -> Told[T]:
        """What the work gives, all of it read from one state of the database."""

    async def write(self, work: Work[T]) -> Told[T]:
        """What the work gives; of all writers of this database, in whatever process, one at a time is inside."""

    async def version(self) -> Told[str]:
        """What the database calls itself."""

    async def close(self) -> None:
        """Ends what is open; every later call is StoreUnavailable."""


@functools.lru_cache(maxsize=512)
def with_columns(sql: str) -> str:
    """The statement with `{noun}` replaced by that noun's columns."""
    return _COLUMNS.sub(lambda found: COLUMNS[found.group(1)], sql)


@functools.lru_cache(maxsize=512)
def with_percent(sql: str) -> str:
    """The statement with columns, and with the placeholders that psycopg wants."""
    return with_columns(sql).replace("%", "%%").replace("?", "%s")


def unfit(cells: Sequence[Cell]) -> Unstorable | None:
    """The first value that one of the databases cannot hold, so that both refuse it in the same words."""
    for cell in cells:
        if isinstance(cell, str):
            why = _unfit_text(cell)
        elif isinstance(cell, int):
            why = None if -NUMBER_MAX <= cell <= NUMBER_MAX else "a number beyond 64 bits"
        else:
            why = "more than a mebibyte" if cell is not None and len(cell) > CELL_BYTES_MAX else None
        if why is not None:
            return Unstorable(why, ascii(cell)[:80])
    return None


def _unfit_text(text: str) -> str | None:
    if len(text) > CELL_BYTES_MAX:
        return "more than a mebibyte"
    if "\x00" in text:
        return "text with a zero character"
    return None if _is_unicode(text) else "text with half a surrogate pair"


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
