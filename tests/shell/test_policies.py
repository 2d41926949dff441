"""Limits, lists and sign-in through a whole path: agent, server and visitors on loopback, and who is not let in."""

import asyncio
import time
from base64 import b64encode
from pathlib import Path
from typing import Final

import pytest
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_visitor import Visitor, fetched, get, post, visitor
from tests.support.shell_world import world

from tunnel.core.base.outcome import Success, value_of
from tunnel.core.policy.ip import Block, block_of
from tunnel.core.policy.rules import Policy, Rates, ServerPolicy
from tunnel.core.policy.sign_in import sign_in_of
from tunnel.observe.events import ExchangeDone

SHOWN: Final = "Authorization: Basic " + b64encode(b"anna:s3cret").decode()
USERS: Final = Policy(sign_ins=(sign_in_of(b"anna:s3cret", bytes(16)),))
RATE: Final = 400_000
"""Bytes a second."""
pytestmark = pytest.mark.anyio


def block(text: str) -> Block:
    found = block_of(text)
    assert isinstance(found, Success)
    return value_of(found)


@pytest.mark.shows("POLICY-SIGNIN-001", "POLICY-SIGNIN-002", "POLICY-ORDER-002")
@pytest.mark.bug("B1")
async def test_only_who_signs_in_reaches_the_local_service(tmp_path: Path) -> None:
    async with world(tmp_path) as server, serving(hello) as service, server.agent(service.address, policy=USERS):
        refused = await fetched(server)
        assert (refused.status, refused.fields["www-authenticate"]) == (401, 'Basic realm="demo", charset="UTF-8"')
        assert service.connections == []
        assert (await fetched(server, "/", "demo", SHOWN)).status == 200
        assert b"authorization" not in service.heads[0].lower()


@pytest.mark.shows("POLICY-LIST-001", "POLICY-LIST-002", "POLICY-ORDER-002")
async def test_who_is_not_on_the_list_wakes_nobody(tmp_path: Path) -> None:
    policy = Policy(allow=(block("192.0.2.0/24"),))
    async with world(tmp_path) as server, serving(hello) as service, server.agent(service.address, policy=policy):
        assert (await fetched(server)).status == 403
        assert service.connections == []
        done = await server.log.next(ExchangeDone)
        assert (done.outcome, done.peer) == ("address-denied", "127.0.0.1")


@pytest.mark.shows("POLICY-RATE-001", "POLICY-RATE-004", "POLICY-ORDER-003")
async def test_an_address_that_comes_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    rules = ServerPolicy(address=Rates(requests=20, burst=3))  # one in fifty seconds
    async with world(tmp_path, policy=rules) as server, serving(hello) as service, server.agent(service.address):
        async with visitor(server) as one:
            answers = []
            for name in ("demo", "nobody", "demo", "demo"):
                await one.send(get(server, "/", name))
                answers.append(await one.answer())
            assert [answer.status for answer in answers] == [200, 404, 200, 429]
            assert 45 <= int(answers[-1].fields["retry-after"]) <= 50
        assert len(service.heads) == 2


@pytest.mark.shows("POLICY-COUNT-001")
async def test_an_endpoint_serves_so_many_at_once_and_the_next_when_one_is_gone(tmp_path: Path) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(connection: Connection) -> None:
        first, _ = await connection.request()
        asked.set()
        if b"slow" in first:
            await may_answer.wait()
        await connection.answer(b"done")

    policy = Policy(Rates(exchanges=1))
    async with world(tmp_path) as server, serving(slow) as service, server.agent(service.address, policy=policy):
        async with visitor(server) as one:
            await one.send(get(server, "/slow"))
            await asked.wait()
            assert (await fetched(server)).status == 429
            may_answer.set()
            assert (await one.answer()).status == 200
        assert (await fetched(server)).status == 200
        async with visitor(server) as gone:
            asked.clear()
            may_answer.clear()
            await gone.send(get(server, "/slow"))
            await asked.wait()
            gone.reset()
            await server.log.next(ExchangeDone, 4)
        may_answer.set()
        assert (await fetched(server)).status == 200


async def timed(one: Visitor, request: bytes) -> tuple[int, float]:
    """Bytes of the answer, and the seconds that it took."""
    began = time.monotonic()
    await one.send(request)
    answer = await one.answer()
    assert answer.status == 200
    return len(answer.body), time.monotonic() - began


@pytest.mark.shows("POLICY-BYTES-001", "POLICY-BYTES-003")
@pytest.mark.parametrize("way", ["down", "up"])
async def test_bytes_a_second_hold_in_both_directions(tmp_path: Path, way: str) -> None:
    """A lower bound of time alone: what is let through faster than the rate would be too early, however slow we are."""
    much = 3 * RATE
    body = bytes(range(256)) * (much // 256)

    async def mirror(connection: Connection) -> None:
        _, fields = await connection.request()
        taken = await connection.body(fields)
        await connection.answer(body if way == "down" else b"%d" % len(taken))

    policy = Policy(Rates(bandwidth=RATE))
    async with world(tmp_path) as server, serving(mirror) as service, server.agent(service.address, policy=policy):
        async with visitor(server) as one:
            _, seconds = await timed(one, get(server) if way == "down" else post(server, body))
        # A second's worth at once, and a receive window or two ahead of its payment; the rest takes its time.
        assert seconds >= (much - RATE - 768 * 1024) / RATE if way == "down" else seconds >= 0.5
        (done,) = server.log.all(ExchangeDone)
        assert (done.outcome, max(done.bytes_up, done.bytes_down)) == ("ok", len(body))
