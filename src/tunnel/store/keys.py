"""API keys."""

import dataclasses

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.control.act import Act
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.page import Page, PageOf
from tunnel.core.token.token import AccountId
from tunnel.store.driver import Transaction
from tunnel.store.errors import AlreadyExists, NotFound, Told
from tunnel.store.part import Part, has_account, newest_first, no_place, note
from tunnel.store.rows import key_of, scopes_cell


class Keys(Part):
    """The calls of `KeyStore`."""

    async def mint_key(self, key: KeyRecord, act: Act, now: UnixSeconds) -> Told[KeyRecord]:
        """The key. AlreadyExists for its public part; NotFound for its account."""

        async def work(tx: Transaction) -> Told[KeyRecord]:
            if key.account is not None and not await has_account(tx, key.account):
                return Failure(NotFound("account", key.account.hex()))
            made = await tx.rows(
                "INSERT INTO api_keys (public_part, account, label, role, scopes, secret_hash, created, expires, "
                "revoked, last_used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING label",
                key.key,
                key.account,
                key.label,
                key.role.value,
                scopes_cell(key.scopes),
                key.secret_hash,
                key.created,
                key.expires,
                key.revoked,
                key.last_used,
            )
            if not made:
                return Failure(AlreadyExists("key", key.key))
            await note(tx, act, now, "key.mint", key.key, key.account, after=key)
            return Success(key)

        return await self._driver.write(work)

    async def key(self, key: str) -> Told[KeyRecord]:
        """The key with this public part, also when it is revoked or expired; or NotFound."""
        missing = NotFound("key", key)
        return await self._one("SELECT {key} FROM api_keys WHERE public_part = ?", (key,), key_of, missing)

    async def keys(self, account: AccountId | None, page: Page) -> Told[PageOf[KeyRecord]]:
        """The keys of one account, or all keys (None), newest first."""
        below = newest_first(page.after)
        if below is None:
            return Failure(no_place(page.after))
        if account is None:
            sql = (
                "SELECT {key} FROM api_keys WHERE (created, public_part) < (?, ?) "
                "ORDER BY created DESC, public_part DESC LIMIT ?"
            )
            return await self._page(sql, below, page, key_of, _place)
        sql = (
            "SELECT {key} FROM api_keys WHERE account = ? AND (created, public_part) < (?, ?) "
            "ORDER BY created DESC, public_part DESC LIMIT ?"
        )
        return await self._page(sql, (account, *below), page, key_of, _place)

    async def revoke_key(self, key: str, act: Act, now: UnixSeconds) -> Told[KeyRecord]:
        """The key, revoked; the first revocation's time stays. NotFound. Sessions opened with it end."""

        async def work(tx: Transaction) -> Told[KeyRecord]:
            found = await tx.rows("SELECT {key} FROM api_keys WHERE public_part = ?", key)
            if not found:
                return Failure(NotFound("key", key))
            before = key_of(found[0])
            if before.revoked is not None:
                return Success(before)
            after = dataclasses.replace(before, revoked=now)
            await tx.rows("UPDATE api_keys SET revoked = ? WHERE public_part = ?", now, key)
            await tx.rows("DELETE FROM web_sessions WHERE api_key = ?", key)
            await note(tx, act, now, "key.revoke", key, before.account, before, after)
            return Success(after)

        return await self._driver.write(work)

    async def note_key_used(self, key: str, now: UnixSeconds) -> Told[None]:
        """Success also when there is no such key. Not audited."""

        async def work(tx: Transaction) -> Told[None]:
            await tx.rows("UPDATE api_keys SET last_used = ? WHERE public_part = ?", now, key)
            return Success(None)

        return await self._driver.write(work)


def _place(key: KeyRecord) -> str:
    return f"{key.created}.{key.key}"
