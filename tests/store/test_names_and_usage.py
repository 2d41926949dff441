"""Names, leases, plans, usage and what the data plane is told of them, on both databases."""

import dataclasses

import pytest
from tests.support.store_world import (
    ACT,
    NOW,
    account,
    account_id,
    given,
    lease,
    name,
    plan,
    refused,
    token,
    token_id,
)

from tunnel.core.base.ids import Label, SessionId, UnixSeconds
from tunnel.core.control.account import DEFAULT_PLAN, AccountChange, Plan
from tunnel.core.control.page import Page
from tunnel.core.control.usage import UsageHour, UsageTotal
from tunnel.core.journal.records import JournalId, SessionBegan, UsageNoted
from tunnel.store.errors import AlreadyExists, NotFound, QuotaExceeded
from tunnel.store.names import LAPSED_SECONDS
from tunnel.store.port import Store

pytestmark = pytest.mark.anyio

JOURNAL = JournalId(b"j" * 16)
HOUR = UnixSeconds(NOW - NOW % 3600)
MONTH = UnixSeconds(1_793_491_200)
"""2026-11-01 00:00:00 UTC."""


def used(hour: int, text: str = "demo", of: int = 1, requests: int = 1) -> UsageNoted:
    """What was used of a name within an hour."""
    return UsageNoted(account_id(of), text, UnixSeconds(hour), requests, 10 * requests, 100 * requests, 1)


@pytest.mark.shows("STORE-NAME-001")
async def test_a_name_has_one_account(store: Store) -> None:
    for number in (1, 2):
        given(await store.create_account(account(number), ACT, NOW))
    mine = name("www", note="the front page")
    assert given(await store.reserve_name(mine, ACT, NOW)) == mine
    assert refused(await store.reserve_name(name("www", of=2), ACT, NOW)) == AlreadyExists("name", "www")
    assert refused(await store.reserve_name(name("www"), ACT, NOW)) == AlreadyExists("name", "www")
    assert refused(await store.reserve_name(name("x", of=3), ACT, NOW)) == NotFound("account", account_id(3).hex())
    assert given(await store.name_holder(Label("www"))) == mine
    assert refused(await store.name_holder(Label("x"))) == NotFound("name", "x")
    other = account_id(2)
    assert refused(await store.release_name(Label("www"), other, ACT, NOW)) == NotFound("name", "www")
    assert given(await store.release_name(Label("www"), mine.account, ACT, NOW)) == mine
    assert refused(await store.release_name(Label("www"), None, ACT, NOW)) == NotFound("name", "www")
    theirs = name("www", of=2)
    assert given(await store.reserve_name(theirs, ACT, NOW)) == theirs
    assert given(await store.release_name(Label("www"), None, ACT, NOW)) == theirs


@pytest.mark.shows("STORE-NAME-002")
async def test_a_plan_bounds_the_names_of_its_accounts(store: Store) -> None:
    given(await store.set_plan(plan("small", names_max=2), ACT, NOW))
    given(await store.create_account(account(1, plan="small"), ACT, NOW))
    given(await store.create_account(account(2), ACT, NOW))
    for text in ("a", "b"):
        given(await store.reserve_name(name(text), ACT, NOW))
    assert refused(await store.reserve_name(name("c"), ACT, NOW)) == QuotaExceeded("names", 2)
    for text in ("x", "y", "z"):
        given(await store.reserve_name(name(text, of=2), ACT, NOW))
    given(await store.release_name(Label("a"), None, ACT, NOW))
    given(await store.reserve_name(name("c"), ACT, NOW))
    assert [one.name for one in given(await store.names(account_id(1), Page())).items] == ["b", "c"]
    assert [one.name for one in given(await store.names(None, Page())).items] == ["b", "c", "x", "y", "z"]


