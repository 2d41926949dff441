"""Customers at the payment provider, its news, and what of usage it was told."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.control.account import DEFAULT_PLAN
from tunnel.core.control.act import Act
from tunnel.core.control.billing import (
    BillingRecord,
    Meter,
    MeterReport,
    Standing,
    SubscriptionStatus,
    report_identifier,
)
from tunnel.core.control.page import Page, PageOf
from tunnel.core.control.usage import HOUR_SECONDS
from tunnel.core.token.token import AccountId
from tunnel.store.driver import Transaction
from tunnel.store.errors import AlreadyExists, NotFound, Told
from tunnel.store.part import Part, bump, has_account, note
from tunnel.store.rows import account_of, billing_of, number_of, report_of

EVENTS_KEPT_SECONDS: Final = 30 * 86_400
"""The provider sends a message again for three days."""
REPORTED_SECONDS_MAX: Final = 34 * 86_400
"""Older usage is not reported: the provider takes none that is more than 35 days old."""
SETTLED_SECONDS: Final = 300
"""After its end an hour is left alone for so long, as its last usage may still be on its way here."""
_SETTLING_HOURS_MAX: Final = 500
"""Hours that one call looks at, so that no transaction is long; the next call takes the next ones."""
_UNREPORTED: Final = (
    "SELECT u.account, u.hour, CAST(TOTAL AS BIGINT), CAST(coalesce(max(h.upto), 0) AS BIGINT) "
    "FROM usage_hours u JOIN billing b ON b.account = u.account "
    "LEFT JOIN billing_hours h ON h.account = u.account AND h.hour = u.hour AND h.meter = ? "
    "WHERE u.hour + ? > b.linked AND u.hour >= ? AND u.hour <= ? "
    "GROUP BY u.account, u.hour HAVING TOTAL > coalesce(max(h.upto), 0) ORDER BY u.hour, u.account LIMIT ?"
)
_UNREPORTED_OF: Final[Mapping[Meter, str]] = {
    Meter.REQUESTS: _UNREPORTED.replace("TOTAL", "sum(u.requests)"),
    Meter.BYTES: _UNREPORTED.replace("TOTAL", "sum(u.bytes_up + u.bytes_down)"),
}


class Billing(Part):
    """The calls of `BillingStore`."""

    async def link_customer(self, account: AccountId, customer: str, act: Act, now: UnixSeconds) -> Told[BillingRecord]:
        """The record. NotFound for the account; AlreadyExists when it, or the customer, is linked."""

        async def work(tx: Transaction) -> Told[BillingRecord]:
            if not await has_account(tx, account):
                return Failure(NotFound("account", account.hex()))
            made = BillingRecord(account, customer, now, DEFAULT_PLAN, "", SubscriptionStatus.CANCELED.value, now)
            done = await tx.rows(
                "INSERT INTO billing (account, customer, linked, plan, subscription, status, synced) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING customer",
                account,
                customer,
                now,
                made.plan,
                made.subscription,
                made.status,
                now,
            )
            if not done:
                return Failure(AlreadyExists("customer", customer))
            await note(tx, act, now, "billing.link", customer, account, after=made)
            return Success(made)

        return await self._driver.write(work)

    async def billing(self, account: AccountId) -> Told[BillingRecord]:
        """The account's customer and how it stands, or NotFound."""
        missing = NotFound("customer of account", account.hex())
        return await self._one("SELECT {billing} FROM billing WHERE account = ?", (account,), billing_of, missing)

    async def billing_of_customer(self, customer: str) -> Told[BillingRecord]:
        """The record with this customer, or NotFound: it is another program's."""
        sql = "SELECT {billing} FROM billing WHERE customer = ?"
        return await self._one(sql, (customer,), billing_of, NotFound("customer", customer))

    async def billings(self, page: Page) -> Told[PageOf[BillingRecord]]:
        """All of them, by customer."""
        sql = "SELECT {billing} FROM billing WHERE customer > ? ORDER BY customer LIMIT ?"
        return await self._page(sql, (page.after,), page, billing_of, lambda record: record.customer)

    async def has_billing_event(self, event: str) -> Told[bool]:
        """Whether a message of the provider was acted on."""

        async def work(tx: Transaction) -> Told[bool]:
            return Success(bool(await tx.rows("SELECT 1 FROM billing_events WHERE event = ?", event)))

        return await self._driver.read(work)

    async def apply_standing(
        self, customer: str, event: str, standing: Standing, act: Act, now: UnixSeconds
    ) -> Told[BillingRecord]:
        """The record as it is now; with it the account has its plan, and `event` ("": none) is remembered.

        NotFound for the customer, and for a plan that is none of ours; then nothing is changed or remembered.
        """

        async def work(tx: Transaction) -> Told[BillingRecord]:
            found = await tx.rows("SELECT {billing} FROM billing WHERE customer = ?", customer)
            if not found:
                return Failure(NotFound("customer", customer))
            if not await tx.rows("SELECT 1 FROM plans WHERE plan = ?", standing.plan):
                return Failure(NotFound("plan", standing.plan))
            before = billing_of(found[0])
            after = dataclasses.replace(
                before,
                plan=standing.plan,
                subscription=standing.subscription,
                status=standing.status.value,
                synced=now,
            )
            await tx.rows(
                "UPDATE billing SET plan = ?, subscription = ?, status = ?, synced = ? WHERE customer = ?",
                after.plan,
                after.subscription,
                after.status,
                now,
                customer,
            )
            if dataclasses.replace(after, synced=before.synced) != before:
                await note(tx, act, now, "billing.standing", customer, before.account, before, after)
            await _give_plan(tx, before.account, standing.plan, act, now)
            await _remember(tx, event, now)
            return Success(after)

        return await self._driver.write(work)

    async def settle_usage(self, now: UnixSeconds) -> Told[int]:
        """How many reports were written down: usage of hours that are over, beyond what was reported of them.

        Call it until it gives 0. Usage that comes late makes a report of its own.
        """

        async def work(tx: Transaction) -> Told[int]:
            made = 0
            for meter, sql in _UNREPORTED_OF.items():
                made += await _settle(tx, meter, sql, now)
            return Success(made)

        return await self._driver.write(work)

    async def due_reports(self, after: str, limit: int) -> Told[tuple[MeterReport, ...]]:
        """Reports that are written down and not known to be taken, by identifier, from behind `after` ("": all)."""
        sql = (
            "SELECT r.identifier, r.account, b.customer, r.hour, r.meter, r.quantity FROM billing_reports r "
            "JOIN billing b ON b.account = r.account WHERE r.identifier > ? ORDER BY r.identifier LIMIT ?"
        )
        return await self._all(sql, (after, limit), report_of)

    async def note_reported(self, identifiers: Sequence[str]) -> Told[None]:
        """The provider took these."""

        async def work(tx: Transaction) -> Told[None]:
            await tx.each(
                "DELETE FROM billing_reports WHERE identifier = ?", [(identifier,) for identifier in identifiers]
            )
            return Success(None)

        return await self._driver.write(work)


