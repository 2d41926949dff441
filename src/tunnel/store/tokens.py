"""Capability tokens that were minted here, and what was revoked."""

import dataclasses

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.control.act import Act
from tunnel.core.control.credential import TokenRecord
from tunnel.core.control.facts import Revocation
from tunnel.core.control.page import Page, PageOf
from tunnel.core.token.token import AccountId, TokenId
from tunnel.store.driver import Transaction
from tunnel.store.errors import AlreadyExists, NotFound, Told
from tunnel.store.part import Part, bump, has_account, newest_first, no_place, note
from tunnel.store.rows import Cell, kinds_cell, token_of

_LAST_ID = b"\xff" * 17
"""Above every ID, where the first page begins."""


class Tokens(Part):
    """The calls of `TokenStore`."""

    async def record_token(self, token: TokenRecord, act: Act, now: UnixSeconds) -> Told[TokenRecord]:
        """The token. AlreadyExists for its ID; NotFound for its account."""

        async def work(tx: Transaction) -> Told[TokenRecord]:
            if not await has_account(tx, token.account):
                return Failure(NotFound("account", token.account.hex()))
            made = await tx.rows(
                "INSERT INTO tokens (token, account, label, pattern, kinds, names_max, streams_max, sessions_max, "
                "not_before, expiry, minted_by, created, revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING RETURNING label",
                token.token,
                token.account,
                token.label,
                token.pattern,
                kinds_cell(token.kinds),
                token.names_max,
                token.streams_max,
                token.sessions_max,
                token.not_before,
                token.expiry,
                token.minted_by,
                token.created,
                token.revoked,
            )
            if not made:
                return Failure(AlreadyExists("token", token.token.hex()))
            await note(tx, act, now, "token.mint", token.token.hex(), token.account, after=token)
            return Success(token)

        return await self._driver.write(work)

    async def token(self, token: TokenId) -> Told[TokenRecord]:
        """The token with this ID, or NotFound."""
        missing = NotFound("token", token.hex())
        return await self._one("SELECT {token} FROM tokens WHERE token = ?", (token,), token_of, missing)

    async def tokens(self, account: AccountId | None, page: Page) -> Told[PageOf[TokenRecord]]:
        """The tokens of one account, or all (None), newest first."""
        below = _below(page.after)
        if below is None:
            return Failure(no_place(page.after))
        if account is None:
            sql = "SELECT {token} FROM tokens WHERE (created, token) < (?, ?) ORDER BY created DESC, token DESC LIMIT ?"
            return await self._page(sql, below, page, token_of, _place)
        sql = (
            "SELECT {token} FROM tokens WHERE account = ? AND (created, token) < (?, ?) "
            "ORDER BY created DESC, token DESC LIMIT ?"
        )
        return await self._page(sql, (account, *below), page, token_of, _place)

    async def revoke_token(self, token: TokenId, act: Act, now: UnixSeconds) -> Told[TokenRecord]:
        """The token, revoked; the first revocation's time stays. NotFound when it was not minted here."""

        async def work(tx: Transaction) -> Told[TokenRecord]:
            found = await tx.rows("SELECT {token} FROM tokens WHERE token = ?", token)
            if not found:
                return Failure(NotFound("token", token.hex()))
            before = token_of(found[0])
            if before.revoked is not None:
                return Success(before)
            after = dataclasses.replace(before, revoked=now)
            await tx.rows("UPDATE tokens SET revoked = ? WHERE token = ?", now, token)
            await _revoke(tx, Revocation(token, before.account, now, before.expiry))
            await note(tx, act, now, "token.revoke", token.hex(), before.account, before, after)
            return Success(after)

        return await self._driver.write(work)

    async def revoke_step(self, step: Revocation, act: Act, now: UnixSeconds) -> Told[Revocation]:
        """The revocation of an ID that was never recorded: of a step narrowed offline. NotFound for the account."""

        async def work(tx: Transaction) -> Told[Revocation]:
            if not await has_account(tx, step.account):
                return Failure(NotFound("account", step.account.hex()))
            if await _revoke(tx, step):
                await note(tx, act, now, "token.revoke-step", step.token.hex(), step.account, after=step)
            return Success(step)

        return await self._driver.write(work)


async def _revoke(tx: Transaction, what: Revocation) -> bool:
    """Whether it was not revoked before, or not for so long: it is remembered until the latest end that was said."""
    made = await tx.rows(
        "INSERT INTO revocations (token, account, revoked, expiry) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (token) DO UPDATE SET expiry = excluded.expiry WHERE excluded.expiry > revocations.expiry "
        "RETURNING expiry",
        what.token,
        what.account,
        what.revoked,
        what.expiry,
    )
    if made:
        await bump(tx)
    return bool(made)


def _below(after: str) -> tuple[Cell, ...] | None:
    place = newest_first(after)
    if place is None:
        return None
    moment, key = place
    if not after:
        return (moment, _LAST_ID)
    try:
        return (moment, bytes.fromhex(key))
    except ValueError:
        return None


def _place(token: TokenRecord) -> str:
    return f"{token.created}.{token.token.hex()}"
