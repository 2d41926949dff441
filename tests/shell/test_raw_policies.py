"""Limits, lists and upstreams at TCP endpoints, where the only way to say no is to close."""

import asyncio
import time
from pathlib import Path
from typing import Final

import pytest
from tests.shell.test_raw_endpoints import LIMITS, calling, echo, greeting
from tests.support.ports import free_ports
from tests.support.shell_local import Connection, serving
from tests.support.shell_visitor import Visitor
from tests.support.shell_world import LOOPBACK, address_of, world

from tunnel.core.base.outcome import Success, value_of
from tunnel.core.policy.ip import Block, block_of
from tunnel.core.policy.rules import Policy, Rates
from tunnel.core.proxy.header import ProxyVersion
from tunnel.core.proxy.writer import proxy_header_bytes
from tunnel.core.token.token import EndpointKind
from tunnel.observe.events import AgentReady, ConnectionDone

pytestmark = pytest.mark.anyio

TCP: Final = EndpointKind.TCP
UPSTREAM: Final = "127.0.0.2"
RATE: Final = 400_000


def block(text: str) -> Block:
    found = block_of(text)
    assert isinstance(found, Success)
    return value_of(found)


@pytest.mark.shows("POLICY-LIST-001", "POLICY-ORDER-002")
async def test_a_denied_address_wakes_nobody(state: Path) -> None:
    policy = Policy(deny=(block("127.0.0.0/8"),))
    async with (
        serving(greeting) as local,
        world(state, LIMITS, tcp_ports=free_ports(1)) as running,
        running.agent(local.address, kind=TCP, policy=policy) as agent,
    ):
        async with calling((await agent.log.next(AgentReady)).url) as one:
            assert await one.to_the_end() == b""
        assert (await running.log.next(ConnectionDone)).outcome == "address-denied"
        assert local.connections == []


@pytest.mark.shows("POLICY-COUNT-001")
async def test_a_connection_counts_as_long_as_it_stands(state: Path) -> None:
    policy = Policy(Rates(exchanges=1))
    async with (
        serving(echo) as local,
        world(state, LIMITS, tcp_ports=free_ports(1)) as running,
        running.agent(local.address, kind=TCP, policy=policy) as agent,
    ):
        url = (await agent.log.next(AgentReady)).url
        async with calling(url) as one:
            await one.send(b"1")
            assert await one.exactly(1) == b"1"
            async with calling(url) as other:
                assert await other.to_the_end() == b""
            assert (await running.log.next(ConnectionDone)).outcome == "too-many-exchanges"
            one.end()
            assert await one.to_the_end() == b""
        await running.log.next(ConnectionDone, 2)
        async with calling(url) as third:
            await third.send(b"3")
            assert await third.exactly(1) == b"3"


@pytest.mark.shows("POLICY-BYTES-001", "POLICY-BYTES-003")
async def test_bytes_a_second_hold_for_raw_connections(state: Path) -> None:
    """A lower bound of time alone, as for HTTP: the bytes go up and come down again, and both ways count."""
    policy, body = Policy(Rates(bandwidth=RATE)), bytes(range(256)) * 4000
    async with (
        serving(echo) as local,
        world(state, LIMITS, tcp_ports=free_ports(1)) as running,
        running.agent(local.address, kind=TCP, policy=policy) as agent,
        calling((await agent.log.next(AgentReady)).url) as one,
    ):
        began = time.monotonic()
        sending = asyncio.create_task(one.send(body))
        assert await one.exactly(len(body)) == body
        await sending
        assert time.monotonic() - began >= (2 * len(body) - RATE - 768 * 1024) / RATE
        one.end()
        assert await one.to_the_end() == b""
        assert (await running.log.next(ConnectionDone)).outcome == "ok"


@pytest.mark.shows("PROXY-TRUST-001", "PROXY-TRUST-003", "PROXY-LOCAL-001")
async def test_a_visitor_is_introduced_from_end_to_end(state: Path) -> None:
    said = proxy_header_bytes(ProxyVersion.V1, "192.0.2.7", 40_000, "198.51.100.2", 25)
    heard: list[bytes] = []

    async def listening(connection: Connection) -> None:
        heard.append(await connection.reader.readexactly(len(said) + 4))
        await connection.send(b"250 ok")

    async with (
        serving(listening) as local,
        world(state, LIMITS, tcp_ports=free_ports(1), proxy_from=(block(UPSTREAM),)) as running,
        running.agent(local.address, kind=TCP, proxy_protocol=ProxyVersion.V1) as agent,
    ):
        port = address_of((await agent.log.next(AgentReady)).url.removeprefix("tcp://")).port
        reader, writer = await asyncio.open_connection(LOOPBACK, port, local_addr=(UPSTREAM, 0))
        one = Visitor(reader, writer)
        await one.send(said + b"EHLO")
        assert await one.exactly(6) == b"250 ok"
        assert heard == [said + b"EHLO"]
        writer.transport.abort()
        assert (await running.log.next(ConnectionDone)).peer == "192.0.2.7"
