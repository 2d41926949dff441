"""What a database must be able to do for the nouns beside this file: run one piece of work as one transaction.

SQL is written once, in what both databases understand: `?` for a value, and `{account}` for the columns of a noun in
the order in which `rows.py` reads them. Both are translated here and nowhere else.
"""

import functools
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, Protocol, TypeAlias, TypeVar

from tunnel.store.errors import Told
from tunnel.store.rows import COLUMNS, Cell, Row

T = TypeVar("T")
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


class Database(Driver, Protocol):
    """A driver that can change its tables too."""

    async def migrate(self, work: Work[T]) -> Told[T]:
        """As `write`, where a statement may take minutes, as on a large table."""


@functools.lru_cache(maxsize=512)
def with_columns(sql: str) -> str:
    """The statement with `{noun}` replaced by that noun's columns."""
    return _COLUMNS.sub(lambda found: COLUMNS[found.group(1)], sql)


@functools.lru_cache(maxsize=512)
def with_percent(sql: str) -> str:
    """The statement with columns, and with the placeholders that psycopg wants."""
    return with_columns(sql).replace("%", "%%").replace("?", "%s")
