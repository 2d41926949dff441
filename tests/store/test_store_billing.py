"""Customers, the provider's news and reports of usage, on both databases: nothing is counted twice, nothing is lost."""

import pytest
from tests.support.store_world import ACT, NOW, account, account_id, given, plan, refused

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.control.billing import Meter, MeterReport, Standing, SubscriptionStatus
from tunnel.core.control.page import Page
from tunnel.core.control.usage import HOUR_SECONDS
from tunnel.core.journal.records import JournalId, UsageNoted
from tunnel.store.billing import EVENTS_KEPT_SECONDS, REPORTED_SECONDS_MAX, SETTLED_SECONDS
from tunnel.store.errors import AlreadyExists, NotFound
from tunnel.store.port import Store

pytestmark = pytest.mark.anyio

HOUR = UnixSeconds(NOW - NOW % HOUR_SECONDS)
OVER = UnixSeconds(HOUR + HOUR_SECONDS + SETTLED_SECONDS)
"""The first moment at which the usage of `HOUR` is reported."""
PRO = Standing("pro", "sub_1", SubscriptionStatus.ACTIVE)
JOURNAL = JournalId(b"j" * 16)


async def linked(store: Store) -> None:
    """One account, which is a customer, and a plan that it may have."""
    given(await store.create_account(account(1), ACT, NOW))
    given(await store.set_plan(plan("pro", requests_month=100), ACT, NOW))
    given(await store.link_customer(account_id(1), "cus_1", ACT, NOW))


async def used(store: Store, number: int, hour: int, requests: int, size: int, of: int = 1) -> None:
    """Usage of one name in one hour, as a journal brings it."""
    record = UsageNoted(account_id(of), Label("demo"), UnixSeconds(hour), requests, size, size, 1)
    given(await store.apply_journal(JOURNAL, number, (record,), ACT, NOW))


async def settled(store: Store, now: int) -> list[tuple[int, Meter, int]]:
    """Hour, meter and quantity of all reports, once all that is due is written down."""
    while given(await store.settle_usage(UnixSeconds(now))):
        pass
    reports = given(await store.due_reports("", 1000))
    return sorted(
        ((each.hour, each.meter, each.quantity) for each in reports), key=lambda each: (each[0], each[1].value)
    )


@pytest.mark.shows("STORE-PORT-001")
async def test_an_account_is_one_customer(store: Store) -> None:
    await linked(store)
    given(await store.create_account(account(2), ACT, NOW))
    record = given(await store.billing(account_id(1)))
    assert given(await store.billing_of_customer("cus_1")) == record
    assert (record.plan, record.status, record.linked) == ("free", "canceled", NOW)
    assert given(await store.billings(Page())).items == (record,)
    assert refused(await store.link_customer(account_id(1), "cus_2", ACT, NOW)) == AlreadyExists("customer", "cus_2")
    assert refused(await store.link_customer(account_id(2), "cus_1", ACT, NOW)) == AlreadyExists("customer", "cus_1")
    missing = NotFound("account", account_id(3).hex())
    assert refused(await store.link_customer(account_id(3), "cus_3", ACT, NOW)) == missing
    assert refused(await store.billing_of_customer("cus_9")) == NotFound("customer", "cus_9")


@pytest.mark.shows("BILL-SYNC-001", "BILL-HOOK-004")
async def test_a_standing_gives_its_plan_and_is_written_down_once(store: Store) -> None:
    await linked(store)
    before, number = given(await store.audit_head()).number, given(await store.change_number())
    given(await store.apply_standing("cus_1", "evt_1", PRO, ACT, NOW))
    assert given(await store.account(account_id(1))).plan == "pro"
    assert given(await store.has_billing_event("evt_1"))
    assert not given(await store.has_billing_event("evt_2"))
    entries = given(await store.audit_range(before + 1, before + 9, 9))
    assert [entry.facts.action for entry in entries] == ["billing.standing", "account.change"]
    assert given(await store.change_number()) == number + 1
    given(await store.apply_standing("cus_1", "evt_2", PRO, ACT, UnixSeconds(NOW + 5)))
    assert given(await store.audit_head()).number == before + 2
    assert given(await store.billing(account_id(1))).synced == NOW + 5


