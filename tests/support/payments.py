"""A payment provider in memory, whose subscriptions change when a test says so, and messages as it would sign them."""

import json
from dataclasses import dataclass, field
from typing import Final

from stripe import WebhookSignature

from tunnel.api.billing.payments import ProviderAway, ProviderError, ProviderRefused
from tunnel.core.base.outcome import Failure, Outcome, Success
from tunnel.core.control.account import Account
from tunnel.core.control.billing import MeterReport, Subscription

SECRET: Final = "whsec_" + "s" * 32


@dataclass
class Provider:
    """What it knows, what it was told, and `fault`: what it answers instead while that is set."""

    held: dict[str, tuple[Subscription, ...]] = field(default_factory=dict)
    counted: dict[str, MeterReport] = field(default_factory=dict)
    fault: ProviderError | None = None
    answers_lost: int = 0
    """So many reports are counted without an answer that says so."""
    refusals: int = 0
    """So many reports are refused for good."""

    async def create_customer(self, account: Account, email: str) -> Outcome[str, ProviderError]:
        """The same customer each time."""
        return Success(f"cus_{account.name}") if self.fault is None else Failure(self.fault)

    async def subscriptions(self, customer: str) -> Outcome[tuple[Subscription, ...], ProviderError]:
        """What is held now."""
        return Success(self.held.get(customer, ())) if self.fault is None else Failure(self.fault)

    async def report(self, report: MeterReport) -> Outcome[None, ProviderError]:
        """Counted once, by its identifier; another report under the same identifier is an error of the test."""
        if self.fault is not None:
            return Failure(self.fault)
        if self.refusals:
            self.refusals -= 1
            return Failure(ProviderRefused("no such meter"))
        assert self.counted.setdefault(report.identifier, report) == report
        if self.answers_lost:
            self.answers_lost -= 1
            return Failure(ProviderAway("the answer was lost"))
        return Success(None)

    async def close(self) -> None:
        """Nothing to end."""


def message(event: str, customer: str, kind: str = "customer.subscription.updated") -> bytes:
    """The body of a message about a customer."""
    about = {"id": "sub_1", "object": "subscription", "customer": customer}
    return json.dumps({"id": event, "object": "event", "type": kind, "data": {"object": about}}).encode()


def signed(body: bytes, secret: str = SECRET, at: int | None = None) -> str:
    """The Stripe-Signature of a body; `at` is now unless it is said."""
    return str(WebhookSignature.generate_signature_header(body.decode("latin-1"), secret, at))
