"""Headless Chromium through Playwright, for pages that are used: who is signed in, what went wrong, what axe says."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, expect, sync_playwright
from tests.support.chromium import CHROMIUM
from tests.support.dashboard import World

SHOTS: Final = Path(__file__).parents[2] / "build" / "screenshots"
PATIENCE_MS: Final = 60_000
"""For a machine that is busy; nothing is expected to take this long."""
NARROW: Final = 360
WIDE: Final = 1440

_SQUEEZED: Final = """() => [...document.querySelectorAll("caption, h1, h2, p, dd, legend, td > span, button")]
    .filter((each) => !each.matches(".unseen") && each.offsetHeight > (each.matches("button") ? 42 : 60)
        && (each.matches("button") || each.offsetHeight > each.offsetWidth))
    .map((each) => each.textContent.trim())"""

_ALL: Final = {"resultTypes": ["violations"]}
_COLOURS: Final = {"resultTypes": ["violations"], "runOnly": ["color-contrast", "link-in-text-block"]}
"""Of the rules of axe those that ask what a page looks like, and not what it is."""

expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser; gone afterwards."""
    with sync_playwright() as playwright:
        browser = _launched(playwright)
        try:
            yield browser
        finally:
            browser.close()


def _launched(playwright: Playwright) -> Browser:
    # As root, which containers are, Chromium has no sandbox to give; the pages are our own.
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


@final
class Tab:
    """A page in a context of its own; `troubles` are what the browser complained about."""

    def __init__(self, page: Page, world: World) -> None:
        self.page: Final = page
        self.world: Final = world
        self.troubles: Final[list[str]] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("requestfailed", self._on_failed)

    def _on_console(self, message: ConsoleMessage) -> None:
        # A page that is refused is said in the console as well; that is what those tests are about.
        if message.type == "error" and "status of" not in message.text:
            self.troubles.append(message.text)

    def _on_failed(self, request: Request) -> None:
        # Chromium says ERR_ABORTED of what the reader left behind by going to the next page.
        if "/live?" not in request.url and request.failure != "net::ERR_ABORTED":
            self.troubles.append(f"{request.url}: {request.failure}")

    def sign_in(self, role: str) -> "Tab":
        """Sign in with the key of this role, by the form."""
        self.page.goto(self.world.url + "/sign-in")
        self.page.get_by_label("API key").fill(self.world.keys[role])
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        self.page.get_by_role("heading", name="Overview").wait_for()
        return self

    def go(self, path: str) -> Page:
        """The page at `path`."""
        self.page.goto(self.world.url + path)
        return self.page

    def faults(self, *, colours: bool = False) -> list[str]:
        """What axe finds on this page, in words; with `colours` of those alone, where all else has been looked at."""
        found = Axe().run(self.page, options=_COLOURS if colours else _ALL).response["violations"]
        return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]

    def shoot(self, name: str) -> None:
        """Keep what the page looks like, whole."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)

    def squeezed(self) -> list[str]:
        """Sentences that are taller than they are wide, and buttons whose words are broken."""
        found = self.page.evaluate(_SQUEEZED)
        return [str(each) for each in found] if isinstance(found, list) else ["no answer"]

    def overflow(self) -> int:
        """By how many pixels the document is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@contextmanager
def tab(browser: Browser, world: World, *, width: int = WIDE, dark: bool = False, script: bool = True) -> Iterator[Tab]:
    """A tab with nothing in its cookies; at its end nothing may have gone wrong in it."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
        reduced_motion="reduce",
        locale="en-GB",
    )
    try:
        made = Tab(context.new_page(), world)
        yield made
        assert not made.troubles, made.troubles
    finally:
        context.close()
