"""Billing put together: its route, its service, and the provider behind both."""

from tunnel.api.billing import service
from tunnel.api.billing.settings import BillingSettings
from tunnel.api.billing.stripe_payments import StripePayments
from tunnel.api.billing.syncing import Syncing
from tunnel.api.billing.webhook import webhook
from tunnel.api.extra import Extra
from tunnel.api.plane import Plane


def begin(plane: Plane) -> Extra:
    """Billing on a plane whose settings ask for it."""
    settings = plane.settings.billing or BillingSettings("", "")
    payments = StripePayments(settings)
    syncing = Syncing(plane.store, payments, plane.clock)

    async def run(plane: Plane) -> None:
        await service.run(syncing, plane.board)

    return Extra(service.SERVICE, webhook(settings, syncing), run, payments.close)
