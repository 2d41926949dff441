"""What billing asks of a payment provider, as a Protocol; `stripe_payments` is the one there is."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, final

from tunnel.core.base.outcome import Outcome
from tunnel.core.control.account import Account
from tunnel.core.control.billing import MeterReport, Subscription


@final
@dataclass(frozen=True, slots=True)
class ProviderAway:
    """No answer, or one that says to ask again; whether anything was done is not known."""

    detail: str


@final
@dataclass(frozen=True, slots=True)
class ProviderRefused:
    """The provider will not do it, now or later; `detail` is its own word, which has no secret in it."""

    detail: str


ProviderError: TypeAlias = ProviderAway | ProviderRefused


class Payments(Protocol):
    """A payment provider."""

    async def create_customer(self, account: Account, email: str) -> Outcome[str, ProviderError]:
        """The ID of the account's customer: asked twice, it is the same one."""

    async def subscriptions(self, customer: str) -> Outcome[tuple[Subscription, ...], ProviderError]:
        """All subscriptions of a customer as they stand now, also those that are over; none for a deleted customer."""

    async def report(self, report: MeterReport) -> Outcome[None, ProviderError]:
        """Count usage; a report that it has counted already is a success, and not counted again."""

    async def close(self) -> None:
        """Ends its connections."""