@pytest.mark.shows("STORE-NAME-003")
async def test_what_a_server_says_of_its_leases_replaces_what_it_said(store: Store) -> None:
    first, second = "a" * 32, "b" * 32
    elsewhere = lease("www", host="host-b", epoch=7, server=second)
    given(await store.note_leases(first, [lease("www"), lease("api", of=2, session="2")], NOW))
    given(await store.note_leases(second, [elsewhere], NOW))
    assert given(await store.leases_of(Label("www"))) == (elsewhere, lease("www"))
    both = given(await store.leases(None, Page())).items
    assert [(one.name, one.host) for one in both] == [("api", "host-a"), ("www", "host-a"), ("www", "host-b")]
    assert given(await store.leases(account_id(2), Page())).items == (lease("api", of=2, session="2"),)
    given(await store.note_leases(first, [lease("new"), lease("new", epoch=2)], NOW))
    assert given(await store.leases_of(Label("www"))) == (elsewhere,)
    assert given(await store.leases_of(Label("new"))) == (lease("new", epoch=2),)
    given(await store.note_leases(first, [], NOW))
    assert given(await store.leases_of(Label("new"))) == ()


@pytest.mark.shows("STORE-NAME-003")
async def test_servers_on_hosts_that_are_called_alike_keep_their_leases_apart(store: Store) -> None:
    ours, theirs = lease("www"), lease("www", server="b" * 32)
    for _ in range(2):
        given(await store.note_leases(ours.server, [ours], NOW))
        given(await store.note_leases(theirs.server, [theirs], NOW))
    assert given(await store.leases_of(Label("www"))) == (ours, theirs)
    page = given(await store.leases(None, Page(limit=1)))
    assert page.items == (ours,)
    assert page.next is not None
    assert given(await store.leases(None, Page(page.next))).items == (theirs,)


@pytest.mark.shows("STORE-NAME-004")
async def test_leases_of_a_server_that_is_gone_are_forgotten_a_day_after_they_lapsed(store: Store) -> None:
    gone, last = lease("www"), lease("www").lapses + LAPSED_SECONDS
    given(await store.note_leases(gone.server, [gone], NOW))
    given(await store.note_leases("b" * 32, [], UnixSeconds(last - 1)))
    assert given(await store.leases_of(Label("www"))) == (gone,)
    given(await store.note_leases("b" * 32, [], UnixSeconds(last)))
    assert given(await store.leases_of(Label("www"))) == ()


@pytest.mark.shows("STORE-PORT-001")
async def test_a_plan_is_made_and_changed(store: Store) -> None:
    assert given(await store.plans()) == (Plan(DEFAULT_PLAN, 0, 0, 0, 0, 0),)
    made = Plan("gold", 1, 2, 3, 4, 5)
    assert given(await store.set_plan(made, ACT, NOW)) == made
    assert given(await store.plan("gold")) == made
    changed = dataclasses.replace(made, bytes_month=1 << 62)
    assert given(await store.set_plan(changed, ACT, NOW)) == changed
    assert given(await store.set_plan(changed, ACT, NOW)) == changed
    assert given(await store.plans()) == (Plan(DEFAULT_PLAN, 0, 0, 0, 0, 0), changed)
    assert refused(await store.plan("silver")) == NotFound("plan", "silver")
    entries = given(await store.audit_range(1, 10, 10))
    assert [entry.facts.action for entry in entries] == ["plan.set", "plan.set"]


@pytest.mark.shows("STORE-USAGE-001")
async def test_usage_is_summed_by_account_name_and_hour(store: Store) -> None:
    records = (used(HOUR), used(HOUR - 3600), used(HOUR, "other"), used(HOUR, of=2), used(HOUR, requests=5))
    assert given(await store.apply_journal(JOURNAL, 1, records, ACT, NOW)) == 5
    assert given(await store.apply_journal(JOURNAL, 6, (used(HOUR),), ACT, NOW)) == 6
    hours = given(await store.usage(account_id(1), UnixSeconds(0), UnixSeconds(NOW + 1), Page())).items
    assert hours == (
        UsageHour(account_id(1), Label("demo"), UnixSeconds(HOUR - 3600), 1, 10, 100, 1),
        UsageHour(account_id(1), Label("demo"), HOUR, 7, 70, 700, 3),
        UsageHour(account_id(1), Label("other"), HOUR, 1, 10, 100, 1),
    )
    assert given(await store.usage(account_id(1), UnixSeconds(0), HOUR, Page())).items == hours[:1]
    assert given(await store.usage(account_id(1), HOUR, UnixSeconds(HOUR + 1), Page())).items == hours[1:]
    assert given(await store.usage(account_id(3), UnixSeconds(0), UnixSeconds(NOW), Page())).items == ()


