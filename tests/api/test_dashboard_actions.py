"""What can be done at the dashboard, each action by its form, and what the store and the data plane then know."""

import re
import sqlite3
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from tests.support.dashboard import ACME, ACT, RIVAL, Reader, World, served

from tunnel.api.pages.feed_view import Exchange
from tunnel.api.pages.live_sessions import hop_bar
from tunnel.api.pages.trail import changes_of
from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.keys import NEW_KEY_BYTES, new_key
from tunnel.core.control.page import Page
from tunnel.core.control.roles import ROLE_SCOPES, Role, Scope
from tunnel.core.token.codec import decode_token, token_raw, token_text
from tunnel.core.token.token import EndpointKind, Token
from tunnel.store.port import AuditFilter


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("state")) as made:
        yield made


def secret_in(page: str) -> str:
    found = re.search(r'id="secret"[^>]*>([^<]+)<', page)
    assert found, page
    return unescape(found[1])


def token_in(page: str) -> Token:
    raw = token_raw(secret_in(page))
    assert isinstance(raw, Success)
    token = decode_token(value_of(raw))
    assert isinstance(token, Success)
    return value_of(token)


def last_action(world: World) -> tuple[str, str, str]:
    """The action, who did it and from where: of the newest entry that is no sign-in."""
    entries = world.told(world.store.audit_page(AuditFilter(), Page())).items
    entry = next(each for each in entries if not each.facts.action.startswith("session.sign"))
    return entry.facts.action, entry.facts.act.identity, entry.facts.act.address


@pytest.mark.shows("DASH-TOKEN-001")
def test_a_token_is_minted_shown_once_and_known_to_the_store(world: World) -> None:
    reader = Reader(world).sign_in("developer")
    page = reader.send("/tokens", label="ci", pattern="ci-*", ttl="2h", kind=["http", "tcp"], names="3", sessions="")
    assert page.status_code == 200
    token = token_in(page.text)
    assert (token.account, token.pattern, token.names_max) == (ACME, "ci-*", 3)
    assert token.kinds == frozenset({EndpointKind.HTTP, EndpointKind.TCP})
    record = world.told(world.store.token(token.token_id))
    assert (record.label, record.expiry) == ("ci", token.expiry)
    assert record.minted_by.startswith("key:k_")
    listed = reader.get("/tokens").text
    assert token.token_id.hex() in listed
    assert secret_in(page.text) not in listed
    action, identity, address = last_action(world)
    assert (action, identity, address) == ("token.mint", record.minted_by, "127.0.0.1")


@pytest.mark.shows("DASH-FORM-003")
@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("pattern", "no spaces!", "inner hyphens"),
        ("pattern", "", "inner hyphens"),
        ("ttl", "soon", "30s, 15m"),
        ("names", "0", "1 to 65535"),
        ("streams", "many", "1 to 65535"),
        ("sessions", "99999999999999999999", "1 to 65535"),
        ("kind", "", "at least one kind"),
        ("label", "x" * 101, "100"),
        ("pattern", "rival-shop", "reserved by another account"),
    ],
)
def test_a_form_that_cannot_be_taken_comes_back_with_what_was_typed(
    world: World, field: str, value: str, said: str
) -> None:
    reader = Reader(world).sign_in("owner")
    form = {"label": "kept as typed", "pattern": "app", "ttl": "1h", "kind": "http", field: value}
    before = world.entries()
    answer = reader.send("/tokens", **form)
    assert (answer.status_code, said in answer.text) == (422, True), answer.text
    if field != "label":
        assert 'value="kept as typed"' in answer.text
    assert world.entries() == before


