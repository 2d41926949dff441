"""The dashboard of a running demo: a real server, agent and control process, seen from the key that the demo prints."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import expect
from tests.support.browser import chromium
from tests.support.chromium import CHROMIUM, PATIENCE

pytestmark = pytest.mark.skipif(
    not CHROMIUM and os.environ.get("CI") != "true", reason="left out: the browser tests need Chromium"
)


@dataclass
class Demo:
    """What a running demo printed."""

    site: str
    dashboard: str
    key: str


@pytest.fixture
def demo() -> Iterator[Demo]:
    """A demo, which ends with the test."""
    code = "from tunnel.cli.main import main; main()"
    command = [sys.executable, "-u", "-c", code, "demo", "--public", "127.0.0.1:0", "--api", "127.0.0.1:0"]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            told = ""
            for line in process.stdout:
                told += line
                found = re.search(r"dashboard: (http://\S+)\s+key: (\S+)", told)
                site = re.search(r"ready: (http://\S+)", told)
                if found and site:
                    yield Demo(site[1], found[1], found[2])
                    break
            else:
                pytest.fail(told)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)


@pytest.mark.shows("DASH-REAL-001")
def test_an_exchange_through_the_tunnel_is_on_the_page_of_its_endpoint(demo: Demo) -> None:
    host = httpx.URL(demo.site)
    with httpx.Client(trust_env=False) as visitor:
        at = f"http://127.0.0.1:{host.port}"
        answer = visitor.get(f"{at}/seen-here?secret=planted", headers={"host": f"{host.host}:{host.port}"})
        assert answer.status_code == 404
    with chromium() as browser:
        page = browser.new_page()
        page.goto(demo.dashboard)
        page.get_by_label("API key").fill(demo.key)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("row", name=re.compile("data plane.*ready"))).to_be_visible()
        page.get_by_role("link", name="Endpoints").click()
        page.get_by_role("link", name="demo", exact=True).click()
        expect(page.get_by_text("GET /seen-here")).to_be_visible()
        assert "planted" not in page.content()
        page.get_by_role("link", name="Sessions").click()
        expect(page.get_by_role("link", name=re.compile("End session"))).to_be_visible()