@pytest.mark.shows("STORE-USAGE-002")
async def test_a_month_is_one_of_the_calendar(store: Store) -> None:
    assert given(await store.usage_month(account_id(1), NOW)) == UsageTotal(account_id(1), MONTH, 0, 0, 0, 0)
    records = (used(MONTH - 3600, requests=100), used(MONTH), used(HOUR, "other"), used(HOUR, of=2))
    given(await store.apply_journal(JOURNAL, 1, records, ACT, NOW))
    assert given(await store.usage_month(account_id(1), NOW)) == UsageTotal(account_id(1), MONTH, 2, 20, 200, 2)
    last_moment = UnixSeconds(MONTH - 1)
    assert given(await store.usage_month(account_id(1), last_moment)).requests == 102


@pytest.mark.shows("STORE-CHANGE-001")
async def test_the_change_number_grows_with_what_the_data_plane_must_know_and_with_nothing_else(store: Store) -> None:
    number = given(await store.change_number())

    async def grew() -> bool:
        nonlocal number
        before, number = number, given(await store.change_number())
        assert number >= before
        return number > before

    given(await store.set_plan(plan("metered", requests_month=1000), ACT, NOW))
    assert await grew()
    given(await store.create_account(account(1), ACT, NOW))
    assert await grew()
    given(await store.record_token(token(1), ACT, NOW))
    assert not await grew()
    given(await store.revoke_token(token_id(1), ACT, NOW))
    assert await grew()
    given(await store.revoke_token(token_id(1), ACT, NOW))
    assert not await grew()
    given(await store.reserve_name(name("www"), ACT, NOW))
    assert await grew()
    refused(await store.reserve_name(name("www"), ACT, NOW))
    given(await store.note_leases("a" * 32, [lease("www")], NOW))
    given(await store.apply_journal(JOURNAL, 1, (used(HOUR),), ACT, NOW))
    assert not await grew()
    given(await store.release_name(Label("www"), None, ACT, NOW))
    assert await grew()
    given(await store.change_account(account_id(1), AccountChange(plan="metered"), ACT, NOW))
    assert await grew()
    given(await store.apply_journal(JOURNAL, 2, (used(HOUR),), ACT, NOW))
    assert await grew()
    began = SessionBegan(SessionId(1), account_id(1), token_id(1), "192.0.2.1", NOW)
    given(await store.apply_journal(JOURNAL, 3, (began,), ACT, NOW))
    assert not await grew()


@pytest.mark.shows("STORE-CHANGE-002")
async def test_what_the_data_plane_is_told_is_all_there_is(store: Store) -> None:
    small = plan("small", names_max=5)
    given(await store.set_plan(small, ACT, NOW))
    given(await store.create_account(account(1, plan="small"), ACT, NOW))
    given(await store.create_account(account(2), ACT, NOW))
    given(await store.change_account(account_id(2), AccountChange(is_suspended=True, ttl_max=60), ACT, NOW))
    given(await store.reserve_name(name("www"), ACT, NOW))
    given(await store.apply_journal(JOURNAL, 1, (used(HOUR), used(MONTH - 3600)), ACT, NOW))
    facts = given(await store.directory_facts(NOW))
    assert facts.number == given(await store.change_number())
    assert facts.names == (name("www"),)
    one, two = facts.accounts
    assert (one.account, one.plan) == (account(1, plan="small"), small)
    assert one.used == UsageTotal(account_id(1), MONTH, 1, 10, 100, 1)
    assert (two.account.is_suspended, two.account.ttl_max, two.plan.plan) == (True, 60, DEFAULT_PLAN)
    assert two.used == UsageTotal(account_id(2), MONTH, 0, 0, 0, 0)
