"""An account's plan, as its customer's subscriptions say now (BILL-SYNC)."""

from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

import anyio

from tunnel.api.billing.payments import Payments, ProviderError
from tunnel.core.base.outcome import Outcome, Success, value_of
from tunnel.core.control.act import Act
from tunnel.core.control.billing import BillingRecord, standing_of
from tunnel.ports import Clock
from tunnel.store.errors import StoreError
from tunnel.store.port import BillingStore

SyncError: TypeAlias = StoreError | ProviderError

BY_PROVIDER: Final = "stripe"
"""Who changes an account's plan, in the audit trail."""


@final
@dataclass(frozen=True, slots=True)
class Syncing:
    """Looks and writes, one customer at a time: whoever looks later also writes later, so the newest look stands."""

    store: BillingStore
    payments: Payments
    clock: Clock
    _turn: anyio.Lock = field(default_factory=anyio.Lock)

    async def sync(self, customer: str, event: str, request: str) -> Outcome[BillingRecord, SyncError]:
        """The record as it is now; nothing changes when the provider or the database is away."""
        async with self._turn:
            asked = await self.payments.subscriptions(customer)
            if not isinstance(asked, Success):
                return asked
            act = Act(identity=BY_PROVIDER, address="", key="", request=request)
            standing = standing_of(value_of(asked))
            return await self.store.apply_standing(customer, event, standing, act, self.clock.unix())
