"""The whole path through a proxy that delays every byte: windows that grow fill it, whole and in order.

Nothing is timed: the proxy counts how many bytes were on the way at once, which is what a window limits.
"""

import hashlib
from pathlib import Path
from typing import Final

import pytest
from tests.support.delay_proxy import delay_proxy
from tests.support.shell_local import Connection, serving
from tests.support.shell_raw import ACK, PING, SYN, header, raw_agent
from tests.support.shell_visitor import fetched
from tests.support.shell_world import world

from tunnel.core.base.limits import Limits
from tunnel.drive.address import Address

pytestmark = pytest.mark.anyio

WINDOW: Final = 262_144
ONE_WAY_SECONDS: Final = 0.02
BODY: Final = hashlib.shake_256(b"far").digest(5_000_000)
OVERHEAD: Final = 1.05
"""Of TLS records and frame headers, generously."""


async def _serve(connection: Connection) -> None:
    await connection.request()
    await connection.answer(BODY)


async def _most_on_the_way(state: Path, limits: Limits) -> int:
    """Bytes on the way to the server at once, at most, while one body passes."""
    async with (
        world(state, limits) as running,
        serving(_serve) as local,
        delay_proxy(running.agents.port, ONE_WAY_SECONDS) as far,
    ):
        async with running.agent(local.address, server=Address(far.host, far.port)):
            answer = await fetched(running)
        assert answer.status == 200
        assert answer.body == BODY
        return far.most_to_listener


@pytest.mark.shows("MUX-FLOW-010")
async def test_windows_that_grow_put_more_on_the_way_than_the_first_window_has(state: Path) -> None:
    assert await _most_on_the_way(state, Limits()) > 3 * WINDOW


@pytest.mark.shows("MUX-FLOW-010")
async def test_a_fixed_window_is_never_exceeded(state: Path) -> None:
    assert await _most_on_the_way(state, Limits(stream_window_bytes_max=WINDOW)) < OVERHEAD * WINDOW


@pytest.mark.shows("MUX-PING-006")
async def test_each_side_asks_for_the_round_trip_as_soon_as_tls_stands(state: Path) -> None:
    """An agent that says nothing yet is asked before anything else; its own question would be answered, too."""
    async with world(state) as running, raw_agent(running) as agent:
        assert (await agent.frame())[:4] == (PING, SYN, 0, 0)
        await agent.send(header(PING, ACK, 0, 0) + header(PING, SYN, 0, 7))
        assert (await agent.frame())[:4] == (PING, ACK, 0, 7)
