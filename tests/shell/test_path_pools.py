"""Several agents on one name: by consent of all, spread, and no visitor notices when one of them goes."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.support.shell_local import Connection, Service, hello, serving
from tests.support.shell_relay import relaying
from tests.support.shell_visitor import fetched, post, visitor
from tests.support.shell_world import World, world

from tunnel.agent.end import NameDenied
from tunnel.agent.settings import Checks
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Success, error_of
from tunnel.core.link.messages import Share
from tunnel.observe.events import (
    ExchangeDone,
    LocalHealth,
    LocalUnreachable,
    MemberHealth,
    NameGranted,
    NameReleased,
    ShuttingDown,
)

pytestmark = pytest.mark.anyio

POOL: Final = Share.POOL
LIMITS: Final = Limits(grace_seconds=5.0, aside_seconds_min=0.01, aside_seconds_max=0.05)


async def posted(running: World, body: bytes) -> int:
    """The status of a request that may not be sent twice."""
    async with visitor(running) as one:
        await one.send(post(running, body))
        return (await one.answer()).status


@pytest.mark.shows("OPS-POOL-001")
async def test_agents_that_ask_for_it_share_a_name(state: Path) -> None:
    async with (
        serving(hello) as first,
        serving(hello) as second,
        world(state) as running,
        running.agent(first.address, share=POOL),
        running.agent(second.address, share=POOL),
    ):
        assert {(await fetched(running)).status for _ in range(6)} == {200}
        assert (len(first.heads), len(second.heads)) == (3, 3)
        await running.log.next(ExchangeDone, 6)
        assert len({done.session for done in running.log.all(ExchangeDone)}) == 2
        assert [grant.members for grant in running.log.all(NameGranted)] == [1, 2]


@pytest.mark.shows("OPS-POOL-001")
@pytest.mark.parametrize(("holder", "joiner"), [(POOL, Share.ALONE), (Share.ALONE, POOL)])
async def test_an_agent_that_was_not_asked_for_keeps_its_name_to_itself(
    state: Path, holder: Share, joiner: Share
) -> None:
    async with (
        serving(hello) as local,
        world(state) as running,
        running.agent(local.address, share=holder),
        running.agent(local.address, share=joiner, is_ready=False) as late,
    ):
        end = await late.end()
        assert isinstance(end, Failure)
        assert isinstance(error_of(end), NameDenied)
        assert (await fetched(running)).status == 200


@pytest.mark.shows("OPS-POOL-002", "RELAY-RETRY-003", "RELAY-HEALTH-001")
async def test_a_local_service_that_is_gone_costs_no_request(state: Path) -> None:
    async with (
        serving(hello) as good,
        serving(hello) as bad,
        world(state, LIMITS) as running,
        running.agent(good.address, share=POOL),
        running.agent(bad.address, share=POOL) as agent,
    ):
        port = bad.address.port
        await bad.stop()
        statuses = [await posted(running, b"once") for _ in range(12)]
        assert statuses == [200] * 12
        assert sum(head.startswith(b"POST") for head in good.heads) == 12
        aside = await running.log.next(MemberHealth)
        assert aside.state == "aside"
        await agent.log.next(LocalUnreachable, LIMITS.aside_failures)
        await bad.start(port=port)
        while not any(event.state == "back" for event in running.log.all(MemberHealth)):
            assert await posted(running, b"again") == 200
        assert bad.heads
        await bad.stop()


@pytest.mark.shows("OPS-POOL-003", "LINK-STREAM-004", "RELAY-RETRY-002", "RELAY-RETRY-003")
async def test_a_member_that_stops_costs_no_request(state: Path) -> None:
    """As in a deploy: one is stopped under traffic while the other stays; no request fails, and none is begun twice."""
    statuses: list[int] = []

    async def keep_asking(running: World, until: asyncio.Event) -> None:
        while not until.is_set():
            statuses.append((await fetched(running)).status)
            statuses.append(await posted(running, b"once"))

    is_enough = asyncio.Event()
    async with (
        serving(hello) as first,
        serving(hello) as second,
        world(state, LIMITS) as running,
        running.agent(first.address, share=POOL),
        running.agent(second.address, share=POOL) as leaving,
    ):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(keep_asking(running, is_enough))
            await running.log.next(ExchangeDone, 20)
            leaving.stop.set()
            assert await leaving.end() == Success(None)
            await running.log.next(ExchangeDone, len(running.log.all(ExchangeDone)) + 20)
            is_enough.set()
        assert set(statuses) == {200}
        heads = [*first.heads, *second.heads]
        assert sum(head.startswith(b"POST") for head in heads) * 2 == len(statuses)
        assert (await running.log.next(NameReleased)).members == 1


@pytest.mark.shows("OPS-POOL-003", "LINK-STREAM-004", "RELAY-RETRY-003")
async def test_a_request_that_crosses_the_goodbye_of_its_agent_goes_to_another(state: Path) -> None:
    """The server hears of it a moment later, and until then gives this agent requests, too."""
    async with (
        serving(hello) as first,
        serving(hello) as second,
        world(state, LIMITS) as running,
        relaying(running.agents) as relay,
        running.agent(first.address, share=POOL),
        running.agent(second.address, share=POOL, server=relay.address) as leaving,
    ):
        relay.delay_seconds = 0.02
        leaving.stop.set()
        await leaving.log.next(ShuttingDown)
        assert await asyncio.gather(*[posted(running, b"once") for _ in range(4)]) == [200] * 4
        assert (len(first.heads), len(second.heads)) == (4, 0)
        assert await leaving.end() == Success(None)


async def checked(connection: Connection, service: Service, sick: set[Service]) -> None:
    """Answers its check with 503 while it is among the sick; everything else with 200."""
    first, fields = await connection.request()
    await connection.body(fields)
    is_sick = first.startswith(b"GET /healthz") and service in sick
    await connection.answer(first, b"503 Sick" if is_sick else b"200 OK", b"Connection: close")


@pytest.mark.shows("OPS-HEALTH-001", "OPS-HEALTH-002", "RELAY-FAIL-008", "ROUTE-HEALTH-003")
async def test_a_service_that_fails_its_checks_gets_no_requests(state: Path) -> None:
    """First one of two, then both, then none."""
    sick: set[Service] = set()
    checks = Checks("/healthz", 0.01)

    async def answer(connection: Connection) -> None:
        await checked(connection, connection.service, sick)

    async with (
        serving(answer) as first,
        serving(answer) as second,
        world(state, LIMITS) as running,
        running.agent(first.address, share=POOL, checks=checks) as agent,
        running.agent(second.address, share=POOL, checks=checks, links=2),
    ):
        sick.add(first)
        down = await running.log.next(MemberHealth)
        assert (down.state, down.detail) == ("down", "GET /healthz: status 503")
        assert (await agent.log.next(LocalHealth)).is_up is False
        assert {(await fetched(running, "/work")).status for _ in range(6)} == {200}
        assert not any(head.startswith(b"GET /work") for head in first.heads)
        sick.add(second)
        await running.log.next(MemberHealth, 2)
        answer_of_none = await fetched(running, "/work")
        assert (answer_of_none.status, answer_of_none.fields["retry-after"]) == (503, "5")
        assert b"local-unhealthy" in answer_of_none.body
        sick.clear()
        await running.log.next(MemberHealth, 4)
        assert (await fetched(running, "/work")).status == 200


@pytest.mark.shows("OPS-HEALTH-001")
@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (b"", "it closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "what it answers is not HTTP/1.1"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "status 500"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "status 404"),
    ],
)
async def test_what_fails_a_check(state: Path, said: bytes, detail: str) -> None:
    async def answer(connection: Connection) -> None:
        await connection.request()
        await connection.send(said)

    checks = Checks("/healthz", 0.01)
    async with (
        serving(answer) as local,
        world(state, LIMITS) as running,
        running.agent(local.address, checks=checks) as agent,
    ):
        told = await agent.log.next(LocalHealth)
        assert (told.is_up, told.detail) == (False, f"GET /healthz: {detail}")
        assert (await running.log.next(MemberHealth)).detail == told.detail


@pytest.mark.shows("OPS-HEALTH-001")
async def test_a_service_that_does_not_listen_or_never_answers_fails_its_checks(state: Path) -> None:
    async def silent(connection: Connection) -> None:
        await connection.until_ended()

    checks = Checks("/healthz", 0.01)
    impatient = replace(LIMITS, check_seconds_max=0.05)
    async with serving(silent) as local, world(state, LIMITS) as running:
        async with running.agent(local.address, checks=checks, limits=impatient) as agent:
            assert (await agent.log.next(LocalHealth)).detail == "GET /healthz: no answer within 0.05 s"
        await local.stop()
        async with running.agent(local.address, checks=checks) as agent:
            assert "refused" in (await agent.log.next(LocalHealth)).detail.lower()


@pytest.mark.shows("OPS-HEALTH-002")
async def test_a_link_that_is_dialled_anew_says_at_once_that_its_service_is_down(state: Path) -> None:
    async def sick(connection: Connection) -> None:
        await connection.request()
        await connection.answer(b"", b"503 Sick")

    async with (
        serving(sick) as local,
        world(state, Limits(grace_seconds=5.0, reconnect_seconds_min=0.01)) as running,
        relaying(running.agents) as relay,
        running.agent(local.address, server=relay.address, checks=Checks("/", 300.0)),
    ):
        await running.log.next(MemberHealth)
        relay.cut()
        assert (await running.log.next(MemberHealth, 2)).state == "down"
        assert len(local.connections) == 1
        assert (await fetched(running)).status == 503
