"""An agent process that the system gives no more sockets: its visitors are told so, and it lives on."""

import asyncio
import resource
from pathlib import Path

import pytest
from bench.pair import pair
from tests.support.shell_local import Connection, serving
from tests.support.shell_world import LOOPBACK, PATIENCE, until

pytestmark = pytest.mark.anyio


@pytest.mark.shows("OPS-ADMIT-007")
async def test_an_agent_without_descriptors_answers_503_and_goes_on(tmp_path: Path) -> None:
    """64 descriptors are not enough for 100 visitors at once; those without a socket get `local-overloaded`."""
    go_on = asyncio.Event()

    async def waiting(connection: Connection) -> None:
        first, _ = await connection.request()
        if first:
            await go_on.wait()
            await connection.answer(b"late", b"200 OK", b"Connection: close")

    async with serving(waiting) as local, pair(local.address.port, tmp_path) as ours:
        resource.prlimit(ours.agent, resource.RLIMIT_NOFILE, (64, 64))

        async def visit() -> bytes:
            reader, writer = await asyncio.open_connection(LOOPBACK, ours.port)
            writer.write(f"GET / HTTP/1.1\r\nHost: {ours.host}\r\nConnection: close\r\n\r\n".encode())
            try:
                async with asyncio.timeout(PATIENCE):
                    return await reader.read()
            finally:
                writer.transport.abort()

        asked = [asyncio.create_task(visit()) for _ in range(100)]
        # Whoever got no socket is answered now; those that have one wait for us.
        await until(lambda: sum(one.done() for one in asked) + len(local.heads) >= 100)
        refused = sum(one.done() for one in asked)
        assert refused > 0
        go_on.set()
        answers = await asyncio.gather(*asked)
        assert sum(b"local-overloaded" in answer for answer in answers) == refused
        assert sum(answer.endswith(b"late") for answer in answers) == 100 - refused
        # The agent closes the sockets of the hundred in its own time; once they are back, it connects again.
        async with asyncio.timeout(PATIENCE):
            while not (await visit()).endswith(b"late"):
                pass
