"""What every noun of the store does alike: one row or NotFound, a page of rows, a write with its audit entry."""

import dataclasses
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, TypeVar

from tunnel.core.audit.entry import GENESIS, AuditEntry, AuditFacts, ChainHead, Plain, change_text, next_entry
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.control.act import Act
from tunnel.core.control.page import PAGE_ROWS_MAX, Page, PageOf
from tunnel.core.token.token import AccountId
from tunnel.store.cells import NUMBER_MAX
from tunnel.store.driver import Driver, Transaction
from tunnel.store.errors import NotFound, Told, Unstorable
from tunnel.store.rows import Cell, Row

T = TypeVar("T")

_MOMENT_DIGITS_MAX: Final = 18
_APPEND: Final = (
    "INSERT INTO audit (number, identity, address, api_key, request, action, subject, account, before_json, "
    "after_json, at, previous, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Part:
    """One noun's calls on a driver."""

    def __init__(self, driver: Driver) -> None:
        self._driver: Final = driver

    async def _one(self, sql: str, cells: Sequence[Cell], reader: Callable[[Row], T], missing: NotFound) -> Told[T]:
        async def work(tx: Transaction) -> Told[T]:
            found = await tx.rows(sql, *cells)
            return Success(reader(found[0])) if found else Failure(missing)

        return await self._driver.read(work)

    async def _all(self, sql: str, cells: Sequence[Cell], reader: Callable[[Row], T]) -> Told[tuple[T, ...]]:
        async def work(tx: Transaction) -> Told[tuple[T, ...]]:
            return Success(tuple(reader(row) for row in await tx.rows(sql, *cells)))

        return await self._driver.read(work)

    async def _page(
        self, sql: str, cells: Sequence[Cell], page: Page, reader: Callable[[Row], T], place: Callable[[T], str]
    ) -> Told[PageOf[T]]:
        """The statement's last placeholder is its LIMIT: one row more is asked for, to know whether there is more."""
        limit = min(max(page.limit, 1), PAGE_ROWS_MAX)

        async def work(tx: Transaction) -> Told[PageOf[T]]:
            items = [reader(row) for row in await tx.rows(sql, *cells, limit + 1)]
            shown = tuple(items[:limit])
            return Success(PageOf(shown, place(shown[-1]) if len(items) > limit else None))

        return await self._driver.read(work)


async def append_entry(tx: Transaction, facts: AuditFacts) -> AuditEntry:
    """The entry, in its place at the end of the chain; the transaction is a writer's, so nobody else appends."""
    last = await chain_head(tx)
    entry = next_entry(last, facts)
    await tx.rows(_APPEND, *_entry_cells(entry))
    return entry


async def append_entries(tx: Transaction, entries: Sequence[AuditEntry]) -> None:
    """Entries that follow the head of the chain and each other."""
    await tx.each(_APPEND, [_entry_cells(entry) for entry in entries])


async def chain_head(tx: Transaction) -> ChainHead:
    """Where the chain has got to."""
    for number, digest in await tx.rows("SELECT number, digest FROM audit ORDER BY number DESC LIMIT 1"):
        if isinstance(number, int) and isinstance(digest, bytes):
            return ChainHead(number, digest)
    return GENESIS


async def note(
    tx: Transaction,
    act: Act,
    now: UnixSeconds,
    action: str,
    subject: str,
    account: AccountId | None,
    before: object = None,
    after: object = None,
) -> None:
    """The audit entry of a change; `before` and `after` are records of the core, None for nothing."""
    facts = AuditFacts(act, action, subject, account, shown(before), shown(after), now)
    await append_entry(tx, facts)


async def bump(tx: Transaction) -> None:
    """The data plane has to be told something new."""
    await tx.rows("UPDATE changes SET number = number + 1 WHERE only_row = 1")


async def has_account(tx: Transaction, account: AccountId) -> bool:
    """Whether there is such an account; within a writer's transaction it stays so until the end."""
    return bool(await tx.rows("SELECT 1 FROM accounts WHERE account = ?", account))


def shown(record: object) -> str:
    """A record as JSON for people and auditors. A field that `repr` leaves out is secret, and is left out here too."""
    if not dataclasses.is_dataclass(record) or isinstance(record, type):
        return ""
    fields = [field for field in dataclasses.fields(record) if field.repr]
    return change_text([(field.name, _plain(getattr(record, field.name))) for field in fields])


def _plain(value: object) -> Plain:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name.lower()
    if isinstance(value, frozenset):
        return " ".join(sorted(str(_plain(item)) for item in value))
    return str(value)


def newest_first(after: str) -> tuple[int, str] | None:
    """The moment and the key that a page of newest rows begins below; None when it is no place in such a list."""
    if not after:
        return (NUMBER_MAX, "\U0010ffff")
    moment, dot, key = after.partition(".")
    if not dot or not key or not (moment.isascii() and moment.isdecimal()) or len(moment) > _MOMENT_DIGITS_MAX:
        return None
    return (int(moment), key)


def no_place(after: str) -> Unstorable:
    """The `after` of a page that no page before it gave."""
    return Unstorable("no place in this list; give back the `next` of a page before", ascii(after)[:80])


def _entry_cells(entry: AuditEntry) -> Row:
    facts, act = entry.facts, entry.facts.act
    return (
        entry.number,
        act.identity,
        act.address,
        act.key,
        act.request,
        facts.action,
        facts.subject,
        facts.account,
        facts.before,
        facts.after,
        facts.at,
        entry.previous,
        entry.digest,
    )
