"""The store on a driver: every noun's calls in one object, with migrations done before the first of them."""

from typing import Final, TypeVar, final

import anyio

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.store.accounts import Accounts
from tunnel.store.answers import Answers, Keeping
from tunnel.store.billing import Billing
from tunnel.store.driver import Database, Transaction, Work
from tunnel.store.errors import StoreUnavailable, Told
from tunnel.store.facts import Facts
from tunnel.store.journal import Journals
from tunnel.store.keys import Keys
from tunnel.store.migrating import Migration, MigrationError, describe, migrate
from tunnel.store.names import Names
from tunnel.store.port import Keeper, StoreHealth
from tunnel.store.sessions import WebSessions
from tunnel.store.tokens import Tokens
from tunnel.store.trail import Trail
from tunnel.store.usage import Usage

T = TypeVar("T")


@final
class Prepared:
    """A driver whose database has all migrations: they are applied before the first call that finds it there.

    The control process may start before its database: then its calls are answered `StoreUnavailable` until one is not.
    """

    def __init__(self, driver: Database, known: tuple[Migration, ...], now: UnixSeconds) -> None:
        self._driver: Final[Database] = driver
        self._known: Final = known
        self._now: Final = now
        self._turn: Final = anyio.Lock()
        self._is_ready = False
        self._tries = 0
        self._told: Told[Outcome[None, MigrationError]] = Success(Success(None))
        """What the last try came to."""

    @property
    def kind(self) -> str:
        """Which database."""
        return self._driver.kind

    async def prepare(self) -> Told[Outcome[None, MigrationError]]:
        """Success once the database has all migrations; it is asked only until then."""
        if self._is_ready:
            return Success(Success(None))
        tries = self._tries
        async with self._turn:
            if self._tries == tries:
                self._told = await self._prepared()
                self._tries += 1
            # Else somebody tried while we waited; to try again, each in its turn, would take for ever.
            return self._told

    async def read(self, work: Work[T]) -> Told[T]:
        """As the driver's, once it is prepared."""
        problem = None if self._is_ready else await self._problem()
        return await self._driver.read(work) if problem is None else Failure(problem)

    async def write(self, work: Work[T]) -> Told[T]:
        """As the driver's, once it is prepared."""
        problem = None if self._is_ready else await self._problem()
        return await self._driver.write(work) if problem is None else Failure(problem)

    async def version(self) -> Told[str]:
        """As the driver's."""
        return await self._driver.version()

    async def close(self) -> None:
        """As the driver's."""
        await self._driver.close()

    async def _prepared(self) -> Told[Outcome[None, MigrationError]]:
        step = await migrate(self._driver, self._known, self._now)
        if not isinstance(step, Success):
            return step
        made = value_of(step)
        if not isinstance(made, Success):
            return Success(made)
        self._is_ready = True
        return Success(Success(None))

    async def _problem(self) -> StoreUnavailable | None:
        prepared = await self.prepare()
        if not isinstance(prepared, Success):
            error = error_of(prepared)
            return error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error), 5)
        made = value_of(prepared)
        return None if isinstance(made, Success) else StoreUnavailable(describe(error_of(made)), 60)


@final
class SqlStore(Accounts, Keys, Tokens, Names, Usage, Facts, Trail, Journals, WebSessions, Answers, Billing):
    """The store of one database. Finished by `close`."""

    def keeping(self, keeper: Keeper) -> "SqlStore":
        """The same store, for one write: when that succeeds its answer is kept, in the same transaction."""
        return SqlStore(Keeping(self._driver, keeper))

    async def health(self) -> Told[StoreHealth]:
        """Success when the database can be written; what it is."""
        version = await self._driver.version()
        if not isinstance(version, Success):
            return version

        async def work(tx: Transaction) -> Told[StoreHealth]:
            # A statement that writes no row is refused where nothing may be written.
            await tx.rows("UPDATE changes SET number = number WHERE only_row = 0")
            newest = await tx.rows("SELECT number FROM migrations ORDER BY number DESC LIMIT 1")
            number = newest[0][0] if newest else 0
            return Success(StoreHealth(self._driver.kind, value_of(version), number if isinstance(number, int) else 0))

        return await self._driver.write(work)

    async def close(self) -> None:
        """Ends connections and threads; every later call is StoreUnavailable. Twice is no error."""
        await self._driver.close()
