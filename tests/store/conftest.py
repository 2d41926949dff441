"""The same tests against both databases: a file of SQLite, and a database of a Postgres that is started here.

Postgres is left out by name where its programs are not installed. Each test has a database of its own.
"""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.postgres import PostgresServer, programs
from tests.support.store_world import Place, opened_store

from tunnel.store.port import Store

_NUMBERS = itertools.count(1)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the control process runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server that all tests of a run share; whoever stops servers starts one of its own."""
    if programs() is None:
        pytest.skip("Postgres is not installed here")
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.destroy()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database, of each kind in turn."""
    if request.param == "sqlite":
        return Place("sqlite", "", tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return Place("postgres", server.make_database(f"test_{next(_NUMBERS)}"), tmp_path)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    """A store on an empty database."""
    opened = await opened_store(place)
    yield opened
    await opened.close()
