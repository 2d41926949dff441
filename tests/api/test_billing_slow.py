"""A payment provider that takes the question and never answers: whoever asked is told so before its own time is up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tunnel.api.billing import stripe_payments
from tunnel.api.billing.payments import ProviderAway
from tunnel.api.billing.settings import BillingSettings
from tunnel.api.billing.stripe_payments import ANSWER_SECONDS_MAX, StripePayments
from tunnel.api.door import ANSWER_SECONDS_MAX as DOOR_SECONDS
from tunnel.core.base.outcome import Failure
from tunnel.store.postgres import TRANSACTION_SECONDS

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """The URL of a server that reads and says nothing."""
    held: list[asyncio.StreamWriter] = []

    def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    listener = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for writer in held:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@pytest.mark.shows("BILL-SYNC-002")
async def test_a_provider_that_never_answers_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_payments, "ANSWER_SECONDS_MAX", 0.5)
    async with silent_server() as url:
        payments = StripePayments(BillingSettings("sk_test_1", "whsec_1", url))
        assert await payments.subscriptions("cus_1") == Failure(ProviderAway("no answer within 0.5 s"))
        await payments.close()


@pytest.mark.shows("BILL-SYNC-002")
def test_a_look_and_its_writing_fit_into_the_time_of_an_answer() -> None:
    assert ANSWER_SECONDS_MAX + TRANSACTION_SECONDS < DOOR_SECONDS
