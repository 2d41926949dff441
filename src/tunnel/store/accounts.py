"""Accounts and the people in them."""

import dataclasses

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.control.account import Account, AccountChange, Member
from tunnel.core.control.act import Act
from tunnel.core.control.page import PAGE_ROWS_MAX, Page, PageOf
from tunnel.core.control.roles import Role
from tunnel.core.token.token import AccountId
from tunnel.store.driver import Transaction
from tunnel.store.errors import AlreadyExists, NotFound, Told
from tunnel.store.part import Part, bump, has_account, note
from tunnel.store.rows import account_of, member_of


class Accounts(Part):
    """The calls of `AccountStore`."""

    async def create_account(self, account: Account, act: Act, now: UnixSeconds) -> Told[Account]:
        """The account, as it is now there. AlreadyExists for its ID or name; NotFound for its plan."""

        async def work(tx: Transaction) -> Told[Account]:
            if not await _has_plan(tx, account.plan):
                return Failure(NotFound("plan", account.plan))
            made = await tx.rows(
                "INSERT INTO accounts (account, name, created, plan, is_suspended, ttl_default, ttl_max) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING name",
                account.account,
                account.name,
                account.created,
                account.plan,
                int(account.is_suspended),
                account.ttl_default,
                account.ttl_max,
            )
            if not made:
                return Failure(AlreadyExists("account", account.name))
            await note(tx, act, now, "account.create", account.name, account.account, after=account)
            await bump(tx)
            return Success(account)

        return await self._driver.write(work)

    async def account(self, account: AccountId) -> Told[Account]:
        """The account with this ID, or NotFound."""
        missing = NotFound("account", account.hex())
        return await self._one("SELECT {account} FROM accounts WHERE account = ?", (account,), account_of, missing)

    async def account_named(self, name: str) -> Told[Account]:
        """The account with exactly this name, or NotFound."""
        missing = NotFound("account", name)
        return await self._one("SELECT {account} FROM accounts WHERE name = ?", (name,), account_of, missing)

    async def accounts(self, page: Page) -> Told[PageOf[Account]]:
        """All accounts, by name."""
        sql = "SELECT {account} FROM accounts WHERE name > ? ORDER BY name LIMIT ?"
        return await self._page(sql, (page.after,), page, account_of, lambda account: account.name)

    async def change_account(
        self, account: AccountId, change: AccountChange, act: Act, now: UnixSeconds
    ) -> Told[Account]:
        """The account as it is now. NotFound for it or its new plan; AlreadyExists for its new name."""

        async def work(tx: Transaction) -> Told[Account]:
            found = await tx.rows("SELECT {account} FROM accounts WHERE account = ?", account)
            if not found:
                return Failure(NotFound("account", account.hex()))
            before = account_of(found[0])
            after = changed(before, change)
            if after == before:
                return Success(before)
            if not await _has_plan(tx, after.plan):
                return Failure(NotFound("plan", after.plan))
            if await tx.rows("SELECT 1 FROM accounts WHERE name = ? AND account <> ?", after.name, account):
                return Failure(AlreadyExists("account", after.name))
            await tx.rows(
                "UPDATE accounts SET name = ?, plan = ?, is_suspended = ?, ttl_default = ?, ttl_max = ? "
                "WHERE account = ?",
                after.name,
                after.plan,
                int(after.is_suspended),
                after.ttl_default,
                after.ttl_max,
                account,
            )
            await note(tx, act, now, "account.change", after.name, account, before, after)
            await bump(tx)
            return Success(after)

        return await self._driver.write(work)

    async def add_member(self, member: Member, act: Act, now: UnixSeconds) -> Told[Member]:
        """The member. NotFound for the account; AlreadyExists when the identity is a member of it."""

        async def work(tx: Transaction) -> Told[Member]:
            if not await has_account(tx, member.account):
                return Failure(NotFound("account", member.account.hex()))
            made = await tx.rows(
                "INSERT INTO members (account, identity, role, added) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING RETURNING identity",
                member.account,
                member.identity,
                member.role.value,
                member.added,
            )
            if not made:
                return Failure(AlreadyExists("member", member.identity))
            await note(tx, act, now, "member.add", member.identity, member.account, after=member)
            return Success(member)

        return await self._driver.write(work)

    async def change_member(
        self, account: AccountId, identity: str, role: Role, act: Act, now: UnixSeconds
    ) -> Told[Member]:
        """The member with the new role, or NotFound; sessions that were opened with the old role end."""

        async def work(tx: Transaction) -> Told[Member]:
            before = await _member(tx, account, identity)
            if before is None:
                return Failure(NotFound("member", identity))
            after = dataclasses.replace(before, role=role)
            if after == before:
                return Success(before)
            await tx.rows(
                "UPDATE members SET role = ? WHERE account = ? AND identity = ?", role.value, account, identity
            )
            await _end_sessions(tx, account, identity)
            await note(tx, act, now, "member.change", identity, account, before, after)
            return Success(after)

        return await self._driver.write(work)

    async def members(self, account: AccountId, page: Page) -> Told[PageOf[Member]]:
        """The members of the account, by identity; none when there is no such account."""
        sql = "SELECT {member} FROM members WHERE account = ? AND identity > ? ORDER BY identity LIMIT ?"
        return await self._page(sql, (account, page.after), page, member_of, lambda member: member.identity)

    async def memberships(self, identity: str) -> Told[tuple[Member, ...]]:
        """What this identity is, account by account; at most `PAGE_ROWS_MAX`."""
        sql = "SELECT {member} FROM members WHERE identity = ? ORDER BY account LIMIT ?"
        return await self._all(sql, (identity, PAGE_ROWS_MAX), member_of)

    async def remove_member(self, account: AccountId, identity: str, act: Act, now: UnixSeconds) -> Told[Member]:
        """The member that was, or NotFound; sessions at the dashboard in that account end with it."""

        async def work(tx: Transaction) -> Told[Member]:
            before = await _member(tx, account, identity)
            if before is None:
                return Failure(NotFound("member", identity))
            await tx.rows("DELETE FROM members WHERE account = ? AND identity = ?", account, identity)
            await _end_sessions(tx, account, identity)
            await note(tx, act, now, "member.remove", identity, account, before)
            return Success(before)

        return await self._driver.write(work)


def changed(account: Account, change: AccountChange) -> Account:
    """The account with what the change names."""
    return Account(
        account=account.account,
        name=account.name if change.name is None else change.name,
        created=account.created,
        plan=account.plan if change.plan is None else change.plan,
        is_suspended=account.is_suspended if change.is_suspended is None else change.is_suspended,
        ttl_default=account.ttl_default if change.ttl_default is None else change.ttl_default,
        ttl_max=account.ttl_max if change.ttl_max is None else change.ttl_max,
    )


async def _has_plan(tx: Transaction, plan: str) -> bool:
    return bool(await tx.rows("SELECT 1 FROM plans WHERE plan = ?", plan))


async def _member(tx: Transaction, account: AccountId, identity: str) -> Member | None:
    found = await tx.rows("SELECT {member} FROM members WHERE account = ? AND identity = ?", account, identity)
    return member_of(found[0]) if found else None


async def _end_sessions(tx: Transaction, account: AccountId, identity: str) -> None:
    """A right that was taken away ends where it was in use (an API key's sessions have rights of their own)."""
    await tx.rows("DELETE FROM web_sessions WHERE account = ? AND identity = ? AND api_key = ''", account, identity)
