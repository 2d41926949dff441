"""The demo as a person sees it: headless Chromium opens the pages through the tunnel, and the live parts come alive.

Without Chromium these tests say that they were left out; CI installs it, and there its absence is a failure.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.chromium import CHROMIUM, PATIENCE, open_page

pytestmark = pytest.mark.skipif(
    not CHROMIUM and os.environ.get("CI") != "true", reason="left out: the browser tests need Chromium"
)


@pytest.fixture(scope="module")
def demo_url() -> Iterator[str]:
    """The URL of a running demo, which ends with the module."""
    code = "from tunnel.cli.main import main; main()"
    command = [sys.executable, "-u", "-c", code, "demo", "--public", "127.0.0.1:0", "--api", "none"]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+", line)
            assert found, line
            yield found.group()
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


@pytest.mark.shows("OPS-DEMO-001", "OPS-DEMO-003")
def test_the_overview_shows_its_way_and_events_as_they_come(demo_url: str, tmp_path: Path) -> None:
    async def look() -> str:
        async with open_page(demo_url, tmp_path) as page:
            return await page.text_with(r"event 1 at \d\d:\d\d:\d\d")

    assert "It works." in asyncio.run(look())


@pytest.mark.shows("OPS-DEMO-003")
def test_what_is_typed_comes_back_over_the_web_socket(demo_url: str, tmp_path: Path) -> None:
    async def look() -> str:
        async with open_page(demo_url + "echo", tmp_path) as page:
            await page.text_with("connected")
            await page.run("document.querySelector('#echo [name=message]').value = 'there and back'")
            await page.run("document.querySelector('#echo button').click()")
            return await page.text_with(r"there and back\s*[\d.]+ ms")

    assert "there and back" in asyncio.run(look())


@pytest.mark.shows("RELAY-FAIL-001", "RELAY-FAIL-005")
def test_a_browser_gets_a_page_when_there_is_no_such_tunnel(demo_url: str, tmp_path: Path) -> None:
    async def look() -> str:
        async with open_page(demo_url.replace("demo.", "nobody."), tmp_path) as page:
            return await page.text_with("No tunnel has this name")

    assert "unknown-name" in asyncio.run(look())
