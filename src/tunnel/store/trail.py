"""The audit trail: added to, read, and signed at intervals; never changed."""

from collections.abc import Sequence
from typing import Final

from tunnel.core.audit.checkpoint import Checkpoint
from tunnel.core.audit.entry import AuditEntry, AuditFacts, ChainHead
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.control.page import PAGE_ROWS_MAX, Page, PageOf
from tunnel.store.cells import NUMBER_MAX
from tunnel.store.driver import Transaction
from tunnel.store.errors import AlreadyExists, Told
from tunnel.store.part import Part, append_entry, chain_head, no_place
from tunnel.store.port import AuditFilter
from tunnel.store.rows import Cell, checkpoint_of, entry_of

_NUMBER_DIGITS_MAX = 18
_ACTIONS: Final = (
    "WITH RECURSIVE begun (action) AS (SELECT min(action) FROM audit WHERE action >= ? UNION ALL "
    "SELECT (SELECT min(audit.action) FROM audit WHERE audit.action > begun.action) FROM begun "
    "WHERE substr(begun.action, 1, ?) = ?) SELECT action FROM begun WHERE substr(action, 1, ?) = ?"
)
"""The actions that begin so, a step in the index for each: there are some sixty, however long the trail is."""


class Trail(Part):
    """The calls of `AuditStore`."""

    async def note_audit(self, facts: AuditFacts) -> Told[AuditEntry]:
        """The entry of something that changed nothing in the store, such as a sign-in."""

        async def work(tx: Transaction) -> Told[AuditEntry]:
            return Success(await append_entry(tx, facts))

        return await self._driver.write(work)

    async def audit_head(self) -> Told[ChainHead]:
        """Where the chain has got to."""

        async def work(tx: Transaction) -> Told[ChainHead]:
            return Success(await chain_head(tx))

        return await self._driver.read(work)

    async def audit_page(self, chosen: AuditFilter, page: Page) -> Told[PageOf[AuditEntry]]:
        """The entries that the filter lets through, newest first."""
        below = _number(page.after)
        if below is None:
            return Failure(no_place(page.after))
        limit = min(max(page.limit, 1), PAGE_ROWS_MAX)

        async def work(tx: Transaction) -> Told[PageOf[AuditEntry]]:
            found = await _newest(tx, chosen, below, limit + 1)
            shown = tuple(found[:limit])
            return Success(PageOf(shown, str(shown[-1].number) if len(found) > limit else None))

        return await self._driver.read(work)

    async def audit_range(self, first: int, last: int, limit: int) -> Told[tuple[AuditEntry, ...]]:
        """The entries with these numbers, both included, ascending; at most `limit` and `PAGE_ROWS_MAX` of them."""
        sql = "SELECT {entry} FROM audit WHERE number >= ? AND number <= ? ORDER BY number LIMIT ?"
        return await self._all(sql, (first, last, min(max(limit, 0), PAGE_ROWS_MAX)), entry_of)

    async def add_checkpoint(self, checkpoint: Checkpoint) -> Told[None]:
        """Kept. AlreadyExists when there is one at that number, or another that follows the same one."""

        async def work(tx: Transaction) -> Told[None]:
            made = await tx.rows(
                "INSERT INTO checkpoints (number, digest, before_number, at, public_key, signature) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING number",
                checkpoint.number,
                checkpoint.digest,
                checkpoint.before,
                checkpoint.at,
                checkpoint.key,
                checkpoint.signature,
            )
            return Success(None) if made else Failure(AlreadyExists("checkpoint", str(checkpoint.number)))

        return await self._driver.write(work)

    async def checkpoints(self, first: int, last: int, limit: int) -> Told[tuple[Checkpoint, ...]]:
        """The checkpoints at these numbers, both included, ascending; at most `limit` and `PAGE_ROWS_MAX` of them."""
        sql = "SELECT {checkpoint} FROM checkpoints WHERE number >= ? AND number <= ? ORDER BY number LIMIT ?"
        return await self._all(sql, (first, last, min(max(limit, 0), PAGE_ROWS_MAX)), checkpoint_of)

    async def last_checkpoint(self) -> Told[Checkpoint | None]:
        """The checkpoint with the highest number, or None."""

        async def work(tx: Transaction) -> Told[Checkpoint | None]:
            found = await tx.rows("SELECT {checkpoint} FROM checkpoints ORDER BY number DESC LIMIT 1")
            return Success(checkpoint_of(found[0]) if found else None)

        return await self._driver.read(work)


async def _newest(tx: Transaction, chosen: AuditFilter, below: int, limit: int) -> list[AuditEntry]:
    """Those below a number, newest first. Only what is asked for is in the statement, so that an index serves it."""
    wanted: list[tuple[str, Cell]] = [("SELECT {entry} FROM audit WHERE number < ?", below)]
    if chosen.account is not None:
        wanted.append(("account = ?", chosen.account))
    if chosen.identity:
        wanted.append(("identity = ?", chosen.identity))
    if chosen.subject:
        wanted.append(("subject = ?", chosen.subject))
    if chosen.since is not None:
        wanted.append(("at >= ?", chosen.since))
    if chosen.until is not None:
        wanted.append(("at < ?", chosen.until))
    if not chosen.action:
        return await _matching(tx, wanted, limit)
    # Entries of one action are in the index in the order of the page; those of all that begin alike are not.
    size = len(chosen.action)
    actions = await tx.rows(_ACTIONS, chosen.action, size, chosen.action, size, chosen.action)
    found = [entry for (action,) in actions for entry in await _matching(tx, [*wanted, ("action = ?", action)], limit)]
    return sorted(found, key=lambda entry: entry.number, reverse=True)[:limit]


async def _matching(tx: Transaction, wanted: Sequence[tuple[str, Cell]], limit: int) -> list[AuditEntry]:
    sql = " AND ".join(clause for clause, _ in wanted) + " ORDER BY number DESC LIMIT ?"
    return [entry_of(row) for row in await tx.rows(sql, *(cell for _, cell in wanted), limit)]


def _number(after: str) -> int | None:
    if not after:
        return NUMBER_MAX
    is_number = after.isascii() and after.isdecimal() and len(after) <= _NUMBER_DIGITS_MAX
    return int(after) if is_number else None
