"""Messages of a payment provider, and what it is told: whatever comes in whatever order, plans and counts end right."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import pytest
from httpx import Response
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.api_world import OURS, SHELL, World, api_world
from tests.support.payments import SECRET, Provider, message, signed

from tunnel.api.billing.messages import Message, MessageFault, message_of, read_message
from tunnel.api.billing.payments import ProviderAway, ProviderRefused
from tunnel.api.billing.service import describe, report_usage, sync_all
from tunnel.api.billing.settings import BillingSettings, billing_settings
from tunnel.api.billing.syncing import Syncing
from tunnel.api.billing.webhook import webhook
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success, error_of, value_of
from tunnel.core.control.account import Plan
from tunnel.core.control.billing import Subscription, SubscriptionStatus
from tunnel.core.control.usage import HOUR_SECONDS
from tunnel.core.journal.records import JournalId, UsageNoted
from tunnel.store.errors import NotFound

CUSTOMER: Final = "cus_1"
GONE: Final = ProviderAway("nobody answers")


@asynccontextmanager
async def billed(state: Path) -> AsyncIterator[tuple[World, Provider, Syncing]]:
    """A control process that bills; our account is a customer, and may have the plans pro and team."""
    async with api_world(state) as world:
        store, now = world.plane.store, world.clock.unix()
        for name in ("pro", "team"):
            assert isinstance(await store.set_plan(Plan(name, 1, 1, 1, 1, 1), SHELL, now), Success)
        assert isinstance(await store.link_customer(OURS, CUSTOMER, SHELL, now), Success)
        provider = Provider()
        syncing = Syncing(store, provider, world.clock)
        world.app.include_router(webhook(BillingSettings("sk_test", SECRET), syncing))
        yield world, provider, syncing


async def post(world: World, body: bytes, signature: str | None = None) -> Response:
    """The answer to one message."""
    shown = signed(body) if signature is None else signature
    fields = {"Stripe-Signature": shown, "Content-Type": "application/json"}
    return await world.client.post("/billing/webhook", content=body, headers=fields)


async def plan_of(world: World) -> str:
    """The plan that our account has."""
    found = await world.plane.store.account(OURS)
    assert isinstance(found, Success)
    return value_of(found).plan


async def trail(world: World) -> int:
    """How long the audit trail is."""
    head = await world.plane.store.audit_head()
    assert isinstance(head, Success)
    return value_of(head).number


def subscription(plan: str, status: SubscriptionStatus = SubscriptionStatus.ACTIVE) -> Subscription:
    """The one that our customer has."""
    return Subscription("sub_1", status, plan, UnixSeconds(1))


@pytest.mark.shows("BILL-HOOK-003", "BILL-HOOK-004", "BILL-SYNC-001")
@settings(max_examples=15)
@given(data=st.data())
def test_any_order_of_messages_comes_to_the_provider_s_truth(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The subscription changes; its messages come late, twice, in any order, or not at all but for the last."""

    async def main() -> None:
        async with billed(tmp_path_factory.mktemp("state")) as (world, provider, _):
            late: list[bytes] = []
            for number in range(data.draw(st.integers(1, 5))):
                status = data.draw(st.sampled_from(SubscriptionStatus))
                provider.held[CUSTOMER] = (subscription(data.draw(st.sampled_from(["pro", "team"])), status),)
                late.append(message(f"evt_{number}", CUSTOMER))
                for body in data.draw(st.lists(st.sampled_from(late), max_size=2)):
                    assert (await post(world, body)).status_code == 200
            for body in data.draw(st.permutations([*late, *late])):
                assert (await post(world, body)).status_code == 200
            assert (await post(world, message("evt_last", CUSTOMER))).status_code == 200
            only = provider.held[CUSTOMER][0]
            entitles = only.status.value in ("active", "trialing", "past_due")
            assert await plan_of(world) == (only.plan if entitles else "free")
            length = await trail(world)
            for body in late:
                assert (await post(world, body)).json() == {"result": "known"}
            assert await trail(world) == length

    anyio.run(main)


