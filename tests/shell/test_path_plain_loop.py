"""The path on asyncio's own event loop, the fallback where there is no uvloop: slower, and otherwise the same.

The few things in which the two loops differ are what is asked here: TLS and its ends, EOF, cancelled dials, shutdown.
"""

import asyncio
import hashlib
import random
from pathlib import Path

import pytest
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_relay import relaying
from tests.support.shell_visitor import fetched, get, post, visitor
from tests.support.shell_world import nothing_left, started, until, world

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success
from tunnel.observe.events import LinkRefused, SessionEnded

pytestmark = [pytest.mark.anyio, pytest.mark.shows("OPS-RUN-001")]

LIMITS = Limits(grace_seconds=5.0, reconnect_seconds_min=0.02, reconnect_seconds_max=0.1)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": False}


async def test_the_loop_is_the_plain_one() -> None:
    assert type(asyncio.get_running_loop()).__module__.startswith("asyncio.")


async def test_bodies_pass_whole_in_both_directions(state: Path) -> None:
    async def digest(connection: Connection) -> None:
        while True:
            first, fields = await connection.request()
            if not first:
                return
            body = await connection.body(fields)
            await connection.answer(body + hashlib.sha256(body).digest())

    async with (
        serving(digest) as local,
        world(state, LIMITS) as running,
        running.agent(local.address),
        visitor(running) as one,
    ):
        for size in (0, 1, 65_536, 3_000_000):
            body = random.Random(size).randbytes(size)  # noqa: S311 - test data
            sending = asyncio.create_task(one.send(post(running, body)))
            answer = await one.answer()
            await sending
            assert answer.body == body + hashlib.sha256(body).digest()


async def test_an_upgraded_connection_passes_both_ends(state: Path) -> None:
    async def upgraded(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: any\r\n\r\n")
        await connection.send(b"got " + await connection.until_ended())

    async with (
        serving(upgraded) as local,
        world(state, LIMITS) as running,
        running.agent(local.address),
        visitor(running) as one,
    ):
        await one.send(get(running, "/", "demo", "Connection: Upgrade", "Upgrade: any"))
        assert (await one.head())[0] == 101
        await one.send(b"all of it")
        one.end()
        assert await one.to_the_end() == b"got all of it"


async def test_a_link_that_goes_silent_is_superseded(state: Path) -> None:
    quick = Limits(heartbeat_seconds=0.1, heartbeat_deadline_seconds=0.4, grace_seconds=5.0, goodbye_seconds_max=0.2)
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        relaying(running.agents) as relay,
        running.agent(local.address, server=relay.address, limits=quick) as agent,
    ):
        relay.hold()
        await running.redialled(agent)
        assert (await running.log.next(SessionEnded)).reason == "superseded by a newer link of the same agent"
        assert (await fetched(running)).status == 200


async def test_garbage_at_the_agents_port_is_dropped(state: Path) -> None:
    async with world(state, LIMITS) as running:
        reader, writer = await asyncio.open_connection(running.agents.host, running.agents.port)
        writer.write(b"no TLS at all\r\n\r\n")
        await until(reader.at_eof)
        assert (await running.log.next(LinkRefused)).code == "no-tls"
        writer.transport.abort()


async def test_a_server_that_is_cancelled_leaves_nothing(state: Path) -> None:
    async with nothing_left(), serving(hello) as local:
        running = await started(state, LIMITS)
        async with running.agent(local.address) as agent, visitor(running) as one:
            await one.send(get(running))
            assert (await one.answer()).status == 200
            running.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running.task
            agent.stop.set()
            assert await agent.end() == Success(None)
