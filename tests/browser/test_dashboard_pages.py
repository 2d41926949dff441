"""The dashboard in a real browser: every page by each role, light and dark, narrow and wide, with and without a script.

axe has to find nothing, and the browser nothing to complain about: a breach of the content security policy would be.
What the pages look like is kept in `build/screenshots`. Left out by name where there is no Chromium.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, expect
from tests.support.browser import NARROW, WIDE, Tab, chromium, tab
from tests.support.chromium import CHROMIUM
from tests.support.dashboard import ACME, ROLES, World, served
from tests.support.oidc_provider import CLIENT, SECRET, OidcProvider

from tunnel.api.pages import live
from tunnel.api.pages.settings import DashboardSettings, OidcSettings

pytestmark = pytest.mark.skipif(
    not CHROMIUM and os.environ.get("CI") != "true", reason="left out: the browser tests need Chromium"
)

OWN = ("/", "/sessions", "/endpoints", "/endpoints/app", "/tokens", "/tokens/inspect", "/names", "/usage", "/people")
ACTS = ("/sessions/7/kick", "/sessions/7/drain", "/names/app/release")
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
ONE = f"?account={ACME.hex()}"
PAGES = {
    "owner": (*OWN, *ACTS, "/audit", "/audit?within=soon", "/nope"),
    "auditor": (*OWN, "/audit", "/sessions/7/kick"),
    "developer": (*OWN, *ACTS, "/audit"),
    "operator": (
        *OWN,
        *ACTS,
        "/audit",
        "/accounts",
        *(f"{path}{ONE}" for path in ("/accounts/one", "/accounts/suspend", "/tokens", "/names", "/usage", "/people")),
    ),
}
"""Every page that a role can open, and one or two that it cannot; revoking has an ID in its address, see below."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("state")) as made:
        yield made


def name_of(path: str) -> str:
    return re.sub(r"\W+", "-", path.partition("?")[0]).strip("-") or "overview"


@pytest.mark.shows("DASH-PAGE-001", "DASH-PAGE-002")
@pytest.mark.parametrize("role", ROLES)
def test_axe_finds_nothing_on_any_page_light_and_dark(browser: Browser, world: World, role: str) -> None:
    """One loading of each page: colours change under it as they do when evening comes, and nothing else does."""
    with tab(browser, world) as one:
        one.sign_in(role)
        for path in (*PAGES[role], *revoking(one)):
            one.go(path)
            for scheme in SCHEMES:
                one.page.emulate_media(color_scheme=scheme)
                assert one.faults(colours=scheme == "dark") == [], (path, scheme)
                if role == "owner" or path not in PAGES["owner"]:
                    one.shoot(f"{name_of(path)}-{role}-{WIDE}-{scheme}")


def revoking(one: Tab) -> list[str]:
    """The pages that ask whether to revoke, of what this reader may revoke: found as a reader finds them."""
    found = []
    for path in (f"/tokens{ONE}", f"/people{ONE}"):
        one.go(path)
        link = one.page.locator("a[href*='/revoke']").first
        if link.count():
            found.append(str(link.get_attribute("href")))
    return found


OUT_OF_SIGHT = """() => [...document.querySelectorAll(".nav a")]
    .map((each) => [each.textContent, each.getBoundingClientRect()])
    .filter(([, box]) => box.left < 0 || box.right > innerWidth || box.height === 0).map(([text]) => text)"""


@pytest.mark.shows("DASH-PAGE-002")
@pytest.mark.parametrize("role", ["owner", "operator"])
def test_every_page_fits_a_telephone(browser: Browser, world: World, role: str) -> None:
    with tab(browser, world, width=NARROW) as one:
        one.sign_in(role)
        for path in PAGES[role]:
            one.go(path)
            assert one.overflow() == 0, path
            assert one.squeezed() == [], path
            assert one.page.evaluate(OUT_OF_SIGHT) == [], path
            one.shoot(f"{name_of(path)}-{role}-{NARROW}-light")
        one.go("/")
        assert one.faults() == []
        # And axe does look: without its label a field is found.
        one.go("/tokens/inspect")
        one.page.evaluate("document.querySelector('label[for=token]').remove()")
        assert one.faults() != []