@pytest.mark.shows("BILL-PLAN-003")
async def test_a_plan_that_is_not_there_changes_nothing(store: Store) -> None:
    await linked(store)
    head = given(await store.audit_head())
    strange = Standing("gold", "sub_1", SubscriptionStatus.ACTIVE)
    assert refused(await store.apply_standing("cus_1", "evt_1", strange, ACT, NOW)) == NotFound("plan", "gold")
    assert refused(await store.apply_standing("cus_9", "evt_1", PRO, ACT, NOW)) == NotFound("customer", "cus_9")
    assert not given(await store.has_billing_event("evt_1"))
    assert given(await store.audit_head()) == head
    assert given(await store.account(account_id(1))).plan == "free"


async def test_messages_are_forgotten_once_they_come_no_more(store: Store) -> None:
    await linked(store)
    given(await store.apply_standing("cus_1", "evt_1", PRO, ACT, NOW))
    later = UnixSeconds(NOW + EVENTS_KEPT_SECONDS + 1)
    given(await store.apply_standing("cus_1", "evt_2", PRO, ACT, later))
    assert not given(await store.has_billing_event("evt_1"))


@pytest.mark.shows("BILL-METER-001", "BILL-METER-002")
async def test_an_hour_is_reported_once_it_is_over_and_once(store: Store) -> None:
    await linked(store)
    await used(store, 1, HOUR, 3, 10)
    assert await settled(store, OVER - 1) == []
    expected = [(HOUR, Meter.BYTES, 20), (HOUR, Meter.REQUESTS, 3)]
    assert await settled(store, OVER) == expected
    assert await settled(store, OVER + 60) == expected
    reports = given(await store.due_reports("", 10))
    assert given(await store.due_reports(reports[0].identifier, 10)) == reports[1:]
    given(await store.note_reported([each.identifier for each in reports]))
    assert await settled(store, OVER + 120) == []
    given(await store.note_reported(["never was"]))


@pytest.mark.shows("BILL-METER-003")
async def test_usage_that_comes_late_is_reported_by_itself(store: Store) -> None:
    await linked(store)
    await used(store, 1, HOUR, 3, 10)
    await settled(store, OVER)
    await used(store, 2, HOUR, 4, 0)
    assert await settled(store, OVER) == [
        (HOUR, Meter.BYTES, 20),
        (HOUR, Meter.REQUESTS, 3),
        (HOUR, Meter.REQUESTS, 4),
    ]
    identifiers = [each.identifier for each in given(await store.due_reports("", 10))]
    assert len(set(identifiers)) == 3


@pytest.mark.shows("BILL-METER-004")
async def test_what_was_before_the_link_and_what_is_too_old_is_not_reported(store: Store) -> None:
    await linked(store)
    given(await store.create_account(account(2), ACT, NOW))
    await used(store, 1, HOUR - HOUR_SECONDS, 5, 5)
    await used(store, 2, HOUR, 1, 1, of=2)
    assert await settled(store, OVER) == []
    await used(store, 3, HOUR, 1, 1)
    assert await settled(store, HOUR + REPORTED_SECONDS_MAX + 1) == []


async def test_many_hours_are_settled_call_by_call(store: Store) -> None:
    await linked(store)
    records = tuple(
        UsageNoted(account_id(1), Label("demo"), UnixSeconds(HOUR + hour * HOUR_SECONDS), 1, 0, 0, 0)
        for hour in range(600)
    )
    given(await store.apply_journal(JOURNAL, 1, records, ACT, NOW))
    reports = await settled(store, HOUR + 601 * HOUR_SECONDS)
    assert len(reports) == 600
    assert sum(quantity for _, _, quantity in reports) == 600


async def test_a_report_says_all_that_the_provider_wants(store: Store) -> None:
    await linked(store)
    await used(store, 1, HOUR, 3, 0)
    await settled(store, OVER)
    identifier = f"{account_id(1).hex()}-{HOUR}-tunnel_requests-3"
    assert given(await store.due_reports("", 1)) == (
        MeterReport(identifier, account_id(1), "cus_1", HOUR, Meter.REQUESTS, 3),
    )