@pytest.mark.anyio
@pytest.mark.shows("BILL-HOOK-001", "BILL-HOOK-002")
async def test_what_is_not_signed_or_no_event_changes_nothing(tmp_path: Path) -> None:
    body = message("evt_1", CUSTOMER)
    async with billed(tmp_path) as (world, provider, _):
        provider.held[CUSTOMER] = (subscription("pro"),)
        length = await trail(world)
        long_ago = int(time.time()) - 301
        strangers = (signed(body, "whsec_other"), signed(body, at=long_ago))
        for signature in ("", "t=1", "v1=00", "t=1,v1=00", "x" * 9999, *strangers):
            answer = await post(world, body, signature)
            assert (answer.status_code, answer.json()["code"]) == (400, "webhook-not-signed")
        assert (await post(world, body + b" ", signed(body))).status_code == 400
        for strange in (b"", b"{", b"[]", b"null", b'{"id":1,"type":"customer.x","data":{"object":{}}}', b"[" * 9000):
            answer = await post(world, strange)
            assert (answer.status_code, answer.json()["code"]) == (400, "webhook-malformed")
        assert await plan_of(world) == "free"
        assert await trail(world) == length


@pytest.mark.anyio
@pytest.mark.shows("BILL-HOOK-005", "BILL-PLAN-003")
async def test_it_comes_again_when_we_cannot_look_or_write_now(tmp_path: Path) -> None:
    body = message("evt_1", CUSTOMER)
    async with billed(tmp_path) as (world, provider, _):
        for fault in (GONE, ProviderRefused("a wrong key")):
            provider.fault = fault
            answer = await post(world, body)
            assert (answer.status_code, answer.json()["code"]) == (503, "provider-away")
            assert answer.headers["Retry-After"] == "30"
        provider.fault = None
        provider.held[CUSTOMER] = (subscription("gold"),)
        answer = await post(world, body)
        assert (answer.status_code, answer.json()["code"]) == (503, "plan-missing")
        provider.held[CUSTOMER] = (subscription("team"),)
        assert (await post(world, body)).json() == {"result": "done"}
        assert await plan_of(world) == "team"
        await world.plane.store.close()
        answer = await post(world, message("evt_2", CUSTOMER))
        assert (answer.status_code, answer.json()["code"]) == (503, "store-away")
        assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.anyio
@pytest.mark.shows("BILL-HOOK-006")
async def test_what_is_not_ours_is_acknowledged(tmp_path: Path) -> None:
    async with billed(tmp_path) as (world, _, _):
        assert (await post(world, message("evt_1", "cus_other"))).json() == {"result": "not ours"}
        assert (await post(world, message("evt_2", CUSTOMER, "payout.paid"))).json() == {"result": "not followed"}


@pytest.mark.shows("BILL-HOOK-001")
@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(0, 7))
def test_one_bit_makes_a_message_nobody_s(tail: bytes, place: int, bit: int) -> None:
    body = message("evt_1", "cus_" + tail.hex())
    shown = signed(body)
    assert isinstance(read_message(body, shown, SECRET), Success)
    changed = bytearray(body)
    changed[place % len(body)] ^= 1 << bit
    assert read_message(bytes(changed), shown, SECRET) == Failure(MessageFault.SIGNATURE)


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "type", "data", "object", "customer", "x"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@pytest.mark.shows("BILL-HOOK-002")
@given(st.text(max_size=60) | JSON.map(json.dumps))
def test_any_text_is_a_message_or_a_fault(text: str) -> None:
    read = message_of(text)
    if isinstance(read, Success):
        assert value_of(read).event
    else:
        assert error_of(read) in (MessageFault.NOT_JSON, MessageFault.NOT_AN_EVENT)


def test_a_customer_s_own_message_is_about_itself() -> None:
    told = {"id": "evt_1", "type": "customer.deleted", "data": {"object": {"object": "customer", "id": "cus_7"}}}
    assert message_of(json.dumps(told)) == Success(Message("evt_1", "customer.deleted", "cus_7"))


