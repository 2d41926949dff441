"""Public TCP ports of a server of several processes: one queue at the supervisor, from which all workers accept.

Real processes, real sockets. Which worker a connection lands on is the system's choice, so a test connects until both
have had some; the worker that told of a connection, and the one that holds the link, say whether it crossed.
"""

import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack
from itertools import permutations
from pathlib import Path
from typing import Final, cast

import pytest
from tests.shell.test_raw_endpoints import calling, code_of, echo, until_refused
from tests.support.ports import free_ports
from tests.support.shell_cluster import Cluster, cluster
from tests.support.shell_local import serving
from tests.support.shell_world import LOOPBACK, PATIENCE

from tunnel.agent.end import PortDenied
from tunnel.core.base.ids import Label
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure
from tunnel.core.cluster.messages import WorkerId
from tunnel.core.cluster.replica import PortOver, PortServed, Replica
from tunnel.core.route.table import RouteTable
from tunnel.core.token.token import EndpointKind
from tunnel.drive.parcels import ParcelReader, ParcelSender, parcel_pair
from tunnel.observe.events import AgentReady, ConnectionDone, NameGranted, Reloaded, WorkerEnded, WorkerStarted
from tunnel.server.settings import PortRange
from tunnel.server.tcp_ports import PortListeners
from tunnel.server.worker_ports import WorkerPorts

pytestmark = pytest.mark.anyio

TCP: Final = EndpointKind.TCP
TRIES: Final = 64
QUICK: Final = Limits(grace_seconds=60.0, reconnect_seconds_min=0.02, reconnect_seconds_max=0.1)


def with_ports(ports: PortRange) -> str:
    """The configuration of a server that gives these out, and in which nothing waits until a grace period is over."""
    return f'[server]\ntcp_ports = "{ports.low}-{ports.high}"\n[limits]\ngrace_seconds = 60.0\nrest_seconds = 0.2\n'


async def echoed(url: str, said: bytes) -> None:
    """Say something at a port, and hear it again, to the end."""
    async with calling(url) as one:
        await one.send(said)
        assert await one.exactly(len(said)) == said
        one.writer.write_eof()
        assert await one.read() == b""


async def until_all_workers_had_one(running: Cluster, url: str) -> None:
    """Visit until both workers have carried a connection."""
    for number in range(TRIES):
        body = os.urandom(1 << 17) if not number % 8 else b"small"
        done = len(running.told_by(ConnectionDone))
        async with AsyncExitStack() as stack:
            # Some that rest, so that the one worker is busy and the other gets its share.
            for _ in range(4):
                await stack.enter_async_context(calling(url))
            await echoed(url, body)
        await running.world.log.next(ConnectionDone, done + 1)
        if len({worker for worker, _ in running.told_by(ConnectionDone)}) > 1:
            return
    pytest.fail("every connection landed on one worker")


@pytest.mark.shows("WORK-PORT-003", "WORK-PORT-006")
async def test_a_visitor_of_a_port_reaches_the_agent_at_any_worker(tmp_path: Path) -> None:
    ports = free_ports(2)
    async with cluster(tmp_path, config=with_ports(ports)) as running, serving(echo) as local:
        token = running.world.token(kinds=(TCP,))
        async with running.world.agent(local.address, "one", kind=TCP, token=token) as one:
            url = (await one.log.next(AgentReady)).url
            assert url.endswith(f":{ports.low}")
            await until_all_workers_had_one(running, url)
            async with running.world.agent(
                local.address, "two", kind=TCP, port=ports.low, token=token, is_ready=False
            ) as two:
                detail = f"Port {ports.low} is taken; choose another, or none."
                assert await two.end() == Failure(PortDenied(ports.low, detail))
            # Before the agent leaves: those who then try whether the port is closed yet may find it offline.
            assert {event.outcome for _, event in running.told_by(ConnectionDone)} <= {"ok", "visitor-reset"}
        await until_refused(ports.low)
        async with running.world.agent(local.address, "two", kind=TCP, port=80, token=token, is_ready=False) as two:
            assert await code_of(two) == "no-port"


@pytest.mark.shows("WORK-PORT-004")
async def test_a_reload_and_a_dead_worker_close_no_port(tmp_path: Path) -> None:
    """Visitors connect all the while; none is refused or reset, except by the death of the worker that has it."""
    ports = free_ports(1)
    async with cluster(tmp_path, config=with_ports(ports)) as running, serving(echo) as local:
        token = running.world.token(kinds=(TCP,))
        async with running.world.agent(local.address, "one", kind=TCP, token=token, limits=QUICK) as agent:
            url = (await agent.log.next(AgentReady)).url
            async with calling(url) as resting:
                await resting.send(b"1")
                assert await resting.exactly(1) == b"1"
                reloading = asyncio.create_task(running.reloaded())
                while not reloading.done():
                    await echoed(url, b"through the reload")
                assert (await reloading)[0] == 0
                await running.world.log.next(Reloaded)
                await agent.log.next(AgentReady, 2)
                await echoed(url, b"behind it")
                await resting.send(b"2")
                assert await resting.exactly(1) == b"2"
            await running.world.log.next(WorkerEnded, 2)
            holder = running.told_by(NameGranted)[-1][0]
            pids = running.pids()
            idle = next(worker for worker in pids if worker != holder)
            os.kill(pids[idle], signal.SIGKILL)
            await running.world.log.next(WorkerEnded, 3)
            await running.world.log.next(WorkerStarted, 5)
            for _ in range(8):
                await echoed(url, b"behind the death of another")
        epochs = [event.epoch for _, event in running.told_by(NameGranted)]
        assert epochs == sorted(epochs)


