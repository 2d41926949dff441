"""A server of several processes: names found from everywhere, deaths that cost only their own, reloads nobody notices.

Real processes, real sockets. Which worker a connection lands on is the system's choice, so a test opens connections
until both have had some; the worker that told of an exchange, and the one that holds the link, say whether it crossed.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
from tests.support.shell_cluster import Cluster, cluster, is_alive
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_visitor import Visitor, fetched, get, post, visitor
from tests.support.shell_world import PATIENCE, RunningAgent

from tunnel.core.base.limits import Limits
from tunnel.observe.events import (
    AgentReady,
    ExchangeDone,
    LinkLost,
    NameGranted,
    NotReloaded,
    Reloaded,
    SessionEnded,
    SessionOpened,
    WorkerEnded,
    WorkerStarted,
)

pytestmark = pytest.mark.anyio

TRIES: Final = 64
"""Connections until one lands on a given one of two workers; that none does has the chance of 2 to the minus 64th."""
QUICK: Final = Limits(grace_seconds=60.0, reconnect_seconds_min=0.02, reconnect_seconds_max=0.1)


def holder(running: Cluster) -> int:
    """The worker with the agent's newest link."""
    return running.told_by(NameGranted)[-1][0]


async def elsewhere(running: Cluster, ask: Callable[[], Awaitable[None]]) -> int:
    """Repeat an exchange on new connections until another worker than the link's has carried one; answers which."""
    for _ in range(TRIES):
        before = len(running.told_by(ExchangeDone))
        await ask()
        await running.world.log.next(ExchangeDone, before + 1)
        worker = running.told_by(ExchangeDone)[-1][0]
        if worker != holder(running):
            return worker
    pytest.fail("every connection landed on one worker")


async def sinking(connection: Connection) -> None:
    """Answers with what it was sent, whole."""
    first, fields = await connection.request()
    while first:
        body = await connection.body(fields)
        await connection.answer(body)
        first, fields = await connection.request()


@pytest.mark.shows("WORK-NAME-002", "WORK-CROSS-003", "WORK-EVENT-001")
async def test_a_visitor_of_any_worker_reaches_the_agent_of_another(tmp_path: Path) -> None:
    """Bodies of several windows in both directions, byte for byte, and the visitor's address comes along."""
    body = os.urandom(1 << 20)
    async with cluster(tmp_path) as running, serving(sinking) as local, running.world.agent(local.address):

        async def ask() -> None:
            async with visitor(running.world) as one:
                await one.send(post(running.world, body))
                answer = await one.answer()
                assert (answer.status, answer.body == body) == (200, True)

        await elsewhere(running, ask)
    assert {event.outcome for _, event in running.told_by(ExchangeDone)} == {"ok"}
    assert all(b"X-Forwarded-For: 127.0.0.1" in head for head in local.heads)