@pytest.mark.shows("DASH-TOKEN-002")
def test_a_pasted_token_is_explained_narrowed_and_revoked(world: World) -> None:
    reader = Reader(world).sign_in("owner")
    text = world.token.text
    told = reader.send("/tokens/explain", token=f"  {text}\n")
    assert told.status_code == 200
    assert "the name `app`" in unescape(told.text)
    assert "The signature was not checked" in told.text
    before = world.entries()
    narrowed = reader.send("/tokens/narrow", token=text, ttl="1h", streams="2", sealed="yes")
    inner = token_in(narrowed.text)
    assert (inner.pattern, inner.streams_max, len(inner.ancestors)) == ("app", 2, 1)
    # Narrowing needs nothing of the server, and leaves nothing there.
    assert world.entries() == before
    again = reader.send("/tokens/narrow", token=secret_in(narrowed.text), ttl="1h")
    assert (again.status_code, "sealed" in again.text) == (422, True)
    wider = reader.send("/tokens/narrow", token=text, ttl="90d")
    assert (wider.status_code, "narrowing takes away only" in wider.text) == (422, True)
    wrong = reader.send("/tokens/narrow", token=text, pattern="a b")
    assert (wrong.status_code, "inner hyphens" in wrong.text) == (422, True)
    assert "is revoked" in reader.done("/tokens/revoke", token=secret_in(narrowed.text))
    facts = world.told(world.store.directory_facts(UnixSeconds(inner.not_before)))
    assert inner.token_id in {each.token for each in facts.revoked}
    for path in ("/tokens/explain", "/tokens/narrow", "/tokens/revoke"):
        bad = reader.send(path, token="tnl2_nonsense")
        assert (bad.status_code, "nonsense" in bad.text) == (422, False)


@pytest.mark.shows("DASH-TOKEN-003")
def test_a_token_of_the_list_is_revoked_after_a_question(world: World) -> None:
    reader = Reader(world).sign_in("owner")
    page = reader.send("/tokens", pattern="gone", kind="http", label="to revoke")
    token = token_in(page.text)
    path = f"/tokens/{token.token_id.hex()}/revoke"
    assert "cannot be taken back" in reader.get(path).text
    assert world.told(world.store.token(token.token_id)).revoked is None
    assert "is revoked" in reader.done(path)
    assert world.told(world.store.token(token.token_id)).revoked is not None
    assert reader.get("/tokens/zz/revoke").status_code == 404
    assert reader.get(f"/tokens/{'00' * 16}/revoke").status_code == 404


@pytest.mark.shows("DASH-NAME-001")
def test_a_name_is_reserved_and_released(world: World) -> None:
    reader = Reader(world).sign_in("developer")
    assert "new-name" in reader.done("/names", name="New-Name", note="a shop")
    assert world.told(world.store.name_holder(Label("new-name"))).account == ACME
    for name, said in (("rival-shop", "already"), ("*", "inner hyphens"), ("a b", "inner hyphens")):
        answer = reader.send("/names", name=name, note="")
        assert (answer.status_code, said in answer.text) == (422, True), answer.text
    assert "Whoever asks for it first" in reader.get("/names/new-name/release").text
    assert "new-name" not in reader.done("/names/new-name/release").split("Reserved", 1)[1]
    assert reader.send("/names/new-name/release").status_code == 404


@pytest.mark.shows("DASH-LIVE-001")
def test_a_session_is_drained_and_ended_and_both_are_written_down_first(tmp_path: Path) -> None:
    with served(tmp_path) as world:
        reader = Reader(world).sign_in("developer")
        assert "takes no new visitors" in reader.get("/sessions/7/drain").text
        reader.done("/sessions/7/drain")
        assert last_action(world)[0] == "session.drain"
        assert "are cut off" in reader.get("/sessions/7/kick").text
        page = reader.done("/sessions/7/kick")
        assert "No agent is connected" in page
        assert last_action(world)[0] == "session.kick"
        kick = {"order": "kick", "session": 7, "reason": "ended at the dashboard"}
        assert world.feed.orders == [{"order": "drain", "session": 7}, kick]
        assert reader.send("/sessions/7/kick").status_code == 404


@pytest.mark.shows("DASH-PEOPLE-001")
def test_members_come_change_and_go(world: World) -> None:
    reader = Reader(world).sign_in("owner")
    assert "carol@example.com" in reader.done("/people/members", identity="Carol@example.com", role="developer")
    assert "has the new role" in reader.done("/people/members/change", identity="carol@example.com", role="auditor")
    assert [each.role for each in world.told(world.store.memberships("carol@example.com"))] == [Role.AUDITOR]
    again = reader.send("/people/members", identity="carol@example.com", role="owner")
    assert (again.status_code, "already" in again.text) == (422, True)
    subject = "https://id.example|Case-Kept"
    reader.done("/people/members", identity=subject, role="auditor")
    assert len(world.told(world.store.memberships(subject))) == 1
    for identity in ("", "nobody", "two words@x", "|x", "ftp://x|y", "https://x|", "a@b\u202e"):
        assert reader.send("/people/members", identity=identity, role="auditor").status_code == 422, identity
    assert reader.send("/people/members", identity="d@example.com", role="king").status_code == 422
    assert "is removed" in reader.done("/people/members/change", identity="carol@example.com", remove="yes")
    assert world.told(world.store.memberships("carol@example.com")) == ()


