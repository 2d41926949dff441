"""Signing in, staying in, and being out: by key and by provider, and at once when a right is taken back."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.dashboard import ACME, ACT, RIVAL, Reader, World, served
from tests.support.oidc_provider import CLIENT, SECRET, OidcProvider

from tunnel.api.pages.desk import TRIES_MINUTE_MAX, Tries
from tunnel.api.pages.settings import BadSettings, DashboardSettings, OidcSettings, dashboard_settings, settings_of
from tunnel.api.pages.signed_in import ABSOLUTE_SECONDS, IDLE_SECONDS, open_session, viewer_of
from tunnel.core.base.ids import Instant, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.control.account import Member
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.keys import NEW_KEY_BYTES, new_key, read_key
from tunnel.core.control.page import Page
from tunnel.core.control.roles import Role, scopes_of
from tunnel.drive.clock import SystemClock
from tunnel.store.errors import StoreError
from tunnel.store.port import AuditFilter, Store


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with served(tmp_path) as made:
        yield made


def cookie_of(reader: Reader) -> str:
    return reader.client.cookies.get("tunnel_session") or ""


@pytest.mark.shows("DASH-SIGN-001", "DASH-COOKIE-001", "DASH-COOKIE-002")
def test_a_key_signs_in_and_nothing_of_it_is_kept_in_the_browser_or_the_store(world: World, tmp_path: Path) -> None:
    reader = Reader(world)
    answer = reader.sign_in_with(world.keys["owner"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    made = next(value for value in answer.headers.get_list("set-cookie") if value.startswith("tunnel_session="))
    assert "; HttpOnly; SameSite=Lax; " in made
    cookie = cookie_of(reader)
    assert "Overview" in reader.get("/").text
    secrets = (cookie.encode(), world.keys["owner"].encode(), world.keys["owner"][-43:].encode())
    for file in tmp_path.rglob("control.db*"):
        assert not any(secret in file.read_bytes() for secret in secrets), file
    entries = world.told(world.store.audit_page(AuditFilter(action="session.sign-in"), Page())).items
    read = read_key(world.keys["owner"])
    assert isinstance(read, Success)
    assert [entry.facts.act.key for entry in entries] == [value_of(read).key]
    assert cookie not in repr(entries)


@pytest.mark.shows("DASH-SIGN-001")
@pytest.mark.parametrize("key", ["", "nonsense", "tnlk_k_aaaaaaaaaaaaaaaa_" + "A" * 43, "tnl2_" + "A" * 1068])
def test_what_is_no_key_signs_nobody_in_and_is_not_repeated(world: World, key: str) -> None:
    answer = Reader(world).sign_in_with(key)
    assert (answer.status_code, "no valid API key" in answer.text) == (401, True)
    assert not key or key not in answer.text
    assert "tunnel_session" not in answer.headers.get("set-cookie", "")


@pytest.mark.shows("DASH-SIGN-002")
def test_an_address_that_goes_on_failing_is_kept_waiting(world: World) -> None:
    reader = Reader(world)
    statuses = [reader.sign_in_with("wrong").status_code for _ in range(TRIES_MINUTE_MAX + 1)]
    assert statuses == [401] * TRIES_MINUTE_MAX + [429]
    answer = reader.sign_in_with(world.keys["owner"])
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")


def test_failures_are_counted_by_address_and_forgotten_after_a_minute() -> None:
    tries = Tries()
    for _ in range(TRIES_MINUTE_MAX):
        assert tries.may_try("a", Instant(100.0))
        tries.note_failed("a")
    assert not tries.may_try("a", Instant(100.0))
    assert tries.may_try("b", Instant(100.0))
    assert tries.may_try("a", Instant(161.0))
    for number in range(3000):
        tries.note_failed(f"{number}")
    assert tries.may_try("2999", Instant(161.0))


@pytest.mark.shows("DASH-FORM-001")
def test_nobody_can_be_signed_in_by_a_page_of_elsewhere(world: World) -> None:
    victim, attacker = Reader(world), Reader(world)
    key, token = world.keys["owner"], re.search(r'value="(\w+)"', attacker.get("/sign-in").text)
    assert token
    for form, headers in (
        ({"key": key}, {"origin": world.url}),
        ({"key": key, "csrf": token[1]}, {"origin": world.url}),
        ({"key": key, "csrf": token[1]}, {"origin": "http://evil.example"}),
        ({"key": key, "csrf": token[1]}, {}),
    ):
        victim.get("/sign-in")
        assert victim.client.post("/sign-in", data=form, headers=headers).status_code == 403


@pytest.mark.shows("DASH-SIGN-003")
def test_a_session_is_made_anew_at_each_sign_in_and_the_old_one_ends(world: World) -> None:
    reader = Reader(world).sign_in("owner")
    first = cookie_of(reader)
    reader.sign_in("auditor")
    assert cookie_of(reader) != first
    old = Reader(world)
    old.client.cookies.set("tunnel_session", first, domain="127.0.0.1")
    assert old.get("/").status_code == 303
    # A cookie that somebody planted is never taken over.
    planted = Reader(world)
    planted.client.cookies.set("tunnel_session", "planted", domain="127.0.0.1")
    planted.sign_in("owner")
    assert cookie_of(planted) != "planted"


@pytest.mark.shows("DASH-SIGN-004")
def test_signing_out_ends_this_session_and_everywhere_ends_all(world: World) -> None:
    here, there, third = (Reader(world).sign_in("owner") for _ in range(3))
    other = Reader(world).sign_in("auditor")
    kept = cookie_of(here)
    assert here.send("/sign-out").headers["location"] == "/sign-in"
    here.client.cookies.set("tunnel_session", kept, domain="127.0.0.1")
    assert [each.get("/").status_code for each in (here, there, third)] == [303, 200, 200]
    assert there.send("/sign-out", everywhere="yes").status_code == 303
    assert [each.get("/").status_code for each in (here, there, third, other)] == [303, 303, 303, 200]


@pytest.mark.shows("DASH-SIGN-005")
def test_a_key_that_is_revoked_is_out_at_its_next_request(world: World) -> None:
    reader = Reader(world).sign_in("developer")
    read = read_key(world.keys["developer"])
    assert isinstance(read, Success)
    assert reader.get("/tokens").status_code == 200
    world.told(world.store.revoke_key(value_of(read).key, ACT, SystemClock().unix()))
    assert reader.get("/tokens").headers["location"] == "/sign-in?to=/tokens"
    assert Reader(world).sign_in_with(world.keys["developer"]).status_code == 401


@pytest.mark.shows("DASH-SIGN-006")
def test_a_session_ends_by_idleness_and_after_a_day_in_any_case(world: World) -> None:
    store, begun = world.store, UnixSeconds(2_000_000_000)
    member = Member(ACME, "eve@example.com", Role.AUDITOR, begun)
    world.told(world.store.add_member(member, ACT, begun))

    def opened() -> str:
        return world.told(open_session(store, "eve@example.com", ACME, Role.AUDITOR, "", b"r" * 32, begun))

    def is_in(cookie: str, after: int, *, is_used: bool = True) -> bool:
        return world.told(viewer_of(store, cookie, UnixSeconds(begun + after), is_used=is_used)) is not None

    idle = opened()
    assert is_in(idle, IDLE_SECONDS)
    assert is_in(idle, 2 * IDLE_SECONDS)
    # What a page asks by itself is no sign of a person.
    assert is_in(idle, 3 * IDLE_SECONDS, is_used=False)
    assert not is_in(idle, 3 * IDLE_SECONDS + 1)
    assert not is_in(idle, 1)
    busy = opened()
    assert all(is_in(busy, after) for after in range(0, ABSOLUTE_SECONDS, IDLE_SECONDS))
    assert not is_in(busy, ABSOLUTE_SECONDS)
    assert not is_in("", 0)
    assert not is_in("made up", 0)


@pytest.mark.shows("DASH-SIGN-004")
def test_a_request_that_was_under_way_does_not_begin_a_session_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was judged before its reader signed out in another tab, and notes afterwards that they were there."""
    store, begun = world.store, UnixSeconds(2_000_000_000)
    world.told(store.add_member(Member(ACME, "eve@example.com", Role.AUDITOR, begun), ACT, begun))
    cookie = world.told(open_session(store, "eve@example.com", ACME, Role.AUDITOR, "", b"r" * 32, begun))
    memberships = type(store).memberships

    async def slow(self: Store, identity: str) -> Outcome[tuple[Member, ...], StoreError]:
        told = await memberships(self, identity)
        await self.drop_web_sessions(identity)
        return told

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "memberships", slow)
        world.told(viewer_of(store, cookie, UnixSeconds(begun + 120), is_used=True))
    assert world.told(viewer_of(store, cookie, UnixSeconds(begun + 121), is_used=True)) is None