@pytest.mark.shows("DASH-PAGE-001", "DASH-PAGE-002")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_sign_in_page_and_what_it_says_of_a_wrong_key(browser: Browser, world: World, dark: bool) -> None:  # noqa: FBT001 - a row
    with tab(browser, world, dark=dark, width=NARROW if dark else WIDE) as one:
        page = one.go("/tokens")
        expect(page).to_have_url(re.compile(r"/sign-in\?to=/tokens$"))
        assert one.faults() == []
        page.get_by_label("API key").fill("nonsense")
        page.keyboard.press("Enter")
        expect(page.get_by_text("This is no valid API key")).to_be_visible()
        expect(page.get_by_label("API key")).to_have_attribute("aria-invalid", "true")
        assert one.faults() == []
        one.shoot(f"sign-in-wrong-{'dark' if dark else 'light'}")
        page.get_by_label("API key").fill(world.keys["auditor"])
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Tokens")).to_be_visible()


@pytest.mark.shows("DASH-PAGE-003")
def test_the_keyboard_reaches_everything_and_sees_where_it_is(browser: Browser, world: World) -> None:
    with tab(browser, world) as one:
        one.sign_in("owner")
        page = one.go("/names")
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to the content")
        expect(skip).to_be_focused()
        expect(skip).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.get_by_label("Name", exact=True)).to_be_focused()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        wanted = page.locator("a[href], button, input:not([type=hidden]), select, textarea, summary").count()
        page.evaluate("document.activeElement.blur()")
        page.goto(page.url)
        reached = set()
        for _ in range(wanted + 2):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        assert len(reached) >= wanted


@pytest.mark.shows("DASH-PAGE-004")
@pytest.mark.parametrize(("role", "script"), [("owner", False), ("owner", True), ("developer", True)])
def test_tokens_and_names_are_managed_by_clicks(browser: Browser, world: World, role: str, script: bool) -> None:  # noqa: FBT001 - a row
    with tab(browser, world, script=script) as one:
        one.sign_in(role)
        label = f"of the {role} {'with' if script else 'without'} a script"
        page = one.page
        page.get_by_role("link", name="Tokens").click()
        page.get_by_label("Label").fill(label)
        page.get_by_label("Names", exact=True).fill("shop-*")
        page.get_by_label("http").check()
        page.get_by_role("button", name="Mint the token").click()
        secret = page.locator("#secret").inner_text()
        assert secret.startswith("tnl2_")
        assert page.get_by_role("button", name="Copy").is_visible() == script
        one.shoot(f"token-minted-{'script' if script else 'plain'}")
        page.get_by_role("link", name="Back to the tokens").click()
        page.get_by_role("link", name="Inspect a token you hold").click()
        page.get_by_label("Token").fill(secret)
        page.get_by_role("button", name="Explain the token").click()
        expect(page.get_by_text("any name that begins with")).to_be_visible()
        page.get_by_label("Names", exact=True).fill("shop-one")
        page.get_by_role("button", name="Narrow the token").click()
        expect(page.get_by_text("Narrowed, step 1")).to_be_visible()
        page.get_by_role("link", name="Back to the tokens").click()
        page.get_by_role("link", name=f"Revoke token {label}").click()
        page.get_by_role("button", name="Revoke the token").click()
        expect(page.get_by_role("status").filter(has_text="The token is revoked")).to_be_visible()
        page.get_by_role("link", name="Names", exact=True).click()
        page.get_by_label("Name", exact=True).fill("by-hand")
        page.get_by_role("button", name="Reserve the name").click()
        expect(page.get_by_role("link", name="by-hand", exact=True)).to_be_visible()
        page.get_by_role("link", name="Release by-hand").click()
        page.get_by_role("link", name="Cancel").click()
        page.get_by_role("link", name="Release by-hand").click()
        page.get_by_role("button", name="Release the name").click()
        expect(page.get_by_role("link", name="by-hand", exact=True)).to_have_count(0)


@pytest.mark.shows("DASH-PAGE-004")
@pytest.mark.parametrize("script", [False, True], ids=["without a script", "with a script"])
def test_people_and_sessions_are_managed_by_clicks(browser: Browser, tmp_path: Path, script: bool) -> None:  # noqa: FBT001 - a row
    with served(tmp_path) as world, tab(browser, world, script=script) as one:
        one.sign_in("owner")
        page = one.page
        page.get_by_role("link", name="Members and keys").click()
        page.get_by_label("Identity").fill("eve@example.com")
        page.get_by_role("button", name="Add the member").click()
        page.get_by_label("Role of eve@example.com", exact=True).select_option("auditor")
        page.get_by_role("button", name="Change the role of eve@example.com").click()
        page.get_by_role("button", name="Remove eve@example.com").click()
        expect(page.get_by_text("eve@example.com")).to_have_count(0)
        page.get_by_label("Label").fill("by hand")
        page.get_by_role("button", name="Make the key").click()
        assert page.locator("#secret").inner_text().startswith("tnlk_k_")
        page.get_by_role("link", name="Back to members and keys").click()
        page.get_by_role("link", name="Revoke key by hand").click()
        page.get_by_role("button", name="Revoke the key").click()
        expect(page.get_by_role("status").filter(has_text="is revoked")).to_be_visible()
        page.get_by_role("link", name="Sessions").click()
        page.get_by_role("link", name="Drain session 7").click()
        page.get_by_role("button", name="Drain the session").click()
        page.get_by_role("link", name="End session 7").click()
        page.get_by_role("button", name="End the session").click()
        expect(page.get_by_text("No agent is connected")).to_be_visible()
        page.get_by_role("link", name="Audit").click()
        page.get_by_label("Action begins with").fill("session.kick")
        page.get_by_role("button", name="Filter").click()
        expect(page.get_by_role("row", name=re.compile("session.kick"))).to_have_count(1)
        page.get_by_role("button", name="Sign out", exact=True).click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.shows("DASH-PAGE-004")