@pytest.mark.shows("DASH-PEOPLE-002")
def test_a_key_is_made_shown_once_used_and_revoked(world: World) -> None:
    reader = Reader(world).sign_in("owner")
    page = reader.send("/people/keys", label="ci robot", key_role="auditor", ttl="30d")
    text = secret_in(page.text)
    assert text.startswith("tnlk_k_")
    assert text[-43:] not in reader.get("/people").text
    robot = Reader(world)
    assert robot.sign_in_with(text).status_code == 303
    assert "ci robot" in robot.get("/").text
    public = re.search(r"k_[a-z2-7]{16}", text)
    assert public
    path = f"/people/keys/{public[0]}/revoke"
    assert "refused from their next request" in reader.get(path).text
    assert "is revoked" in reader.done(path)
    assert robot.get("/").status_code == 303
    for form in (
        {"label": "", "key_role": "auditor"},
        {"label": "x", "key_role": "operator"},
        {"label": "x", "ttl": "x"},
    ):
        assert reader.send("/people/keys", **form).status_code == 422
    assert reader.get("/people/keys/k_aaaaaaaaaaaaaaaa/revoke").status_code == 404


@pytest.mark.shows("DASH-PEOPLE-003")
def test_nobody_gives_more_rights_than_they_have(world: World) -> None:
    made = _limited_key(world)
    reader = Reader(world)
    assert reader.sign_in_with(made).status_code == 303
    token = re.search(r'name="csrf" value="(\w+)"', reader.get("/people").text)
    assert token
    before = world.entries()
    for path, form in (
        ("/people/keys", {"label": "more", "key_role": "owner"}),
        ("/people/members", {"identity": "mallory@example.com", "role": "owner"}),
        ("/people/members/change", {"identity": "bob@example.com", "role": "owner"}),
    ):
        whole = {"csrf": token[1], **form}
        answer = reader.client.post(path, data=whole, headers={"origin": world.url})
        assert answer.status_code in {403, 422}, (path, answer.text)
    assert world.entries() == before


def _limited_key(world: World) -> str:
    """A key that may read accounts and write members and keys, and nothing else."""
    made = new_key(world.plane.entropy.random_bytes(NEW_KEY_BYTES))
    scopes = frozenset({Scope.ACCOUNT_READ, Scope.KEY_WRITE, Scope.MEMBER_WRITE})
    assert scopes < ROLE_SCOPES[Role.OWNER]
    now = world.plane.clock.unix()
    record = KeyRecord(made.key, ACME, "limited", Role.OWNER, scopes, made.secret_hash, now, None, None, None)
    world.told(world.store.mint_key(record, ACT, now))
    return made.text


@pytest.mark.shows("DASH-ACCOUNT-001")
def test_an_operator_makes_changes_suspends_and_resumes_accounts(world: World) -> None:
    reader = Reader(world).sign_in("operator")
    page = reader.done("/accounts", name="Third & Sons", plan="free")
    assert "Third &amp; Sons" in page
    made = world.told(world.store.account_named("Third & Sons"))
    hexed = made.account.hex()
    assert reader.send("/accounts", name="Third & Sons", plan="free").status_code == 422
    assert reader.send("/accounts", name="", plan="free").status_code == 422
    reader.done("/accounts/change", account=hexed, plan="free", ttl_default="2h", ttl_max="7d")
    assert world.told(world.store.account(made.account)).ttl_max == 7 * 86_400
    assert reader.send("/accounts/change", account=hexed, ttl_max="x").status_code == 422
    assert reader.send("/accounts/change", plan="free").status_code == 404
    assert "none begins until" in reader.get(f"/accounts/suspend?account={hexed}").text
    assert "is suspended" in reader.done("/accounts/suspend", account=hexed)
    assert world.told(world.store.account(made.account)).is_suspended
    answer = reader.send("/tokens", account=hexed, pattern="x", kind="http")
    assert (answer.status_code, "suspended" in answer.text) == (422, True)
    assert "is resumed" in reader.done("/accounts/resume", account=hexed)
    shown = reader.send("/people/keys", label="second operator", key_role="operator")
    assert Reader(world).sign_in_with(secret_in(shown.text)).status_code == 303