class Slow:
    """A local service whose answer waits in the middle."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def handle(self, connection: Connection) -> None:
        """One download, or a quick answer."""
        first, _ = await connection.request()
        while first and not first.startswith(b"GET /slow"):
            await connection.answer(b"quick")
            first, _ = await connection.request()
        if first:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
            self.begun.set()
            await self.go_on.wait()
            await connection.send(b"other")


@pytest.mark.shows("WORK-WORKER-001", "WORK-WORKER-002")
async def test_a_worker_that_is_killed_costs_its_own_connections_and_is_replaced(tmp_path: Path) -> None:
    """A download at the worker of the link dies with it; one whose agent and visitor are at the other goes on."""
    slow = Slow()
    async with (
        cluster(tmp_path) as running,
        serving(slow.handle) as local,
        running.world.agent(local.address, limits=QUICK) as agent,
    ):
        one = await running.world.log.next(SessionOpened)
        assert one.peer.startswith("127.0.0.1:")
        dying = holder(running)
        async with visitor(running.world) as visiting:
            # Up to its middle first: one that is cut before its head is told why instead (502).
            await downloading(visiting, running, slow)
            os.kill(running.pids()[dying], signal.SIGKILL)
            assert await visiting.to_the_end() == b""
        ended = await running.world.log.next(WorkerEnded)
        assert (ended.worker, ended.code, ended.expected) == (dying, -signal.SIGKILL, False)
        await running.world.log.next(SessionEnded)
        await running.world.log.next(WorkerStarted, 3)
        await agent.log.next(AgentReady, 2)
        assert (await fetched(running.world)).body == b"quick"
        assert len(running.pids()) == 2


async def downloading(one: Visitor, running: Cluster, slow: Slow) -> None:
    await one.send(get(running.world, "/slow"))
    async with asyncio.timeout(PATIENCE):
        await slow.begun.wait()
    assert (await one.head())[0] == 200
    assert await one.exactly(5) == b"first"


@pytest.mark.shows("WORK-RELOAD-001", "WORK-RELOAD-003", "WORK-RELOAD-005")
async def test_a_reload_replaces_the_workers_while_a_download_runs(tmp_path: Path) -> None:
    slow = Slow()
    async with (
        cluster(tmp_path) as running,
        serving(slow.handle) as local,
        running.world.agent(local.address, limits=QUICK) as agent,
        visitor(running.world) as one,
    ):
        before = running.pids()
        await downloading(one, running, slow)
        code, said = await running.reloaded()
        assert (code, said.partition(":")[0]) == (0, "reloaded")
        await running.world.log.next(Reloaded)
        await agent.log.next(AgentReady, 2)
        lost = await agent.log.next(LinkLost)
        assert lost.retry_seconds == 0
        assert (await fetched(running.world)).body == b"quick"
        assert any(is_alive(pid) for pid in before.values())
        slow.go_on.set()
        assert await one.exactly(5) == b"other"
        for number in (1, 2):
            ended = await running.world.log.next(WorkerEnded, number)
            assert (ended.code, ended.expected, ended.words) == (0, True, "")
        assert set(running.pids()).isdisjoint(before)


@pytest.mark.shows("WORK-RELOAD-002")
async def test_a_bad_configuration_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running, serving(hello) as local, running.world.agent(local.address):
        before = running.pids()
        good = (tmp_path / "tunnel.toml").read_text()
        for bad, why in (
            ("version = 1\n[server]\nworker = 3\n", "did you mean workers?"),
            ('version = 1\n[server]\ncert = "none.pem"\nkey = "none.pem"\n', "none.pem"),
        ):
            (tmp_path / "tunnel.toml").write_text(bad)
            code, said = await running.reloaded()
            assert code == 1
            assert "goes on as before" in said
            assert why in said
        assert (await fetched(running.world)).status == 200
        running.process.send_signal(signal.SIGHUP)
        await running.world.log.next(NotReloaded, 3)
        assert running.pids() == before
        (tmp_path / "tunnel.toml").write_text(good)
        running.process.send_signal(signal.SIGHUP)
        await running.world.log.next(Reloaded)
        assert (await fetched(running.world)).status == 200


@pytest.mark.shows("WORK-WORKER-004")
async def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    async with cluster(tmp_path, exit_code=-signal.SIGKILL) as running:
        pids = list(running.pids().values())
        running.process.kill()
        async with asyncio.timeout(PATIENCE):
            while any(is_alive(pid) for pid in pids):  # noqa: ASYNC110 - nobody tells a stranger of their end
                await asyncio.sleep(0.01)


@pytest.mark.shows("WORK-FENCE-001")
async def test_another_agent_takes_a_name_over_across_workers(tmp_path: Path) -> None:
    token_id = b"t" * 16
    async with cluster(tmp_path) as running, serving(hello) as local:
        agents: list[RunningAgent] = []
        token = running.world.token(token_id=token_id)
        async with running.world.agent(local.address, token=token) as first:
            agents.append(first)
            async with running.world.agent(local.address, token=token) as second:
                agents.append(second)
                await first.end()
                assert (await fetched(running.world)).status == 200
        epochs = [event.epoch for event in running.world.log.all(NameGranted)]
        assert epochs == sorted(epochs)


@pytest.mark.shows("POLICY-WORK-003", "POLICY-WORK-005")
@pytest.mark.parametrize("whose", ["address", "token"])
async def test_what_runs_at_one_worker_counts_at_the_other(tmp_path: Path, whose: str) -> None:
    """One exchange may run; while it does, visitors of either worker are told so before long."""
    slow = Slow()
    config = "[policy]\naddress_concurrent = 1\n" if whose == "address" else ""
    async with cluster(tmp_path, config=config) as running, serving(slow.handle) as local:
        token = running.world.token(streams_max=1024 if whose == "address" else 1)
        async with running.world.agent(local.address, token=token), visitor(running.world) as one:
            await downloading(one, running, slow)
            refused: set[int] = set()
            async with asyncio.timeout(PATIENCE):
                while len(refused) < 2:
                    before = len(running.told_by(ExchangeDone))
                    await fetched(running.world)
                    await running.world.log.next(ExchangeDone, before + 1)
                    refused |= {worker for worker, done in running.told_by(ExchangeDone) if done.status in {429, 503}}
            slow.go_on.set()
            assert await one.exactly(5) == b"other"
            async with asyncio.timeout(PATIENCE):
                served: set[int] = set()
                while len(served) < 2:
                    before = len(running.told_by(ExchangeDone))
                    await fetched(running.world)
                    await running.world.log.next(ExchangeDone, before + 1)
                    worker, done = running.told_by(ExchangeDone)[-1]
                    served |= {worker} if done.status == 200 else set()
