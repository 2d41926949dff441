"""Stripe, through its own package: the one file that knows its objects."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar, final

import stripe
from anyio import move_on_after
from stripe import StripeClient, StripeError

from tunnel.api.billing.payments import ProviderAway, ProviderError, ProviderRefused
from tunnel.api.billing.settings import BillingSettings
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.account import Account
from tunnel.core.control.billing import MeterReport, Subscription, status_of

T = TypeVar("T")

PLAN_METADATA: Final = "tunnel_plan"
"""A price (or its product's old-style plan) names one of our plans by this metadata key."""
ACCOUNT_METADATA: Final = "tunnel_account"
ANSWER_SECONDS_MAX: Final = 12.0
"""For an answer and all that is tried again for it: with what the database may take then, less than the door gives."""
_TRY_SECONDS: Final = 5.0
_RETRIES: Final = 2
_PAGE: Final = 100
_NOT_FOUND: Final = 404
_REFUSALS: Final = (400, 500)
_AWAY: Final = (409, 429)
"""Statuses that say to ask again: another request is at the same object, or there were too many."""
_DETAIL_CHARS_MAX: Final = 200
_KNOWN: Final = "already exists with"
"""What it says of a meter event whose identifier it has counted; there is no code for it."""
_GONE: Final = "there is no such object"


@final
class StripePayments:
    """The provider on one secret key. Finished by `close`."""

    def __init__(self, settings: BillingSettings) -> None:
        self._http: Final = stripe.HTTPXClient(timeout=_TRY_SECONDS, allow_sync_methods=False)
        self._client: Final = StripeClient(
            settings.key,
            base_addresses={"api": settings.api},
            http_client=self._http,
            max_network_retries=_RETRIES,
        )

    async def create_customer(self, account: Account, email: str) -> Outcome[str, ProviderError]:
        """The ID of the account's customer: asked twice within a day, it is the same one."""
        made = await _asked(
            self._client.v1.customers.create_async(
                {
                    "name": account.name,
                    "email": email,
                    "metadata": {ACCOUNT_METADATA: account.account.hex()},
                },
                {"idempotency_key": f"tunnel-customer-{account.account.hex()}"},
            )
        )
        return Success(str(value_of(made).id)) if isinstance(made, Success) else made

    async def subscriptions(self, customer: str) -> Outcome[tuple[Subscription, ...], ProviderError]:
        """All subscriptions of a customer as they stand now, also those that are over; none for a deleted customer."""
        asked = await _asked(
            self._client.v1.subscriptions.list_async({"customer": customer, "status": "all", "limit": _PAGE})
        )
        if not isinstance(asked, Success):
            error = error_of(asked)
            return Success(()) if isinstance(error, ProviderRefused) and error.detail == _GONE else asked
        return Success(tuple(_subscription_of(each.to_dict()) for each in value_of(asked).data))

    async def report(self, report: MeterReport) -> Outcome[None, ProviderError]:
        """Count usage; a report that it has counted already is a success, and not counted again."""
        sent = await _asked(
            self._client.v1.billing.meter_events.create_async(
                {
                    "event_name": report.meter.value,
                    "identifier": report.identifier,
                    "timestamp": report.hour,
                    "payload": {"stripe_customer_id": report.customer, "value": str(report.quantity)},
                },
                {"idempotency_key": report.identifier},
            )
        )
        if isinstance(sent, Success):
            return Success(None)
        error = error_of(sent)
        return Success(None) if isinstance(error, ProviderRefused) and _KNOWN in error.detail else Failure(error)

    async def close(self) -> None:
        """Ends its connections."""
        closing: Callable[[], Awaitable[None]] = self._http.close_async
        await closing()


async def _asked(question: Awaitable[T]) -> Outcome[T, ProviderError]:
    """The answer of the package, or what its exception means."""
    try:
        with move_on_after(ANSWER_SECONDS_MAX):
            return Success(await question)
        return Failure(ProviderAway(f"no answer within {ANSWER_SECONDS_MAX:g} s"))
    except StripeError as cause:
        status = cause.http_status or 0
        if status == _NOT_FOUND:
            return Failure(ProviderRefused(_GONE))
        words = cause.user_message or type(cause).__name__
        detail = f"{status}: {words}"[:_DETAIL_CHARS_MAX]
        is_final = _REFUSALS[0] <= status < _REFUSALS[1] and status not in _AWAY
        return Failure(ProviderRefused(detail) if is_final else ProviderAway(detail))


def _subscription_of(told: Mapping[str, object]) -> Subscription:
    """One subscription; what Stripe may add or leave out makes it one that entitles to nothing, never an error."""
    created = told.get("created")
    return Subscription(
        subscription=str(told.get("id")),
        status=status_of(str(told.get("status"))),
        plan=_plan_of(told),
        created=UnixSeconds(created if isinstance(created, int) else 0),
    )


def _plan_of(told: Mapping[str, object]) -> str:
    """The plan that the first of its prices names that names one."""
    items = told.get("items")
    held = items.get("data") if isinstance(items, dict) else None
    for item in held if isinstance(held, list) else []:
        for kind in ("price", "plan"):
            priced = item.get(kind) if isinstance(item, dict) else None
            metadata = priced.get("metadata") if isinstance(priced, dict) else None
            named = metadata.get(PLAN_METADATA) if isinstance(metadata, dict) else None
            if isinstance(named, str) and named:
                return named
    return ""