async def _give_plan(tx: Transaction, account: AccountId, plan: str, act: Act, now: UnixSeconds) -> None:
    before = account_of((await tx.rows("SELECT {account} FROM accounts WHERE account = ?", account))[0])
    if before.plan == plan:
        return
    await tx.rows("UPDATE accounts SET plan = ? WHERE account = ?", plan, account)
    after = dataclasses.replace(before, plan=plan)
    await note(tx, act, now, "account.change", before.name, account, before, after)
    await bump(tx)


async def _remember(tx: Transaction, event: str, now: UnixSeconds) -> None:
    await tx.rows("DELETE FROM billing_events WHERE at < ?", now - EVENTS_KEPT_SECONDS)
    if event:
        await tx.rows("INSERT INTO billing_events (event, at) VALUES (?, ?) ON CONFLICT DO NOTHING", event, now)


async def _settle(tx: Transaction, meter: Meter, sql: str, now: UnixSeconds) -> int:
    """Write down what is unreported of one meter, and that it was."""
    rows = await tx.rows(
        sql,
        meter.value,
        HOUR_SECONDS,
        now - REPORTED_SECONDS_MAX,
        now - HOUR_SECONDS - SETTLED_SECONDS,
        _SETTLING_HOURS_MAX,
    )
    for account, hour, upto, before in rows:
        if not isinstance(account, bytes):
            continue
        begun, counted, reported = UnixSeconds(number_of((hour,))), number_of((upto,)), number_of((before,))
        identifier = report_identifier(AccountId(account), begun, meter, counted)
        await tx.rows(
            "INSERT INTO billing_reports (identifier, account, hour, meter, quantity) VALUES (?, ?, ?, ?, ?)",
            identifier,
            account,
            begun,
            meter.value,
            counted - reported,
        )
        await tx.rows(
            "INSERT INTO billing_hours (account, hour, meter, upto) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (account, hour, meter) DO UPDATE SET upto = excluded.upto",
            account,
            begun,
            meter.value,
            counted,
        )
    return len(rows)
