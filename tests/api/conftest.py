"""What the tests of the API stand on: one event loop as in production, and a world for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.api_world import World, api_world


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the product runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A control process without its process, on a new SQLite file."""
    async with api_world(tmp_path) as made:
        yield made
