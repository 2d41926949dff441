"""How often one browser session may ask: as often as an API key, each by itself. Time stands still meanwhile."""

from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient
from tests.support.api_world import BASE, OURS, World, api_world
from tests.support.dashboard import token_of

pytestmark = pytest.mark.anyio


def browser(world: World) -> AsyncClient:
    """Somebody at a browser."""
    page = {"Accept": "text/html"}
    return AsyncClient(transport=ASGITransport(world.door, client=("127.0.0.1", 1)), base_url=BASE, headers=page)


async def sign_in(one: AsyncClient, key: str) -> None:
    """Sign in with this key."""
    form = {"csrf": token_of((await one.get("/sign-in")).text), "key": key}
    assert (await one.post("/sign-in", data=form, headers={"Origin": BASE})).status_code == 303


@pytest.mark.shows("DASH-RATE-001")
async def test_a_session_that_asks_too_often_waits_and_no_other_does(tmp_path: Path) -> None:
    async with api_world(tmp_path, requests_second=5) as world, browser(world) as hasty, browser(world) as calm:
        key = await world.key(OURS)
        for one in (hasty, calm):
            await sign_in(one, key)
        answers = [await hasty.get("/people") for _ in range(21)]
        assert [each.status_code for each in answers] == [200] * 20 + [429]
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert "Too many requests" in answers[-1].text
        assert (await hasty.post("/names", data={})).status_code == 429
        assert (await calm.get("/people")).status_code == 200
        world.clock.seconds += 1.0
        assert (await hasty.get("/people")).status_code == 200
