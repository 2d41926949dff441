"""What the data plane is told."""

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success
from tunnel.core.control.facts import AccountFacts, DirectoryFacts
from tunnel.core.control.usage import UsageTotal
from tunnel.core.directory.month import month_of
from tunnel.store.driver import Transaction
from tunnel.store.errors import Told
from tunnel.store.part import Part
from tunnel.store.rows import account_of, name_of, number_of, plan_of, revocation_of, total_of
from tunnel.store.usage import MONTH_OF_ALL


class Facts(Part):
    """The calls of `FactStore`."""

    async def change_number(self) -> Told[int]:
        """Grows with every write that `directory_facts` depends on, whichever process made it."""

        async def work(tx: Transaction) -> Told[int]:
            return Success(await _number(tx))

        return await self._driver.read(work)

    async def directory_facts(self, now: UnixSeconds) -> Told[DirectoryFacts]:
        """All that the Directory is made of, in one consistent reading; revocations past their expiry are left out."""
        since = month_of(now)

        async def work(tx: Transaction) -> Told[DirectoryFacts]:
            number = await _number(tx)
            revoked = await tx.rows("SELECT {revocation} FROM revocations WHERE expiry > ? ORDER BY token", now)
            names = await tx.rows("SELECT {name} FROM names ORDER BY name")
            plans = [plan_of(row) for row in await tx.rows("SELECT {plan} FROM plans")]
            accounts = [account_of(row) for row in await tx.rows("SELECT {account} FROM accounts ORDER BY account")]
            totals = [total_of(row, since) for row in await tx.rows(MONTH_OF_ALL, since)]
            plan_named = {plan.plan: plan for plan in plans}
            used_by = {total.account: total for total in totals}
            return Success(
                DirectoryFacts(
                    number=number,
                    revoked=tuple(revocation_of(row) for row in revoked),
                    names=tuple(name_of(row) for row in names),
                    accounts=tuple(
                        AccountFacts(
                            account=account,
                            plan=plan_named[account.plan],
                            used=used_by.get(account.account, UsageTotal(account.account, since, 0, 0, 0, 0)),
                        )
                        for account in accounts
                    ),
                )
            )

        return await self._driver.read(work)


async def _number(tx: Transaction) -> int:
    return number_of((await tx.rows("SELECT number FROM changes WHERE only_row = 1"))[0])
