"""What a running server counts: exchanges, raw refusals, sessions and escapes, in one process and over workers.

The numbers are asked over the feed, as the control process asks for them; what visitors saw is what must be counted.
"""

import asyncio
from pathlib import Path

import pytest
from tests.support.shell_cluster import cluster
from tests.support.shell_local import hello, serving
from tests.support.shell_visitor import fetched
from tests.support.shell_world import PATIENCE, World, world

from tunnel.core.base.outcome import Success, value_of
from tunnel.drive.feed import FeedClient
from tunnel.observe.escapes import handler_escapes_total
from tunnel.observe.events import SessionEnded
from tunnel.observe.measures import Measures, measures_of

pytestmark = pytest.mark.anyio


async def measured(running: World) -> Measures:
    told = await FeedClient(running.state).ask("metrics")
    assert isinstance(told, Success), told
    return measures_of(value_of(told))


@pytest.mark.shows("OBS-MEASURE-001", "OBS-MEASURE-002")
async def test_a_server_counts_what_its_visitors_saw(tmp_path: Path) -> None:
    async with serving(hello) as service, world(tmp_path / "state") as running:
        async with running.agent(service.address):
            for _ in range(3):
                assert (await fetched(running)).status == 200
            assert (await fetched(running, name="nobody")).status == 404
            told = await measured(running)
            assert told.counters["exchanges"] == {"ok": 3, "unknown-name": 1}
            assert told.gauges["sessions"] == {"": 1}
            assert told.gauges["names"] == {"": 1}
            # Of the whole process, in which other tests may have planted some.
            assert told.counters["handler_escapes"] == {"": handler_escapes_total()}
            assert told.counters["bytes"]["down"] > 0
            for name in ("exchange", "edge", "link", "local", "body"):
                assert sum(told.histograms[f"{name}_seconds"].counts) == 4
            parts = [told.histograms[f"{name}_seconds"].total for name in ("edge", "link", "local", "body")]
            assert sum(parts) == pytest.approx(told.histograms["exchange_seconds"].total)
            assert told.gauges["resident_bytes"][""] > 1 << 20
        await running.log.next(SessionEnded)
        again = await measured(running)
        assert again.counters["sessions"] == {"opened": 1, "ended": 1}
        assert again.gauges["sessions"] == {"": 0}
        assert again.process == told.process


@pytest.mark.shows("OBS-MEASURE-003")
async def test_workers_are_added_up_and_what_they_counted_outlives_them(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as running, serving(hello) as service, running.world.agent(service.address):
        for _ in range(8):
            assert (await fetched(running.world)).status == 200
        told = await measured(running.world)
        assert told.counters["exchanges"] == {"ok": 8}
        assert told.gauges["workers"] == {"": 2}
        assert told.gauges["sessions"] == {"": 1}
        await running.reloaded()
        async with asyncio.timeout(PATIENCE):
            again = await measured(running.world)
            while again.gauges["workers"] != {"": 2}:
                again = await measured(running.world)
        assert again.counters["exchanges"]["ok"] >= 8
