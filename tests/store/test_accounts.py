"""Accounts, members, API keys and tokens, on both databases: what is kept comes back, and what may not be is refused.

Each refusal is looked at whole, and so is the audit trail after it.
"""

import dataclasses

import pytest
from tests.support.store_world import (
    ACT,
    NOW,
    account,
    account_id,
    given,
    key,
    member,
    plan,
    refused,
    token,
    token_id,
    web_session,
)

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.control.account import AccountChange
from tunnel.core.control.facts import Revocation
from tunnel.core.control.page import Page
from tunnel.core.control.roles import Role
from tunnel.store.errors import AlreadyExists, NotFound
from tunnel.store.port import AuditFilter, Store

pytestmark = pytest.mark.anyio

LATER = UnixSeconds(NOW + 60)


async def actions(store: Store) -> list[str]:
    """What the audit trail says was done, oldest first."""
    return [entry.facts.action for entry in given(await store.audit_range(1, 1000, 500))]


@pytest.mark.shows("STORE-PORT-001")
async def test_an_account_comes_back_as_it_was_made(store: Store) -> None:
    made = dataclasses.replace(account(1), ttl_default=3600, ttl_max=86_400, is_suspended=True)
    assert given(await store.create_account(made, ACT, NOW)) == made
    assert given(await store.account(made.account)) == made
    assert given(await store.account_named(made.name)) == made
    assert given(await store.accounts(Page())).items == (made,)


@pytest.mark.shows("STORE-PORT-001", "STORE-AUDIT-001")
async def test_an_account_is_made_once_and_on_a_plan_that_is_there(store: Store) -> None:
    given(await store.create_account(account(1, "one"), ACT, NOW))
    assert refused(await store.create_account(account(1, "two"), ACT, NOW)) == AlreadyExists("account", "two")
    assert refused(await store.create_account(account(2, "one"), ACT, NOW)) == AlreadyExists("account", "one")
    assert refused(await store.create_account(account(2, plan="gold"), ACT, NOW)) == NotFound("plan", "gold")
    assert refused(await store.account(account_id(2))) == NotFound("account", account_id(2).hex())
    assert refused(await store.account_named("two")) == NotFound("account", "two")
    assert await actions(store) == ["account.create"]


@pytest.mark.shows("STORE-PORT-001", "STORE-AUDIT-001")
async def test_a_change_says_what_was_and_what_is(store: Store) -> None:
    before = given(await store.create_account(account(1), ACT, NOW))
    given(await store.create_account(account(2, "taken"), ACT, NOW))
    given(await store.set_plan(plan("gold"), ACT, NOW))
    change = AccountChange(name="new", plan="gold", is_suspended=True, ttl_default=1, ttl_max=2)
    after = given(await store.change_account(before.account, change, ACT, LATER))
    assert after == dataclasses.replace(before, name="new", plan="gold", is_suspended=True, ttl_default=1, ttl_max=2)
    assert given(await store.account(before.account)) == after
    (entry,) = given(await store.audit_page(AuditFilter(action="account.change"), Page())).items
    assert (entry.facts.act, entry.facts.at, entry.facts.account) == (ACT, LATER, before.account)
    assert '"is_suspended":false' in entry.facts.before
    assert '"is_suspended":true' in entry.facts.after
    unknown = account_id(9)
    assert refused(await store.change_account(unknown, change, ACT, NOW)) == NotFound("account", unknown.hex())
    taken = AccountChange(name="taken")
    assert refused(await store.change_account(after.account, taken, ACT, NOW)) == AlreadyExists("account", "taken")
    missing = AccountChange(plan="no such plan")
    assert refused(await store.change_account(after.account, missing, ACT, NOW)) == NotFound("plan", "no such plan")
    assert given(await store.change_account(after.account, AccountChange(name="new"), ACT, NOW)) == after
    assert (await actions(store)).count("account.change") == 1


@pytest.mark.shows("STORE-PORT-001")
async def test_members_come_and_go_with_their_roles(store: Store) -> None:
    for number in (1, 2):
        given(await store.create_account(account(number), ACT, NOW))
        given(await store.add_member(member(number), ACT, NOW))
    given(await store.add_member(member(1, "ann", Role.OWNER), ACT, NOW))
    assert refused(await store.add_member(member(1), ACT, NOW)) == AlreadyExists("member", "bob@example.com")
    assert refused(await store.add_member(member(3), ACT, NOW)) == NotFound("account", account_id(3).hex())
    assert given(await store.members(account_id(1), Page())).items == (member(1, "ann", Role.OWNER), member(1))
    assert given(await store.memberships("bob@example.com")) == (member(1), member(2))
    changed = given(await store.change_member(account_id(1), "bob@example.com", Role.AUDITOR, ACT, NOW))
    assert changed == member(1, role=Role.AUDITOR)
    assert given(await store.change_member(account_id(1), "bob@example.com", Role.AUDITOR, ACT, NOW)) == changed
    assert refused(await store.change_member(account_id(1), "eve", Role.OWNER, ACT, NOW)) == NotFound("member", "eve")
    assert given(await store.remove_member(account_id(1), "bob@example.com", ACT, NOW)) == changed
    again = await store.remove_member(account_id(1), "bob@example.com", ACT, NOW)
    assert refused(again) == NotFound("member", "bob@example.com")
    assert given(await store.memberships("bob@example.com")) == (member(2),)
    assert [action for action in await actions(store) if action.startswith("member")] == [
        "member.add", "member.add", "member.add", "member.change", "member.remove",
    ]  # fmt: skip


