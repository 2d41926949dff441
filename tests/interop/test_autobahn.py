"""Autobahn's WebSocket cases through server, link and agent: case by case the same result as without them.

The cases are Autobahn's own; kosoku runs them on a Python of today. What a library does wrong it must do wrong through
the tunnel, too: verdict, close code and reason, and the messages that came are compared, not whether they pass.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias, cast

import pytest
from tests.support.interop_front import fronted
from tests.support.interop_peers import BUILT
from tests.support.shell_world import DOMAIN, LOOPBACK, world

from tunnel.drive.address import Address

Results: TypeAlias = dict[str, list[object]]

HERE: Final = BUILT / "websocket"
PYTHON: Final = HERE / "venv" / "bin" / "python"
SERVERS: Final = {
    "websockets": (str(PYTHON), str(HERE / "echo")),
    "aiohttp": (sys.executable, str(Path(__file__).parents[1] / "support" / "echo_aiohttp.py")),
}
COMPRESSION: Final = ("12.*", "13.*")
"""216 cases of a thousand compressed messages each take minutes; `WEBSOCKET=all` has them."""

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not os.environ.get("INTEROP"), reason="run by `make interop`"),
    pytest.mark.timeout(1800),
]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the product runs on."""
    return "asyncio", {"use_uvloop": True}


@asynccontextmanager
async def echo_server(name: str) -> AsyncIterator[Address]:
    """A local service that echoes."""
    process = await asyncio.create_subprocess_exec(
        *SERVERS[name], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        told = (await process.stdout.readline()).split()
        yield Address(LOOPBACK, int(told[1]))
    finally:
        process.stdin.close()
        process.terminate()
        await process.communicate()


async def results_of(address: Address, *excluded: str) -> Results:
    """What the cases say of whatever answers there."""
    fuzz = await asyncio.create_subprocess_exec(
        str(PYTHON), str(HERE / "fuzz"), str(address), *excluded, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await fuzz.communicate()
    return cast("Results", json.loads(told))


def is_alike(one: list[object], other: list[object]) -> bool:
    """Whether two results of a case say the same of whoever answered.

    Autobahn takes two answers for right where messages come before a violation: to them first (OK), or to the violation
    at once (NON-STRICT); and it judges no answer where a long message is followed by a close (INFORMATIONAL). A library
    does this or that by how the bytes were cut into reads, with the tunnel and without. The close has to be the same;
    the messages before it cannot be.
    """
    if {one[0], other[0]} in ({"OK", "NON-STRICT"}, {"INFORMATIONAL"}):
        return one[1:-2] == other[1:-2]
    return one == other


@pytest.mark.shows("RELAY-AUTOBAHN-001")
@pytest.mark.parametrize("name", list(SERVERS))
async def test_every_case_comes_out_as_without_a_tunnel(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    if not PYTHON.exists():
        pytest.skip("the WebSocket peers were not built")
    excluded = () if os.environ.get("WEBSOCKET") == "all" else COMPRESSION
    async with echo_server(name) as local:
        async with fronted(local, str(local)) as address:
            directly = await results_of(address, *excluded)
        async with world(tmp_path / "state") as running, running.agent(local):
            host = f"demo.{DOMAIN}:{running.public.port}"
            async with fronted(running.public, host) as address:
                tunnelled = await results_of(address, *excluded)
    late = {case for case in directly if directly[case][-1] or tunnelled[case][-1]}
    good = sum(result[0] == "OK" for result in directly.values())
    counts = f"{len(directly)}, of which {good} are OK directly and {len(late)} ran out of their time"
    record_property("told", f"Autobahn's cases, {name}: {counts}; all others as directly")
    assert len(directly) >= 300
    assert len(late) <= len(directly) // 10
    pairs = {case: (directly[case], tunnelled[case]) for case in directly if case not in late}
    assert {case: pair for case, pair in pairs.items() if not is_alike(*pair)} == {}
