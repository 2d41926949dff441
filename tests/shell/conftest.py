"""What the shell tests stand on: one event loop as in production, and one state directory for a whole run."""

from pathlib import Path

import pytest


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the product runs on; files that judge something else say so themselves."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory whose keys and certificates are made once; nothing in it is changed by a test."""
    return tmp_path_factory.mktemp("shell") / "state"
