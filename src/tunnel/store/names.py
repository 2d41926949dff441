"""Reserved names, and the leases that the data plane reported."""

from collections.abc import Sequence
from typing import Final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.control.act import Act
from tunnel.core.control.name import LeaseRecord, NameRecord
from tunnel.core.control.page import PAGE_ROWS_MAX, Page, PageOf
from tunnel.core.token.token import AccountId
from tunnel.store.driver import Transaction
from tunnel.store.errors import AlreadyExists, NotFound, QuotaExceeded, Told
from tunnel.store.part import Part, bump, no_place, note
from tunnel.store.rows import Row, lease_of, name_of, number_of

LAPSED_SECONDS: Final = 86_400
"""So long a lease that lapsed is shown, to say who had the name; a server that is gone clears nothing away itself."""
_LEASE_PLACE_PARTS: Final = 3


class Names(Part):
    """The calls of `NameStore`."""

    async def reserve_name(self, name: NameRecord, act: Act, now: UnixSeconds) -> Told[NameRecord]:
        """The name. AlreadyExists, whoever has it; NotFound for the account; QuotaExceeded: the plan's `names_max`."""

        async def work(tx: Transaction) -> Told[NameRecord]:
            allowed = await tx.rows(
                "SELECT names_max FROM plans WHERE plan = (SELECT plan FROM accounts WHERE account = ?)", name.account
            )
            if not allowed:
                return Failure(NotFound("account", name.account.hex()))
            if await tx.rows("SELECT 1 FROM names WHERE name = ?", name.name):
                return Failure(AlreadyExists("name", name.name))
            limit = number_of(allowed[0])
            if limit and await _count(tx, name.account) >= limit:
                return Failure(QuotaExceeded("names", limit))
            await tx.rows(
                "INSERT INTO names (name, account, reserved, note) VALUES (?, ?, ?, ?)",
                name.name,
                name.account,
                name.reserved,
                name.note,
            )
            await note(tx, act, now, "name.reserve", name.name, name.account, after=name)
            await bump(tx)
            return Success(name)

        return await self._driver.write(work)

    async def release_name(
        self, name: Label, account: AccountId | None, act: Act, now: UnixSeconds
    ) -> Told[NameRecord]:
        """The name that was. NotFound, also when another than `account` has it (None: whoever has it)."""

        async def work(tx: Transaction) -> Told[NameRecord]:
            found = await tx.rows("SELECT {name} FROM names WHERE name = ?", name)
            before = name_of(found[0]) if found else None
            if before is None or account not in {None, before.account}:
                return Failure(NotFound("name", name))
            await tx.rows("DELETE FROM names WHERE name = ?", name)
            await note(tx, act, now, "name.release", name, before.account, before)
            await bump(tx)
            return Success(before)

        return await self._driver.write(work)

    async def name_holder(self, name: Label) -> Told[NameRecord]:
        """Who reserved the name, or NotFound."""
        return await self._one("SELECT {name} FROM names WHERE name = ?", (name,), name_of, NotFound("name", name))

    async def names(self, account: AccountId | None, page: Page) -> Told[PageOf[NameRecord]]:
        """The reserved names of one account, or all (None), by name."""
        if account is None:
            sql = "SELECT {name} FROM names WHERE name > ? ORDER BY name LIMIT ?"
            return await self._page(sql, (page.after,), page, name_of, lambda name: name.name)
        sql = "SELECT {name} FROM names WHERE account = ? AND name > ? ORDER BY name LIMIT ?"
        return await self._page(sql, (account, page.after), page, name_of, lambda name: name.name)

    async def note_leases(self, server: str, leases: Sequence[LeaseRecord], now: UnixSeconds) -> Told[None]:
        """These are all leases of this server; those it said before are forgotten. Not audited."""

        async def work(tx: Transaction) -> Told[None]:
            await tx.rows("DELETE FROM leases WHERE server = ? OR lapses <= ?", server, now - LAPSED_SECONDS)
            await tx.each(
                "INSERT INTO leases (name, account, session, peer, host, epoch, since, heartbeat, lapses, server) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name, server, session) DO UPDATE SET "
                "account = excluded.account, peer = excluded.peer, host = excluded.host, epoch = excluded.epoch, "
                "since = excluded.since, heartbeat = excluded.heartbeat, lapses = excluded.lapses",
                [_lease_cells(lease, server) for lease in leases],
            )
            return Success(None)

        return await self._driver.write(work)

    async def leases(self, account: AccountId | None, page: Page) -> Told[PageOf[LeaseRecord]]:
        """The leases last reported, of one account or all (None), by name, server and session; lapsed ones too."""
        after = page.after.split("\n") if page.after else [""] * _LEASE_PLACE_PARTS
        if len(after) != _LEASE_PLACE_PARTS:
            return Failure(no_place(page.after))
        if account is None:
            sql = (
                "SELECT {lease} FROM leases WHERE (name, server, session) > (?, ?, ?) "
                "ORDER BY name, server, session LIMIT ?"
            )
            return await self._page(sql, after, page, lease_of, _lease_place)
        sql = (
            "SELECT {lease} FROM leases WHERE account = ? AND (name, server, session) > (?, ?, ?) "
            "ORDER BY name, server, session LIMIT ?"
        )
        return await self._page(sql, (account, *after), page, lease_of, _lease_place)

    async def leases_of(self, name: Label) -> Told[tuple[LeaseRecord, ...]]:
        """Who answered for the name when last reported, newest epoch first; none is no error."""
        sql = "SELECT {lease} FROM leases WHERE name = ? ORDER BY epoch DESC, server, session LIMIT ?"
        return await self._all(sql, (name, PAGE_ROWS_MAX), lease_of)


async def _count(tx: Transaction, account: AccountId) -> int:
    """How many names the account has; nobody reserves another while this transaction is open."""
    return number_of((await tx.rows("SELECT count(*) FROM names WHERE account = ?", account))[0])


def _lease_place(lease: LeaseRecord) -> str:
    return f"{lease.name}\n{lease.server}\n{lease.session}"


def _lease_cells(lease: LeaseRecord, server: str) -> Row:
    times = (lease.since, lease.heartbeat, lease.lapses)
    return (lease.name, lease.account, lease.session, lease.peer, lease.host, lease.epoch, *times, server)
