"""Billing with Stripe's own package against localstripe: customers, subscriptions, webhooks as they are sent, meters.

Left out where localstripe is not installed (`make api-fuzz` and `.ci/run` install it, in an environment of its own).
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.support.api_world import OURS, SHELL, World, api_world
from tests.support.payments import SECRET

from tunnel.api.billing.payments import ProviderAway, ProviderRefused
from tunnel.api.billing.settings import BillingSettings
from tunnel.api.billing.stripe_payments import StripePayments
from tunnel.api.billing.syncing import Syncing
from tunnel.api.billing.webhook import webhook
from tunnel.api.door import Door
from tunnel.api.listening import serve_application
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.control.account import Plan
from tunnel.core.control.billing import Meter, MeterReport, SubscriptionStatus
from tunnel.drive.address import Address
from tunnel.drive.listener import bind, places_of

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = Path(os.environ.get("PEERS_PYTHON", ROOT / ".venv-peers" / "bin" / "python"))

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not PYTHON.exists(), reason="localstripe is not installed"),
    # Stripe's package hands bytes to httpx by a name that httpx has given up.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]


@asynccontextmanager
async def stripe_server() -> AsyncIterator[str]:
    """The URL of a localstripe with nothing in it."""
    program = ROOT / "tests" / "support" / "localstripe_metered"
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def listening(world: World) -> AsyncIterator[str]:
    """The URL of the world's application on a real port."""
    places = await places_of(Address("127.0.0.1", 0))
    assert isinstance(places, Success)
    bound = bind(value_of(places), 0)
    assert isinstance(bound, Success)
    sockets, stop = value_of(bound), asyncio.Event()
    door = Door("127.0.0.1")
    door.turn_to(world.app)
    port = sockets[0].getsockname()[1]
    serving = asyncio.ensure_future(serve_application(door, sockets, stop))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        await serving


async def told(url: str, path: str, fields: dict[str, str]) -> dict[str, object]:
    """What localstripe answers to what an operator does in Stripe's own dashboard."""
    async with httpx.AsyncClient(base_url=url, auth=("sk_test_1", "")) as client:
        answer = await client.post(path, data=fields)
        answer.raise_for_status()
        made: dict[str, object] = answer.json() if answer.content else {}
        return made


async def until_plan(world: World, plan: str) -> None:
    """Return once our account has the plan."""
    async with asyncio.timeout(30):
        while True:
            found = await world.plane.store.account(OURS)
            if isinstance(found, Success) and value_of(found).plan == plan:
                return
            await asyncio.sleep(0.05)


@pytest.mark.shows("BILL-PLAN-001", "BILL-HOOK-003", "BILL-SYNC-001")
async def test_a_subscription_made_and_cancelled_at_stripe_is_a_plan_here(tmp_path: Path) -> None:
    async with stripe_server() as url, api_world(tmp_path) as world:
        store, now = world.plane.store, world.clock.unix()
        assert isinstance(await store.set_plan(Plan("pro", 1, 1, 1, 1, 1), SHELL, now), Success)
        settings = BillingSettings("sk_test_1", SECRET, url)
        payments = StripePayments(settings)
        world.app.include_router(webhook(settings, Syncing(store, payments, world.clock)))
        ours = await store.account(OURS)
        assert isinstance(ours, Success)
        made = await payments.create_customer(value_of(ours), "ada@example.com")
        assert isinstance(made, Success), made
        customer = value_of(made)
        assert await payments.subscriptions(customer) == Success(())
        assert isinstance(await store.link_customer(OURS, customer, SHELL, now), Success)
        async with listening(world) as api:
            hook = {"url": f"{api}/billing/webhook", "secret": SECRET}
            await told(url, "/_config/webhooks/ours", hook)
            priced = {
                "id": "price-of-pro",
                "amount": "0",
                "currency": "eur",
                "interval": "month",
                "metadata[tunnel_plan]": "pro",
                "product[name]": "tunnel pro",
            }
            await told(url, "/v1/plans", priced)
            bought = await told(url, "/v1/subscriptions", {"customer": customer, "items[0][plan]": "price-of-pro"})
            await until_plan(world, "pro")
            held = await payments.subscriptions(customer)
            assert isinstance(held, Success)
            assert [(each.status, each.plan) for each in value_of(held)] == [(SubscriptionStatus.ACTIVE, "pro")]
            async with httpx.AsyncClient(base_url=url, auth=("sk_test_1", "")) as client:
                (await client.delete(f"/v1/subscriptions/{bought['id']}")).raise_for_status()
            await until_plan(world, "free")
        await payments.close()


@pytest.mark.shows("BILL-METER-001", "BILL-METER-002")
async def test_a_report_is_counted_once_and_refusals_are_told_apart() -> None:
    async with stripe_server() as url:
        payments = StripePayments(BillingSettings("sk_test_1", SECRET, url))
        report = MeterReport("one-1", OURS, "cus_1", UnixSeconds(1_900_000_000), Meter.REQUESTS, 7)
        assert await payments.report(report) == Success(None)
        assert await payments.report(report) == Success(None)
        async with httpx.AsyncClient(base_url=url, auth=("sk_test_1", "")) as client:
            counted = (await client.get("/_meter_events")).json()
        assert counted["one-1"]["payload[value]"] == "7"
        assert counted["one-1"]["payload[stripe_customer_id]"] == "cus_1"
        assert len(counted) == 1
        assert await payments.subscriptions("cus_none") == Success(())
        refused = await payments.subscriptions("no-customer")
        assert isinstance(refused, Failure)
        assert isinstance(error_of(refused), ProviderRefused)
        await payments.close()
    away = StripePayments(BillingSettings("sk_test_1", SECRET, url))
    unanswered = await away.subscriptions("cus_1")
    assert isinstance(unanswered, Failure)
    assert isinstance(error_of(unanswered), ProviderAway)
    await away.close()