def test_accounts_are_managed_by_clicks(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path) as world, tab(browser, world) as one:
        one.sign_in("operator")
        page = one.page
        page.get_by_role("link", name="Accounts").click()
        page.get_by_label("Name").fill("By Hand")
        page.get_by_role("button", name="Make the account").click()
        page.get_by_role("link", name="Accounts").click()
        page.get_by_role("link", name="By Hand", exact=True).click()
        page.get_by_label("Exposure lasts at most").fill("7d")
        page.get_by_role("button", name="Change the account").click()
        page.get_by_role("link", name="Suspend the account").click()
        page.get_by_role("button", name="Suspend the account").click()
        expect(page.get_by_role("status").filter(has_text="is suspended")).to_be_visible()
        page.get_by_role("button", name="Resume the account").click()
        expect(page.get_by_role("status").filter(has_text="is resumed")).to_be_visible()


@pytest.mark.shows("DASH-PAGE-005")
def test_what_changes_is_seen_without_a_reload_and_a_reader_is_not_thrown_out(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EVERY_SECONDS", 0.1)
    with served(tmp_path) as world, tab(browser, world) as one:
        one.sign_in("owner")
        page = one.go("/sessions")
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        world.feed.busy = 12_345
        expect(page.get_by_text("12,345")).to_be_visible()
        # While somebody stands on a link of a part, the part stays; once they have left, it follows.
        page.get_by_role("link", name="End session 7").focus()
        world.feed.gone.add(7)
        page.evaluate(_TOLD_TWICE, "No agent is connected")
        expect(page.get_by_role("link", name="End session 7")).to_be_focused()
        page.evaluate("document.activeElement.blur()")
        expect(page.get_by_text("No agent is connected")).to_be_visible()
        world.told(world.store.drop_web_sessions(_identity(world)))
        expect(page.get_by_text("not live: reload the page")).to_be_visible()


_TOLD_TWICE = """async (words) => {
    for (let time = 0; time < 2; time += 1) {
        await new Promise((done) => {
            const source = new EventSource(document.querySelector("[data-live-source]").dataset.liveSource);
            source.addEventListener("part", (event) => {
                if (event.data.includes(words)) { source.close(); done(); }
            });
        });
    }
}"""
"""Follows the page's events beside it until they say so, twice over: the page has been told by then."""


def _identity(world: World) -> str:
    return "key:" + world.keys["owner"][len("tnlk_") : -44]


@pytest.mark.shows("DASH-ERROR-002")
def test_a_page_whose_data_plane_is_away_comes_back_by_itself(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path) as world, tab(browser, world, script=False) as one:
        one.sign_in("owner")
        world.feed.is_there = False
        page = one.go("/sessions")
        expect(page.get_by_role("heading", name="The data plane does not answer")).to_be_visible()
        one.shoot("away-503")
        world.feed.is_there = True
        expect(page.get_by_role("link", name="End session 7")).to_be_visible()


@pytest.mark.shows("DASH-SIGN-008", "DASH-OIDC-001")
def test_a_browser_signs_in_with_the_provider_and_comes_back_to_stay(browser: Browser, tmp_path: Path) -> None:
    with OidcProvider() as provider:
        settings = DashboardSettings(oidc=OidcSettings(provider.issuer, CLIENT, SECRET))
        with served(tmp_path, settings) as world, tab(browser, world) as one:
            page = one.go("/")
            assert one.faults() == []
            one.shoot("sign-in-with-provider")
            page.get_by_role("link", name="Sign in with your organisation").click()
            expect(page.get_by_role("heading", name="Overview")).to_be_visible()
            expect(page.get_by_text("ada@example.com")).to_be_visible()
            page.get_by_role("link", name="Usage").click()
            expect(page.get_by_role("heading", name="Usage")).to_be_visible()