@pytest.mark.shows("STORE-SESSION-001")
async def test_a_right_taken_away_ends_the_sessions_that_it_opened(store: Store) -> None:
    given(await store.create_account(account(1), ACT, NOW))
    given(await store.add_member(member(1), ACT, NOW))
    given(await store.mint_key(key("k_1"), ACT, NOW))
    for cookie, api_key in ((1, ""), (2, "k_1"), (3, "k_2")):
        given(await store.put_web_session(web_session(cookie, api_key=api_key)))
    given(await store.change_member(account_id(1), "bob@example.com", Role.AUDITOR, ACT, NOW))
    assert isinstance(refused(await store.web_session(web_session(1).cookie_hash, NOW)), NotFound)
    given(await store.put_web_session(web_session(1)))
    given(await store.remove_member(account_id(1), "bob@example.com", ACT, NOW))
    assert isinstance(refused(await store.web_session(web_session(1).cookie_hash, NOW)), NotFound)
    assert given(await store.web_session(web_session(2).cookie_hash, NOW)).key == "k_1"
    given(await store.revoke_key("k_1", ACT, NOW))
    assert isinstance(refused(await store.web_session(web_session(2).cookie_hash, NOW)), NotFound)
    assert given(await store.web_session(web_session(3).cookie_hash, NOW)).key == "k_2"


@pytest.mark.shows("STORE-PORT-001", "STORE-SECRET-001")
async def test_a_key_comes_back_whole_but_its_hash_is_in_no_audit_entry(store: Store) -> None:
    given(await store.create_account(account(1), ACT, NOW))
    mine = dataclasses.replace(key("k_1"), expires=LATER)
    assert given(await store.mint_key(mine, ACT, NOW)) == mine
    assert given(await store.mint_key(key("k_op", None, created=NOW + 1), ACT, NOW)).account is None
    assert refused(await store.mint_key(key("k_1"), ACT, NOW)) == AlreadyExists("key", "k_1")
    assert refused(await store.mint_key(key("k_2", 7), ACT, NOW)) == NotFound("account", account_id(7).hex())
    assert given(await store.key("k_1")) == mine
    assert refused(await store.key("k_2")) == NotFound("key", "k_2")
    assert [one.key for one in given(await store.keys(None, Page())).items] == ["k_op", "k_1"]
    assert given(await store.keys(account_id(1), Page())).items == (mine,)
    given(await store.note_key_used("k_1", LATER))
    given(await store.note_key_used("k_9", LATER))
    used = dataclasses.replace(mine, last_used=LATER)
    assert given(await store.key("k_1")) == used
    revoked = dataclasses.replace(used, revoked=NOW)
    assert given(await store.revoke_key("k_1", ACT, NOW)) == revoked
    assert given(await store.revoke_key("k_1", ACT, LATER)) == revoked
    assert given(await store.key("k_1")) == revoked
    assert refused(await store.revoke_key("k_9", ACT, NOW)) == NotFound("key", "k_9")
    assert await actions(store) == ["account.create", "key.mint", "key.mint", "key.revoke"]
    for entry in given(await store.audit_range(1, 100, 100)):
        assert mine.secret_hash.hex() not in entry.facts.before + entry.facts.after
        assert "secret" not in entry.facts.before + entry.facts.after


@pytest.mark.shows("STORE-PORT-001", "STORE-TOKEN-001")
async def test_a_token_is_revoked_once_and_for_ever(store: Store) -> None:
    given(await store.create_account(account(1), ACT, NOW))
    mine = given(await store.record_token(token(1), ACT, NOW))
    assert mine == token(1)
    assert refused(await store.record_token(token(1), ACT, NOW)) == AlreadyExists("token", token_id(1).hex())
    assert refused(await store.record_token(token(2, of=5), ACT, NOW)) == NotFound("account", account_id(5).hex())
    assert given(await store.token(token_id(1))) == mine
    revoked = dataclasses.replace(mine, revoked=NOW)
    assert given(await store.revoke_token(token_id(1), ACT, NOW)) == revoked
    assert given(await store.revoke_token(token_id(1), ACT, LATER)) == revoked
    assert given(await store.token(token_id(1))) == revoked
    assert refused(await store.revoke_token(token_id(2), ACT, NOW)) == NotFound("token", token_id(2).hex())
    assert refused(await store.token(token_id(2))) == NotFound("token", token_id(2).hex())
    assert (await actions(store)).count("token.revoke") == 1


@pytest.mark.shows("STORE-TOKEN-002")
async def test_revocations_are_told_until_the_token_would_have_expired(store: Store) -> None:
    given(await store.create_account(account(1), ACT, NOW))
    given(await store.record_token(token(1, expiry=NOW + 10), ACT, NOW))
    given(await store.revoke_token(token_id(1), ACT, NOW))
    step = Revocation(token_id(2), account_id(1), NOW, UnixSeconds(NOW + 20))
    assert given(await store.revoke_step(step, ACT, NOW)) == step
    assert given(await store.revoke_step(step, ACT, NOW)) == step
    foreign = dataclasses.replace(step, account=account_id(8))
    assert refused(await store.revoke_step(foreign, ACT, NOW)) == NotFound("account", account_id(8).hex())
    recorded = Revocation(token_id(1), account_id(1), NOW, UnixSeconds(NOW + 10))
    assert given(await store.directory_facts(UnixSeconds(NOW + 9))).revoked == (recorded, step)
    assert given(await store.directory_facts(UnixSeconds(NOW + 10))).revoked == (step,)
    assert given(await store.directory_facts(UnixSeconds(NOW + 20))).revoked == ()
    assert (await actions(store)).count("token.revoke-step") == 1
    longer = dataclasses.replace(step, expiry=UnixSeconds(NOW + 30))
    assert given(await store.revoke_step(longer, ACT, NOW)) == longer
    assert given(await store.revoke_step(step, ACT, NOW)) == step
    assert given(await store.directory_facts(UnixSeconds(NOW + 20))).revoked == (longer,)
