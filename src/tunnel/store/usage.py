"""Plans, and what was used."""

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.control.account import Plan
from tunnel.core.control.act import Act
from tunnel.core.control.page import PAGE_ROWS_MAX, Page, PageOf
from tunnel.core.control.usage import UsageHour, UsageTotal
from tunnel.core.directory.month import month_of
from tunnel.core.token.token import AccountId
from tunnel.store.driver import Transaction
from tunnel.store.errors import NotFound, Told
from tunnel.store.part import Part, bump, newest_first, no_place, note
from tunnel.store.rows import hour_of, plan_of, total_of


class Usage(Part):
    """The calls of `UsageStore`."""

    async def plans(self) -> Told[tuple[Plan, ...]]:
        """All plans, by name; `DEFAULT_PLAN` is always among them."""
        return await self._all("SELECT {plan} FROM plans ORDER BY plan LIMIT ?", (PAGE_ROWS_MAX,), plan_of)

    async def plan(self, plan: str) -> Told[Plan]:
        """The plan with this name, or NotFound."""
        return await self._one("SELECT {plan} FROM plans WHERE plan = ?", (plan,), plan_of, NotFound("plan", plan))

    async def set_plan(self, plan: Plan, act: Act, now: UnixSeconds) -> Told[Plan]:
        """The plan, made or changed."""

        async def work(tx: Transaction) -> Told[Plan]:
            found = await tx.rows("SELECT {plan} FROM plans WHERE plan = ?", plan.plan)
            before = plan_of(found[0]) if found else None
            if before == plan:
                return Success(plan)
            await tx.rows(
                "INSERT INTO plans (plan, names_max, endpoints_max, requests_month, bytes_month, requests_second) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (plan) DO UPDATE SET names_max = excluded.names_max, "
                "endpoints_max = excluded.endpoints_max, requests_month = excluded.requests_month, "
                "bytes_month = excluded.bytes_month, requests_second = excluded.requests_second",
                plan.plan,
                plan.names_max,
                plan.endpoints_max,
                plan.requests_month,
                plan.bytes_month,
                plan.requests_second,
            )
            await note(tx, act, now, "plan.set", plan.plan, None, before, plan)
            await bump(tx)
            return Success(plan)

        return await self._driver.write(work)

    async def usage(
        self, account: AccountId, since: UnixSeconds, until: UnixSeconds, page: Page
    ) -> Told[PageOf[UsageHour]]:
        """The hours that begin in [since, until), by hour and name."""
        place = newest_first(page.after) if page.after else (-1, "")
        if place is None:
            return Failure(no_place(page.after))
        sql = (
            "SELECT {hour} FROM usage_hours WHERE account = ? AND hour >= ? AND hour < ? AND (hour, name) > (?, ?) "
            "ORDER BY hour, name LIMIT ?"
        )
        return await self._page(sql, (account, since, until, *place), page, hour_of, _place)

    async def usage_month(self, account: AccountId, now: UnixSeconds) -> Told[UsageTotal]:
        """What the account used since the first of the month of `now`, in UTC."""
        since = month_of(now)

        async def work(tx: Transaction) -> Told[UsageTotal]:
            used = [total_of(row, since) for row in await tx.rows(MONTH_OF_ONE, account, since)]
            return Success(used[0] if used else UsageTotal(account, since, 0, 0, 0, 0))

        return await self._driver.read(work)


MONTH_OF_ONE = (
    "SELECT account, CAST(sum(requests) AS BIGINT), CAST(sum(bytes_up) AS BIGINT), "
    "CAST(sum(bytes_down) AS BIGINT), CAST(sum(connections) AS BIGINT) "
    "FROM usage_hours WHERE account = ? AND hour >= ? GROUP BY account"
)
MONTH_OF_ALL = (
    "SELECT accounts.account, CAST(sum(requests) AS BIGINT), CAST(sum(bytes_up) AS BIGINT), "
    "CAST(sum(bytes_down) AS BIGINT), CAST(sum(connections) AS BIGINT) FROM accounts "
    "JOIN usage_hours ON usage_hours.account = accounts.account AND usage_hours.hour >= ? GROUP BY accounts.account"
)
"""Account by account, as its hours are found by the key then: asked of all hours, SQLite reads those of all years."""


def _place(hour: UsageHour) -> str:
    return f"{hour.hour}.{hour.name}"
