"""The database goes and comes back under a running API: 503 with a time to come back, and then as before, by itself.

On SQLite the file is hidden behind a lock that another connection holds; on Postgres the server itself is stopped.
"""

import asyncio
import sqlite3
from pathlib import Path
from typing import Final

import pytest
from tests.support.api_world import OURS, World, api_world
from tests.support.postgres import PostgresServer, programs

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, value_of
from tunnel.store.open import DATABASE_FILE, open_store

pytestmark = pytest.mark.anyio

TRIES: Final = 600


async def until(world: World, method: str, path: str, key: str, status: int) -> None:
    """Ask until the answer has this status, within a generous time; a 503 on the way says when to come back."""
    for _ in range(TRIES):
        answer = await world.ask(method, path, key, {} if method == "PUT" else None)
        if answer.status_code == status:
            return
        assert answer.status_code in {503, 201, 200, 429}, answer.text
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0
        await asyncio.sleep(0.05)
    pytest.fail(f"never {status}")


@pytest.mark.shows("API-HEALTH-002")
async def test_a_locked_sqlite_file_is_503_for_writes_and_then_as_before(tmp_path: Path) -> None:
    async with api_world(tmp_path) as world:
        key = await world.key(OURS)
        path = f"/accounts/{OURS.hex()}/names/web"
        assert (await world.ask("GET", "/me", key)).status_code == 200
        other = sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            answer = await world.ask("PUT", path, key, {})
            assert (answer.status_code, answer.json()["code"]) == (503, "store-away")
            assert int(answer.headers["retry-after"]) > 0
            assert (await world.ask("GET", "//healthz")).status_code == 200
            other.execute("ROLLBACK")
        finally:
            other.close()
        await until(world, "PUT", path, key, 201)


@pytest.mark.shows("API-HEALTH-002")
@pytest.mark.skipif(programs() is None, reason="left out: Postgres is not installed here")
async def test_a_postgres_that_is_stopped_is_503_and_then_as_before(tmp_path: Path) -> None:
    server = PostgresServer()
    server.start()
    try:
        opened = await open_store(server.make_database("api"), tmp_path, UnixSeconds(1_900_000_000))
        assert isinstance(opened, Success)
        async with api_world(tmp_path, opened=value_of(opened)) as world:
            key = await world.key(OURS)
            assert (await world.ask("GET", "/me", key)).status_code == 200
            server.kill()
            await until(world, "GET", "/me", key, 503)
            ready = await world.ask("GET", "//readyz")
            assert (ready.status_code, ready.json()["parts"]["database"]["ready"]) == (503, False)
            assert (await world.ask("GET", "//healthz")).status_code == 200
            server.start()
            await until(world, "GET", "/me", key, 200)
            await until(world, "PUT", f"/accounts/{OURS.hex()}/names/web", key, 201)
            assert (await world.ask("GET", "//readyz")).status_code == 200
    finally:
        server.destroy()