class Kept:
    """Who gets parcels in a test."""

    def __init__(self) -> None:
        self.got: list[tuple[int, list[socket.socket]]] = []
        self.news = asyncio.Event()
        self.is_over = False

    def on_parcel(self, number: int, sockets: list[socket.socket]) -> None:
        """One came."""
        self.got.append((number, sockets))
        self.news.set()

    def on_no_more_parcels(self) -> None:
        """That was all."""
        self.is_over = True
        self.news.set()

    async def until(self, count: int) -> None:
        """Return once so many have come, or all."""
        async with asyncio.timeout(PATIENCE):
            while len(self.got) < count and not self.is_over:
                self.news.clear()
                await self.news.wait()


@pytest.mark.shows("WORK-PORT-004")
async def test_parcels_arrive_whole_and_in_order_however_many_wait() -> None:
    """More than the system holds at once; what was closed meanwhile arrives as nothing, and the end is seen."""
    ours, theirs = parcel_pair()
    sender, kept = ParcelSender(ours), Kept()
    made = [socket.socket() for _ in range(3)]
    made[0].bind((LOOPBACK, 0))
    made[0].listen()
    count = 2000
    for number in range(count):
        sender.send(number, made[:1])
    sender.send(count, made[1:])
    made[1].close()
    reader = ParcelReader(theirs, kept)
    try:
        await kept.until(count + 1)
        assert [number for number, _ in kept.got] == list(range(count + 1))
        assert {len(sockets) for _, sockets in kept.got} == {1}
        assert {sockets[0].getsockname() for _, sockets in kept.got[:-1]} == {made[0].getsockname()}
        sender.close()
        sender.close()
        sender.send(1, made[:1])
        await kept.until(count + 2)
        assert kept.is_over
    finally:
        reader.close()
        for each in [*made, *(one for _, sockets in kept.got for one in sockets)]:
            each.close()


async def test_a_parcel_of_another_shape_ends_the_way_and_leaves_no_descriptor() -> None:
    ours, theirs = parcel_pair()
    kept = Kept()
    reader = ParcelReader(theirs, kept)
    with socket.socket() as given:
        socket.send_fds(ours, [b"not a number"], [given.fileno()])
    await kept.until(1)
    assert kept.is_over
    assert kept.got == []
    ours.close()
    reader.close()


async def test_a_parcel_to_one_that_is_gone_ends_the_way() -> None:
    ours, theirs = parcel_pair()
    theirs.close()
    sender = ParcelSender(ours)
    sender.send(1, [])
    assert ours.fileno() < 0
    sender.abort_session()


class Doors:
    """Where a worker would accept: what it was told to open, in order."""

    def __init__(self) -> None:
        self.opened: dict[int, Label] = {}

    def __contains__(self, number: object) -> bool:
        return number in self.opened

    def open(self, number: int, sockets: list[socket.socket], name: Label) -> None:
        """Visitors come in at these, and are of this name."""
        assert number not in self.opened
        self.opened[number] = name
        for each in sockets:
            each.close()

    def close(self, number: int) -> None:
        """Nobody comes in any more."""
        del self.opened[number]

    def stop(self) -> None:
        """Nobody, anywhere."""
        self.opened.clear()


@pytest.mark.shows("WORK-PORT-006")
@pytest.mark.parametrize("order", list(permutations(["sockets", "lease", "serve"])))
async def test_a_worker_lets_visitors_in_once_it_has_all_three_whichever_comes_last(order: tuple[str, ...]) -> None:
    ours, theirs = parcel_pair()
    limits = Limits()
    ports = WorkerPorts(Replica(RouteTable(limits), WorkerId(1)), theirs)
    doors = Doors()
    for step in order:
        assert doors.opened == {}
        if step == "sockets":
            ports.on_parcel(7, [socket.socket()])
        elif step == "lease":
            ports.on_served(PortServed(7, 20_000, Label("demo")))
        else:
            ports.serve(cast("PortListeners", doors))
    assert doors.opened == {7: "demo"}
    ports.on_over(PortOver(7))
    assert doors.opened == {}
    ports.leave()
    ours.close()
