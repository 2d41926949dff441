"""Real local servers behind us, real clients in front: every check comes out as it does without the tunnel.

`make matrix` starts each server and asks each client to fetch a page, a missing one, three megabytes and a part of
them, to upload, to follow events and to talk over a WebSocket, as far as both can; directly, then through the tunnel.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from tests.support.chromium import CHROMIUM, open_page
from tests.support.matrix_clients import CLIENTS, Place, curl
from tests.support.matrix_servers import ENVIRONMENT, KINDS, is_here, local_server
from tests.support.shell_world import DOMAIN, World, world

from tunnel.core.base.outcome import Success, value_of
from tunnel.core.link.authority import authority_of
from tunnel.core.link.messages import HostHeader, Keep, Rewrite

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not os.environ.get("MATRIX"), reason="run by `make matrix`"),
    pytest.mark.timeout(600),
]
NEEDED: Final = {"curl": "curl", "chromium": CHROMIUM, "websockets": str(ENVIRONMENT / "python")}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the product runs on."""
    return "asyncio", {"use_uvloop": True}


def through(running: World, scratch: Path) -> Place:
    """The public port, meaning the name `demo`."""
    return Place(running.public, f"demo.{DOMAIN}:{running.public.port}", scratch)


@pytest.mark.shows("OPS-MATRIX-001")
@pytest.mark.parametrize("client", list(CLIENTS))
@pytest.mark.parametrize("server", list(KINDS))
async def test_a_client_gets_from_a_server_what_it_gets_directly(
    server: str, client: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    for key, value in (("peer", client), ("role", "both"), ("scenario", server)):
        record_property(key, value)
    ask, asked = CLIENTS[client]
    checks = sorted(asked & KINDS[server].checks)
    if server == "vite" and client == "chromium":
        pytest.skip("has a test of its own")
    if not checks:
        pytest.skip(f"{client} and {server} have nothing in common")
    if not is_here(server) or shutil.which(NEEDED.get(client, "true")) is None:
        pytest.skip(f"{server} or {client} is not on this machine")
    site = tmp_path / "site"
    site.mkdir()
    directly, tunnelled = {}, {}
    async with local_server(server, site) as local:
        for check in checks:
            directly[check] = await ask(Place(local, str(local), tmp_path), check)
        async with world(tmp_path / "state") as running, running.agent(local):
            for check in checks:
                tunnelled[check] = await ask(through(running, tmp_path), check)
    assert tunnelled == directly


@pytest.mark.shows("OPS-MATRIX-001")
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
async def test_a_vite_page_is_changed_while_it_is_open(tmp_path: Path) -> None:
    """Hot replacement goes over a WebSocket of Vite's own: the word changes, and the page was loaded once."""
    if not is_here("vite"):
        pytest.skip("vite was not built")
    site = tmp_path / "site"
    site.mkdir()
    async with (
        local_server("vite", site) as local,
        world(tmp_path / "state") as running,
        running.agent(local),
        open_page(f"http://{through(running, tmp_path).host}/", tmp_path / "profile") as page,
    ):
        before = await page.text_with("word first\\n+loaded at")
        (site / "word.js").write_text("export const word = 'second'\n")
        after = await page.text_with("word second")
    assert after == before.replace("first", "second")


@pytest.mark.shows("OPS-MATRIX-001")
async def test_vite_refuses_a_host_it_does_not_know_unless_it_is_rewritten(tmp_path: Path) -> None:
    """Its host check is against DNS rebinding; `--host-header rewrite` is the answer that needs no change there."""
    if not is_here("vite"):
        pytest.skip("vite was not built")
    site = tmp_path / "site"
    site.mkdir()
    statuses = {}
    async with local_server("vite", site) as local:
        own = authority_of(str(local))
        assert isinstance(own, Success)
        choices: dict[str, HostHeader] = {"keep": Keep(), "rewrite": Rewrite(value_of(own))}
        for name, choice in choices.items():
            async with (
                world(tmp_path / name, domain="tunnel.test") as running,
                running.agent(local, host_header=choice),
            ):
                told = await curl(Place(running.public, "demo.tunnel.test", tmp_path), "page")
                statuses[name] = told.split()[0]
    assert statuses == {"keep": "403", "rewrite": "200"}