@pytest.mark.shows("DASH-SIGN-007")
@pytest.mark.parametrize(
    ("way", "goes_to"),
    [
        ("/tokens", "/tokens"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/%0d%0aSet-Cookie:x", "/"),
        ("/" + "a" * 300, "/"),
    ],
)
def test_signing_in_leads_back_to_a_page_of_ours_and_nowhere_else(world: World, way: str, goes_to: str) -> None:
    answer = Reader(world).sign_in_with(world.keys["owner"], f"/sign-in?to={way}")
    assert (answer.status_code, answer.headers["location"]) == (303, goes_to)


def by_provider(reader: Reader, provider: OidcProvider) -> httpx.Response:
    """A whole sign-in with the provider, as a browser goes through it."""
    begun = reader.get("/sign-in/provider")
    assert begun.status_code == 303, begun.text
    with httpx.Client(trust_env=False) as elsewhere:
        back = urlsplit(elsewhere.get(begun.headers["location"]).headers["location"])
    assert f"{back.scheme}://{back.netloc}" == reader.world.url
    assert provider.asked[-1] == "/authorize"
    return reader.get(f"{back.path}?{back.query}")


@pytest.mark.shows("DASH-SIGN-008")
def test_a_member_signs_in_with_the_provider_in_the_role_that_they_have_now(tmp_path: Path) -> None:
    with OidcProvider() as provider, served(tmp_path, with_provider(provider)) as world:
        reader = Reader(world)
        assert "Sign in with your organisation" in reader.get("/sign-in").text
        assert by_provider(reader, provider).headers["location"] == "/"
        page = reader.get("/people").text
        assert "ada@example.com" in page
        assert "Make a key" in page
        now = SystemClock().unix()
        world.told(world.store.change_member(ACME, "ada@example.com", Role.AUDITOR, ACT, now))
        # A session that was opened with the old role ends with it.
        assert reader.get("/people").status_code == 303
        by_provider(reader, provider)
        assert "Make a key" not in reader.get("/people").text
        assert reader.send("/names", name="mine").status_code == 403
        world.told(world.store.remove_member(ACME, "ada@example.com", ACT, now))
        assert reader.get("/people").status_code == 303
        refused = by_provider(reader, provider)
        assert (refused.status_code, "not-a-member" in refused.text) == (403, True)


@pytest.mark.shows("DASH-SIGN-009")
def test_a_member_of_two_accounts_goes_over_and_back(tmp_path: Path) -> None:
    with OidcProvider() as provider, served(tmp_path, with_provider(provider)) as world:
        now = SystemClock().unix()
        world.told(world.store.add_member(Member(RIVAL, "ada@example.com", Role.AUDITOR, now), ACT, now))
        reader = Reader(world)
        by_provider(reader, provider)
        first = cookie_of(reader)
        assert "Your other accounts" in reader.get("/").text
        assert reader.send("/switch", to_account="00" * 16).status_code == 404
        assert reader.send("/switch", to_account=RIVAL.hex()).status_code == 303
        assert cookie_of(reader) != first
        assert "rival-shop" in reader.get("/names").text
        assert reader.send("/names", name="mine").status_code == 403
        assert reader.send("/switch", to_account=ACME.hex()).status_code == 303
        assert "old-shop" in reader.get("/names").text
        # A key belongs to one account, whatever accounts there are.
        keyed = Reader(world).sign_in("owner")
        assert keyed.send("/switch", to_account=RIVAL.hex()).status_code == 404


@pytest.mark.shows("DASH-SIGN-008")
def test_an_answer_of_the_provider_that_nobody_asked_for_signs_nobody_in(tmp_path: Path) -> None:
    with OidcProvider() as provider, served(tmp_path, with_provider(provider)) as world:
        reader = Reader(world)
        for answer in ("?code=x&state=y", "?error=access_denied&state=y", ""):
            told = reader.get(f"/sign-in/back{answer}")
            assert (told.status_code, "Begin again" in told.text) == (401, True)
        provider.fault = "nonce"
        told = by_provider(reader, provider)
        assert (told.status_code, "Nobody was signed in" in told.text) == (401, True)
        assert not cookie_of(reader)
    plain = tmp_path / "plain"
    plain.mkdir()
    with served(plain) as world:
        assert Reader(world).get("/sign-in/provider").status_code == 404
        assert Reader(world).get("/sign-in/back?code=x&state=y").status_code == 404


def with_provider(provider: OidcProvider) -> DashboardSettings:
    return DashboardSettings(oidc=OidcSettings(provider.issuer, CLIENT, SECRET))


@pytest.mark.shows("DASH-SET-001")
def test_the_settings_are_a_closed_file_of_the_state_directory(tmp_path: Path) -> None:
    assert dashboard_settings(tmp_path) == Success(DashboardSettings())
    file = tmp_path / "dashboard.toml"
    file.write_text('url = "https://dash.example.com/"\n[oidc]\nissuer = "https://id.example"\nclient_id = "t"\n')
    settings = DashboardSettings("https://dash.example.com", OidcSettings("https://id.example", "t"))
    assert dashboard_settings(tmp_path) == Success(settings)
    assert settings.host == "dash.example.com"
    file.write_bytes(b"\xff")
    assert isinstance(dashboard_settings(tmp_path), Failure)
    file.unlink()
    file.mkdir()
    assert isinstance(dashboard_settings(tmp_path), Failure)


@pytest.mark.shows("DASH-SET-001")
@pytest.mark.parametrize(
    "told",
    [
        {"urls": "x"},
        {"url": 1},
        {"url": "dash.example.com"},
        {"url": "https://dash.example.com/path"},
        {"url": "https://user@dash.example.com"},
        {"url": "https://[::1"},
        {"oidc": "x"},
        {"oidc": {"issuer": "https://id.example"}},
        {"oidc": {"issuer": "https://id.example", "client_id": 1}},
        {"oidc": {"issuer": "https://id.example", "client_id": "t", "secret": "planted"}},
    ],
)
def test_what_the_settings_cannot_be_is_said_without_repeating_it(told: dict[str, object]) -> None:
    refused = settings_of(told)
    assert isinstance(refused, Failure)
    assert "planted" not in str(refused)
    assert str(BadSettings("it is empty")) == "dashboard.toml is not used: it is empty"


@pytest.mark.shows("DASH-COOKIE-001", "DASH-FORM-001", "DASH-SET-001")
def test_behind_a_proxy_the_dashboard_is_where_its_settings_say(tmp_path: Path) -> None:
    with served(tmp_path, DashboardSettings("https://dash.example.com")) as world:
        reader = Reader(world)
        here = {"host": "dash.example.com"}
        shown = reader.client.get("/sign-in", headers=here)
        hardened = r"__Host-tunnel_form=([^;]+); Path=/; HttpOnly; SameSite=Lax; Max-Age=\d+; Secure"
        cookie = re.fullmatch(hardened, shown.headers["set-cookie"])
        token = re.search(r'value="(\w+)"', shown.text)
        assert cookie
        assert token
        form = {"csrf": token[1], "key": world.keys["owner"]}
        sent = here | {"cookie": f"__Host-tunnel_form={cookie[1]}"}
        for origin in (world.url, "http://dash.example.com", "https://evil.example"):
            assert reader.client.post("/sign-in", data=form, headers=sent | {"origin": origin}).status_code == 403
        taken = reader.client.post("/sign-in", data=form, headers=sent | {"origin": "https://dash.example.com"})
        assert taken.status_code == 303
        assert taken.headers["set-cookie"].startswith("__Host-tunnel_session=")
        assert all(each.endswith("; Secure") for each in taken.headers.get_list("set-cookie"))
        assert reader.client.get("/sign-in", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.shows("DASH-SIGN-005")
def test_a_key_that_expires_takes_its_sessions_with_it(world: World) -> None:
    store, begun = world.store, UnixSeconds(2_000_000_000)
    made = new_key(world.plane.entropy.random_bytes(NEW_KEY_BYTES))
    until = UnixSeconds(begun + 600)
    scopes = scopes_of(Role.AUDITOR)
    record = KeyRecord(made.key, ACME, "short", Role.AUDITOR, scopes, made.secret_hash, begun, until, None, None)
    world.told(store.mint_key(record, ACT, begun))
    opened = open_session(store, f"key:{made.key}", ACME, Role.AUDITOR, made.key, b"r" * 32, begun)
    cookie = world.told(opened)
    for after, is_in in ((599, True), (600, False)):
        viewer = world.told(viewer_of(store, cookie, UnixSeconds(begun + after), is_used=False))
        assert (viewer is not None) == is_in
