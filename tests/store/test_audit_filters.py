"""Filters of the trail: each gives what it should, page by page, and has an index that is in the order of the page.

Without one a filter for what is rare reads the whole trail, which nobody ever shortens.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar, final

import pytest
from tests.support.store_world import ACT, NOW, Place, account_id, given, opened_store

from tunnel.core.audit.entry import AuditFacts
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.control.act import Act
from tunnel.core.control.page import Page
from tunnel.store.driver import Driver, Transaction, Work
from tunnel.store.errors import Told
from tunnel.store.open import DATABASE_FILE
from tunnel.store.port import AuditFilter, Store
from tunnel.store.rows import Cell, Row
from tunnel.store.sqlite import SqliteDriver
from tunnel.store.trail import Trail

pytestmark = pytest.mark.anyio

T = TypeVar("T")


def facts(number: int, identity: str = "who") -> AuditFacts:
    """What an entry says: every third has the same action."""
    act = Act(identity, ACT.address, ACT.key, ACT.request)
    return AuditFacts(act, f"test.{number % 3}", f"subject-{number}", account_id(1), "", "", UnixSeconds(NOW + number))


@pytest.mark.shows("STORE-AUDIT-003", "STORE-PAGE-001")
async def test_a_filter_by_the_beginning_of_actions_gives_each_entry_once_page_by_page(store: Store) -> None:
    for number in range(1, 24):
        given(await store.note_audit(facts(number)))
    found: list[int] = []
    page = given(await store.audit_page(AuditFilter(action="test.", account=account_id(1)), Page(limit=4)))
    while page.next is not None:
        assert len(page.items) == 4
        found += [entry.number for entry in page.items]
        page = given(await store.audit_page(AuditFilter(action="test.", account=account_id(1)), Page(page.next, 4)))
    assert [*found, *(entry.number for entry in page.items)] == list(range(23, 0, -1))


@final
class Explained:
    """A transaction that asks how each statement would be done before it does it."""

    def __init__(self, tx: Transaction, plans: list[str]) -> None:
        self._tx: Final = tx
        self._plans: Final = plans

    async def rows(self, sql: str, *cells: Cell) -> list[Row]:
        """The rows, and the plan."""
        self._plans.extend(str(row[3]) for row in await self._tx.rows(f"EXPLAIN QUERY PLAN {sql}", *cells))
        return await self._tx.rows(sql, *cells)

    async def each(self, sql: str, many: Sequence[Row]) -> None:
        """As ever."""
        await self._tx.each(sql, many)

    async def script(self, sql: str) -> None:
        """As ever."""
        await self._tx.script(sql)


@final
class Explaining:
    """A driver whose reading transactions are `Explained`."""

    def __init__(self, inner: Driver) -> None:
        self._inner: Final = inner
        self.plans: Final[list[str]] = []

    @property
    def kind(self) -> str:
        """As it is."""
        return self._inner.kind

    async def read(self, work: Work[T]) -> Told[T]:
        """With its plan."""
        return await self._inner.read(lambda tx: work(Explained(tx, self.plans)))

    async def write(self, work: Work[T]) -> Told[T]:
        """As ever."""
        return await self._inner.write(work)

    async def version(self) -> Told[str]:
        """As it is."""
        return await self._inner.version()

    async def close(self) -> None:
        """As it is."""
        await self._inner.close()


@pytest.mark.shows("STORE-AUDIT-006")
@pytest.mark.parametrize(
    ("chosen", "index"),
    [
        (AuditFilter(account=account_id(1)), "audit_by_account"),
        (AuditFilter(identity="who-3"), "audit_by_identity"),
        (AuditFilter(subject="subject-5"), "audit_by_subject"),
        (AuditFilter(action="test."), "audit_by_action"),
        (AuditFilter(action="test.", since=NOW), "audit_by_action"),
    ],
    ids=["account", "identity", "subject", "action", "action-since"],
)
async def test_each_filter_has_an_index_in_the_order_of_its_page(
    tmp_path: Path, chosen: AuditFilter, index: str
) -> None:
    store = await opened_store(Place("sqlite", "", tmp_path))
    for number in range(1, 10):
        given(await store.note_audit(facts(number, f"who-{number}")))
    await store.close()
    driver = Explaining(SqliteDriver(tmp_path / DATABASE_FILE))
    assert given(await Trail(driver).audit_page(chosen, Page())).items
    await driver.close()
    searched = [plan for plan in driver.plans if plan.startswith(("SEARCH audit", "SCAN audit"))]
    assert searched
    assert all(plan.startswith("SEARCH") and index in plan for plan in searched)
    assert not [plan for plan in driver.plans if "TEMP B-TREE" in plan]
