"""What the shell tests stand on: one event loop as in production, and one state directory for a whole run."""

import time
from pathlib import Path

import pytest

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success
from tunnel.server.state import server_identity


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the product runs on; files that judge something else say so themselves."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory whose keys and certificates are made once; nothing in it is changed by a test."""
    made = tmp_path_factory.mktemp("shell") / "state"
    # At once and not by the first server in it: the authority is also read where no server runs, in any order of tests.
    assert isinstance(server_identity(made, ["127.0.0.1"], UnixSeconds(int(time.time()))), Success)
    return made