async def used(world: World, number: int, requests: int) -> None:
    """Usage of our account in the hour that began an hour and more ago."""
    now = world.clock.unix()
    hour = UnixSeconds(now - now % HOUR_SECONDS)
    record = UsageNoted(OURS, "demo", hour, requests, 0, 0, 0)
    applied = await world.plane.store.apply_journal(JournalId(b"j" * 16), number, (record,), SHELL, now)
    assert isinstance(applied, Success)


@pytest.mark.anyio
@pytest.mark.shows("BILL-METER-001", "BILL-METER-002", "BILL-METER-003")
async def test_what_was_used_is_counted_once_however_often_it_is_sent(tmp_path: Path) -> None:
    async with billed(tmp_path) as (world, provider, syncing):
        await used(world, 1, 3)
        world.clock.seconds += 2 * HOUR_SECONDS
        provider.fault = GONE
        assert await report_usage(syncing) == Failure(GONE)
        provider.fault, provider.answers_lost = None, 1
        assert isinstance(await report_usage(syncing), Failure)
        assert await report_usage(syncing) == Success(1)
        assert await report_usage(syncing) == Success(0)
        world.clock.seconds -= 2 * HOUR_SECONDS
        await used(world, 2, 4)
        world.clock.seconds += 2 * HOUR_SECONDS
        assert await report_usage(syncing) == Success(1)
        assert sorted(each.quantity for each in provider.counted.values()) == [3, 4]


@pytest.mark.anyio
@pytest.mark.shows("BILL-METER-005")
async def test_a_refused_report_stands_in_nobody_s_way(tmp_path: Path) -> None:
    async with billed(tmp_path) as (world, provider, syncing):
        for number in (1, 2):
            await used(world, number, number)
            world.clock.seconds += 2 * HOUR_SECONDS
        provider.refusals = 1
        refused = await report_usage(syncing)
        assert isinstance(refused, Failure)
        assert error_of(refused) == ProviderRefused("no such meter")
        assert [each.quantity for each in provider.counted.values()] == [2]
        assert "no such meter" in describe(error_of(refused))
        assert await report_usage(syncing) == Success(1)
        assert sorted(each.quantity for each in provider.counted.values()) == [1, 2]


@pytest.mark.anyio
async def test_a_lost_message_is_made_up_for_by_looking(tmp_path: Path) -> None:
    async with billed(tmp_path) as (world, provider, syncing):
        provider.held[CUSTOMER] = (subscription("pro"),)
        assert await sync_all(syncing) == Success(1)
        assert await plan_of(world) == "pro"
        provider.held[CUSTOMER] = (subscription("gold"),)
        assert await sync_all(syncing) == Failure(NotFound("plan", "gold"))
        provider.fault = GONE
        assert await sync_all(syncing) == Failure(GONE)
        assert "nobody answers" in describe(GONE)


@pytest.mark.shows("BILL-KEY-001")
def test_secrets_come_from_files_and_are_shown_nowhere(tmp_path: Path) -> None:
    key, hook = tmp_path / "key", tmp_path / "hook"
    key.write_text("sk_live_1\n")
    hook.write_text("whsec_1\n")
    named = {"TUNNEL_STRIPE_KEY_FILE": str(key), "TUNNEL_STRIPE_WEBHOOK_FILE": str(hook)}
    assert billing_settings({}) == Success(None)
    found = billing_settings(named)
    assert found == Success(BillingSettings("sk_live_1", "whsec_1"))
    assert "sk_live_1" not in repr(found)
    assert "whsec_1" not in repr(found)
    hook.write_text("two words")
    key_alone = {"TUNNEL_STRIPE_KEY_FILE": str(key)}
    for wrong in (named, key_alone, {**named, "TUNNEL_STRIPE_KEY_FILE": str(tmp_path / "none")}):
        told = billing_settings(wrong)
        assert isinstance(told, Failure)
        assert "TUNNEL_STRIPE_" in error_of(told)
    hook.write_text("whsec_1")
    far = billing_settings({**named, "TUNNEL_STRIPE_API": "http://stripe.example"})
    assert isinstance(far, Failure)
    hook.write_bytes(b"\xff")
    assert isinstance(billing_settings(named), Failure)
