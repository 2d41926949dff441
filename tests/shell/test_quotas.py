"""Quotas of a running server: what is refused, at HTTP and at raw connections, in one process and in several."""

import asyncio
from pathlib import Path
from time import time

import pytest
from tests.support.shell_cluster import cluster
from tests.support.shell_local import hello, serving
from tests.support.shell_visitor import fetched
from tests.support.shell_world import PATIENCE, world

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success
from tunnel.core.directory.directory import AccountFacts, Directory, Quota
from tunnel.core.directory.month import month_of
from tunnel.core.token.token import AccountId, EndpointKind
from tunnel.drive.directory_file import publish_directory
from tunnel.drive.feed import FeedClient
from tunnel.observe.events import AgentReady, ConnectionDone
from tunnel.server.settings import PortRange

pytestmark = pytest.mark.anyio

MINE = AccountId(b"a" * 16)


def facts(quota: Quota, requests: int = 0) -> Directory:
    """A directory of now with one account."""
    now = UnixSeconds(int(time()))
    held = AccountFacts(MINE, quota=quota, requests_used=requests)
    return Directory(1, now, month_of(now), accounts={MINE: held})


async def pushed(state: Path, directory: Directory) -> None:
    assert isinstance(publish_directory(state, directory), Success)
    assert isinstance(await FeedClient(state).ask("directory"), Success)


async def raw_visit(port: int) -> bytes:
    """What a raw visitor gets: the greeting of the service, or nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return await reader.read(1)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.shows("GATE-QUOTA-002", "GATE-QUOTA-007")
async def test_raw_connections_count_and_are_closed_when_all_is_used(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with (
        serving(hello) as service,
        world(state, tcp_ports=PortRange(20_000, 60_000)) as running,
        running.agent(service.address, kind=EndpointKind.TCP) as agent,
    ):
        await pushed(state, facts(Quota(requests_month=12), requests=10))
        port = int((await agent.log.next(AgentReady)).url.rpartition(":")[2].strip("/"))
        seen = []
        for number in range(1, 5):
            seen.append(await raw_visit(port))
            await running.log.next(ConnectionDone, number)
        assert [bool(each) for each in seen] == [True, True, False, False]
        assert [each.outcome for each in running.log.all(ConnectionDone)][2:] == ["requests-used-up"] * 2
        assert len(service.connections) == 2


@pytest.mark.shows("GATE-QUOTA-003", "GATE-QUOTA-004")
async def test_workers_share_a_rate_and_overshoot_a_month_by_what_the_others_passed(tmp_path: Path) -> None:
    async with serving(hello) as service, cluster(tmp_path, 2) as running:
        here = running.world
        async with here.agent(service.address):
            await pushed(here.state, facts(Quota(requests_month=20)))
            statuses = [(await fetched(here)).status for _ in range(60)]
            served = statuses.count(200)
            assert set(statuses) == {200, 402}
            assert 20 <= served <= 2 * 20
            # The journal has brought it home: from here on every worker refuses.
            await pushed(here.state, facts(Quota(requests_month=20), requests=served))
            assert {(await fetched(here)).status for _ in range(12)} == {402}
            # A rate of two is one for each of two workers, and a burst of one each.
            await pushed(here.state, facts(Quota(requests_second=2)))
            crowd = await asyncio.gather(*[fetched(here) for _ in range(24)])
            refused = [answer for answer in crowd if answer.status == 429]
            assert refused
            assert all(answer.fields["retry-after"] == "1" for answer in refused)


@pytest.mark.shows("GATE-QUOTA-001")
async def test_endpoints_that_stand_stay_when_a_plan_becomes_smaller(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with (
        serving(hello) as service,
        world(state) as running,
        running.agent(service.address, "one"),
        running.agent(service.address, "two"),
    ):
        await pushed(state, facts(Quota(endpoints_max=1)))
        assert [(await fetched(running, name=name)).status for name in ("one", "two")] == [200, 200]
        async with running.agent(service.address, "three", is_ready=False) as third:
            ended = await third.end()
            assert "all 1 endpoints" in str(ended)