@pytest.mark.shows("DASH-AUDIT-001")
def test_the_audit_trail_is_filtered_and_says_whether_it_is_what_was_written(world: World) -> None:
    reader = Reader(world).sign_in("auditor")
    page = reader.get("/audit").text
    assert "digests hold" in page
    assert "rival" not in page.lower()
    only = reader.get("/audit?action=name.&subject=app").text
    assert set(re.findall(r"<code>([a-z.]+)</code></td>", only)) == {"name.reserve"}
    assert "No entry is like that" in reader.get("/audit?identity=nobody").text
    assert reader.get("/audit?within=soon").status_code == 422
    everything = Reader(world).sign_in("operator").get("/audit?within=1h").text
    assert "Next page" in everything or "rival-shop" in everything


@pytest.mark.shows("DASH-AUDIT-002")
def test_an_entry_that_somebody_changed_in_the_database_is_named(tmp_path: Path) -> None:
    with served(tmp_path) as world:
        reader = Reader(world).sign_in("operator")
        with sqlite3.connect(tmp_path / "control.db") as database:
            # The database itself keeps honest programs from it; whoever has the file can take that away.
            guards = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
            for guard in guards:
                database.execute(f"DROP TRIGGER {guard}")
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            table = next(name for name in sorted(tables) if "audit" in name and "head" not in name)
            database.execute(f"UPDATE {table} SET subject = 'nobody' WHERE number = 12")  # noqa: S608 - our own table
        database.close()
        page = reader.get("/audit").text
        assert "Entry 12 is not what was written" in page
        assert "digests hold" not in page


@pytest.mark.shows("DASH-AUDIT-001")
def test_changes_are_shown_by_field() -> None:
    changes = changes_of('{"a":1,"b":"x","c":true}', '{"a":2,"b":"x","d":null}')
    assert [(each.name, each.before, each.after) for each in changes] == [
        ("a", "1", "2"),
        ("c", "true", ""),
        ("d", "", "null"),
    ]
    assert [(each.name, each.after) for each in changes_of("", '["no object"]')] == [("", '["no object"]')]
    assert [(each.name, each.after) for each in changes_of("", "no json")] == [("", "no json")]
    assert changes_of("", "") == ()


@pytest.mark.shows("DASH-LIVE-002")
def test_the_bar_of_an_exchange_shares_its_time_out_and_never_overflows() -> None:
    def bar(total: float, *hops: float) -> list[tuple[float, float]]:
        edge, link, local, body = hops
        exchange = Exchange("r", UnixSeconds(0), "GET", "/", 200, "ok", total, edge, link, local, body, 0, 0, 1)
        return [(part.x, part.width) for part in hop_bar(exchange).parts]

    assert bar(10, 1, 2, 3, 4) == [(0, 10), (10, 20), (30, 30), (60, 40)]
    assert bar(20, 0, 0, 5, 0) == [(0, 25)]
    assert sum(width for _, width in bar(1, 5, 5, 5, 5)) == 100
    assert bar(0, 0, 0, 0, 0) == []
    assert bar(0, -1, 0, 1, 0) == [(0, 100)]


@pytest.mark.shows("DASH-RIGHT-003")
def test_a_token_of_another_account_is_not_ours_to_revoke(world: World) -> None:
    operator = Reader(world).sign_in("operator")
    page = operator.send("/tokens", account=RIVAL.hex(), pattern="theirs", kind="http")
    token, text = token_in(page.text), secret_in(page.text)
    reader = Reader(world).sign_in("owner")
    path = f"/tokens/{token.token_id.hex()}/revoke"
    assert reader.get(path).status_code == 404
    assert reader.send(path).status_code == 404
    assert reader.send("/tokens/revoke", token=text).status_code == 404
    assert world.told(world.store.token(token.token_id)).revoked is None


@pytest.mark.shows("DASH-RIGHT-003")
def test_a_token_that_nobody_signed_revokes_nothing(world: World) -> None:
    """Whoever knows the ID of another account's token can write one that says that it is their own account's."""
    operator = Reader(world).sign_in("operator")
    page = operator.send("/tokens", account=RIVAL.hex(), pattern="theirs-too", kind="http")
    token, raw = token_in(page.text), token_raw(secret_in(page.text))
    assert isinstance(raw, Success)
    forged = token_text(value_of(raw).replace(RIVAL, ACME))
    before = world.entries()
    answer = Reader(world).sign_in("developer").send("/tokens/revoke", token=forged)
    assert (answer.status_code, "was not signed by" in answer.text) == (422, True), answer.text
    assert world.told(world.store.token(token.token_id)).revoked is None
    assert world.entries() == before + 1  # the sign-in
