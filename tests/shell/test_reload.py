"""Deploys that nobody notices: reloads under load of every kind, and not one failed request or reset connection.

A few here; `make reload TIMES=20` makes as many as it is told to, and prints what was carried.
"""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.load import Load, service
from tests.support.shell_cluster import cluster
from tests.support.shell_local import serving
from tests.support.shell_visitor import fetched
from tests.support.shell_world import DOMAIN, World

from tunnel.core.base.limits import Limits
from tunnel.observe.events import AgentReady, Reloaded, WorkerEnded

pytestmark = pytest.mark.anyio

TIMES = int(os.environ.get("TUNNEL_RELOADS", "2"))
WRK = shutil.which("wrk") if "TUNNEL_RELOADS" in os.environ else None
"""It asks as fast as it is answered, which leaves other tests no processor: a part of `make reload` alone."""


@asynccontextmanager
async def hammered(world: World) -> AsyncIterator[None]:
    """Requests of wrk meanwhile, on two connections as fast as they are answered; each is answered well."""
    if WRK is None:
        yield
        return
    address = world.public
    wrk = await asyncio.create_subprocess_exec(
        *(WRK, "-t1", "-c2", "-d3600s", "--timeout", "60s", "-H", f"Host: demo.{DOMAIN}:{address.port}"),
        f"http://{address.host}:{address.port}/",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield
    finally:
        wrk.send_signal(signal.SIGINT)
        told, _ = await wrk.communicate()
    said = told.decode()
    sys.stderr.write(f"\n{said}")
    assert "requests in" in said
    assert "Socket errors" not in said
    assert "Non-2xx" not in said


@pytest.mark.timeout(120 + 60 * TIMES)
@pytest.mark.shows("WORK-RELOAD-001", "WORK-RELOAD-003", "WORK-RELOAD-004", "WORK-RELOAD-006")
async def test_no_request_fails_while_the_server_is_reloaded_again_and_again(tmp_path: Path) -> None:
    limits = Limits(grace_seconds=10.0, reconnect_seconds_min=0.05, reconnect_seconds_max=0.5)
    config = "[limits]\ngrace_seconds = 10.0\nrest_seconds = 1.0\nworker_start_seconds_max = 60.0\n"
    async with cluster(tmp_path, config=config) as running, serving(service) as local:
        world = running.world
        async with (
            world.agent(local.address, limits=limits) as one,
            world.agent(local.address, "other", limits=limits) as other,
            hammered(world),
        ):
            load = Load(world)
            load.start(kept=4, single=2, sockets=2, downloads=2)
            for number in range(1, TIMES + 1):
                code, said = await running.reloaded()
                assert code == 0, said
                await world.log.next(Reloaded, number)
                for agent in (one, other):
                    await agent.log.next(AgentReady, number + 1)
            await load.ended()
            assert load.failures == [], "\n".join(load.failures)
            assert (await fetched(world, "/", "other")).status == 200
            await world.log.next(WorkerEnded, 2 * TIMES)
            ended = world.log.all(WorkerEnded)
            assert [event for event in ended if event.code or not event.expected] == []
            told = f"{TIMES} reloads: {dict(load.done)}, no failure, slowest answer {load.slowest:.2f} s"
            sys.stderr.write(f"\n{told}\n")
        assert set(load.done) == {"kept-alive", "single", "socket", "download"}
