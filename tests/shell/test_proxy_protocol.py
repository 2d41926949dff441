"""The PROXY protocol at both ends of a path: upstreams that introduce visitors, and local services that are told.

nginx is the other implementation, as the upstream (it sends version 1) and as the local service (it reads both).
"""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
from tests.support.ports import free_port
from tests.support.shell_local import Connection, hello, serving
from tests.support.shell_visitor import Visitor, get, visitor
from tests.support.shell_world import LOOPBACK, PATIENCE, World, world

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.policy.ip import Block, block_of
from tunnel.core.policy.rules import Rates, ServerPolicy
from tunnel.core.proxy.header import ProxyVersion
from tunnel.core.proxy.reader import ProxyReader
from tunnel.core.proxy.writer import proxy_header_bytes
from tunnel.drive.address import Address
from tunnel.observe.events import ExchangeDone, LinkRefused

pytestmark = pytest.mark.anyio

NGINX: Final = shutil.which("nginx") or ""
STREAM_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def block(text: str) -> Block:
    found = block_of(text)
    assert isinstance(found, Success)
    return value_of(found)


UPSTREAM: Final = "127.0.0.2"
"""Another address of loopback, so that agents and visitors of this machine are not taken for upstreams."""
TRUSTED: Final = (block(UPSTREAM),)


@asynccontextmanager
async def upstream(server: World) -> AsyncIterator[Visitor]:
    """A connection from the trusted address, closed afterwards."""
    reader, writer = await asyncio.open_connection(server.public.host, server.public.port, local_addr=(UPSTREAM, 0))
    try:
        yield Visitor(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


def introduced(address: str, port: int = 40_000, version: ProxyVersion = ProxyVersion.V1) -> bytes:
    """What an upstream says of a visitor from there."""
    return proxy_header_bytes(version, address, port, "198.51.100.2" if "." in address else "2001:db8::2", 443)


@pytest.mark.shows("PROXY-TRUST-001", "PROXY-TRUST-003", "PROXY-TRUST-004")
@pytest.mark.parametrize("version", ProxyVersion)
@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
async def test_the_address_in_the_header_is_the_visitors(tmp_path: Path, version: ProxyVersion, address: str) -> None:
    async with (
        world(tmp_path, proxy_from=TRUSTED) as server,
        serving(hello) as service,
        server.agent(service.address),
        upstream(server) as one,
    ):
        wire = introduced(address, 40_000, version) + get(server, "/", "demo", "X-Forwarded-For: 203.0.113.1")
        for piece in (wire[:3], wire[3:20], wire[20:]):
            await one.send(piece)
            await asyncio.sleep(0)
        assert (await one.answer()).status == 200
        assert f"X-Forwarded-For: {address}\r\n".encode() in service.heads[0]
        assert b"203.0.113.1" not in service.heads[0]
        assert (await server.log.next(ExchangeDone)).peer == address


@pytest.mark.shows("PROXY-TRUST-003")
async def test_the_word_of_an_upstream_that_its_visitor_speaks_tls_counts(tmp_path: Path) -> None:
    block_v2 = introduced("192.0.2.7", 40_000, ProxyVersion.V2)
    ssl_extension = b"\x20\0\5\1\0\0\0\0"
    wire = block_v2[:14] + (len(block_v2) - 16 + 8).to_bytes(2, "big") + block_v2[16:] + ssl_extension
    async with (
        world(tmp_path, proxy_from=TRUSTED) as server,
        serving(hello) as service,
        server.agent(service.address),
        upstream(server) as one,
    ):
        await one.send(wire + get(server))
        assert (await one.answer()).status == 200
        assert b"X-Forwarded-Proto: https\r\n" in service.heads[0]


@pytest.mark.shows("PROXY-TRUST-003", "POLICY-LIST-001", "POLICY-COUNT-001")
async def test_limits_and_lists_are_those_of_the_visitor_behind_the_upstream(tmp_path: Path) -> None:
    rules = ServerPolicy(Rates(requests=1, burst=1), deny=(block("192.0.2.66"),))
    async with (
        world(tmp_path, policy=rules, proxy_from=TRUSTED) as server,
        serving(hello) as service,
        server.agent(service.address),
    ):
        statuses = []
        for address in ("192.0.2.7", "192.0.2.7", "192.0.2.8", "192.0.2.66", "2001:db8::1", "2001:db8::2"):
            async with upstream(server) as one:
                await one.send(introduced(address) + get(server))
                statuses.append((await one.answer()).status)
        assert statuses == [200, 429, 200, 403, 200, 429]


@pytest.mark.shows("PROXY-TRUST-001", "PROXY-READ-002")
@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"PROXY TCP4 1.2.3.4 nobody 1 2\r\n", b"\x16\x03\x01"])
async def test_an_upstream_that_introduces_nobody_is_closed(tmp_path: Path, first: bytes) -> None:
    async with world(tmp_path, proxy_from=TRUSTED) as server, upstream(server) as one:
        await one.send(first)
        assert await one.to_the_end() == b""
        assert (await server.log.next(LinkRefused)).code == "no-proxy-header"


@pytest.mark.shows("PROXY-TRUST-001")
async def test_an_upstream_that_says_nothing_in_time_is_closed(tmp_path: Path) -> None:
    limits = Limits(head_seconds_max=0.1)
    async with world(tmp_path, limits, proxy_from=TRUSTED) as server, upstream(server) as one:
        await one.send(b"PROXY TCP4")
        assert await one.to_the_end() == b""
        assert "within 0.1 s" in (await server.log.next(LinkRefused)).detail


@pytest.mark.shows("PROXY-TRUST-002")
async def test_what_others_say_of_themselves_is_data(tmp_path: Path) -> None:
    async with (
        world(tmp_path, proxy_from=(block("192.0.2.0/24"),)) as server,
        serving(hello) as service,
        server.agent(service.address),
        visitor(server) as one,
    ):
        await one.send(introduced("192.0.2.7") + get(server))
        assert (await one.answer()).status == 400
        assert service.connections == []


@pytest.mark.shows("PROXY-TRUST-001", "PROXY-TRUST-003", "PROXY-READ-004")
async def test_agents_and_tls_visitors_come_through_an_upstream_as_well(tmp_path: Path) -> None:
    """The other port: a relay of ours puts LOCAL, or a header, in front of what agents and browsers say."""
    async with world(tmp_path, proxy_from=TRUSTED) as server, serving(hello) as service:
        headers = [b"PROXY UNKNOWN\r\n", introduced("192.0.2.7", 40_000, ProxyVersion.V2)]
        async with relaying(server.agents, headers) as front, server.agent(service.address, server=front):
            context = ssl.create_default_context(cafile=server.authority)
            context.set_alpn_protocols(["http/1.1"])
            reader, writer = await asyncio.open_connection(
                front.host, front.port, ssl=context, server_hostname="localhost"
            )
            one = Visitor(reader, writer)
            await one.send(get(server))
            assert (await one.answer()).status == 200
            writer.transport.abort()
        assert b"X-Forwarded-For: 192.0.2.7\r\n" in service.heads[0]


@asynccontextmanager
async def relaying(target: Address, headers: list[bytes]) -> AsyncIterator[Address]:
    """An upstream that says one of the headers in front of each connection."""
    left = list(headers)
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(target.host, target.port, local_addr=(UPSTREAM, 0))
        up_writer.write(left.pop(0))
        pumps = [asyncio.create_task(pump(reader, up_writer)), asyncio.create_task(pump(up_reader, writer))]
        tasks.update(pumps)

    relay = await asyncio.start_server(take, LOOPBACK, 0)
    try:
        # Named as the certificate of the server names it.
        yield Address("localhost", relay.sockets[0].getsockname()[1])
    finally:
        relay.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.shows("PROXY-LOCAL-001", "PROXY-WRITE-001")
@pytest.mark.parametrize("version", [*ProxyVersion, None])
async def test_a_local_service_is_told_who_a_connection_is_from(tmp_path: Path, version: ProxyVersion | None) -> None:
    told: list[tuple[str, int, str, int] | None] = []

    async def listening(connection: Connection) -> None:
        reader, raw = ProxyReader(), b""
        if version is not None:
            while not raw:
                read = reader.receive(await connection.reader.read(1))
                assert isinstance(read, Success)
                header = value_of(read)
                if header is not None:
                    told.append((header.source, header.source_port, header.target, header.target_port))
                    raw = b"x"
        await connection.request()
        await connection.answer(b"told")

    async with (
        world(tmp_path) as server,
        serving(listening) as service,
        server.agent(service.address, proxy_protocol=version),
        visitor(server) as one,
    ):
        name = one.writer.get_extra_info("sockname")
        await one.send(get(server))
        assert (await one.answer()).body == b"told"
        expected = (LOOPBACK, name[1], LOOPBACK, server.public.port)
        assert told == ([] if version is None else [expected])


# nginx


@asynccontextmanager
async def nginx(folder: Path, config: str) -> AsyncIterator[None]:
    """Nginx with this config, in the foreground; ends with the block."""
    module = f"load_module {STREAM_MODULE};" if STREAM_MODULE.exists() else ""
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"{module}daemon off;master_process off;pid {folder}/pid;error_log {folder}/error.log;"
        "events{worker_connections 64;}" + config.replace("HTTP_PATHS", f"access_log off;{paths}")
    )
    process = await asyncio.create_subprocess_exec(
        NGINX, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(file)
    )
    try:
        yield
    finally:
        process.terminate()
        async with asyncio.timeout(PATIENCE):
            await process.wait()


async def accepting(port: int) -> None:
    """Return once somebody does there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.transport.abort()
                return
            await asyncio.sleep(0.01)


@pytest.mark.skipif(not NGINX, reason="left out: nginx is not installed")
@pytest.mark.shows("PROXY-LOCAL-001", "PROXY-WRITE-001")
@pytest.mark.parametrize("version", ProxyVersion)
async def test_nginx_as_the_local_service_reads_our_header(tmp_path: Path, version: ProxyVersion) -> None:
    folder = tmp_path / "nginx"
    folder.mkdir()
    port = free_port()
    answer = "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port"
    config = (
        "http{HTTP_PATHS server{listen " + f"{LOOPBACK}:{port}" + " proxy_protocol;"
        'location /{return 200 "' + answer + '";}}}'
    )
    async with nginx(folder, config):
        await accepting(port)
        async with (
            world(tmp_path / "state") as server,
            server.agent(Address(LOOPBACK, port), proxy_protocol=version),
            visitor(server) as one,
        ):
            name = one.writer.get_extra_info("sockname")
            await one.send(get(server))
            answered = await one.answer()
            expected = f"{LOOPBACK}:{name[1]} {LOOPBACK}:{server.public.port}"
            assert (answered.status, answered.body.decode()) == (200, expected)


@pytest.mark.skipif(not NGINX or not STREAM_MODULE.exists(), reason="left out: nginx with its stream module")
@pytest.mark.shows("PROXY-TRUST-001", "PROXY-TRUST-003", "PROXY-READ-001")
async def test_nginx_as_the_upstream_introduces_visitors_to_us(tmp_path: Path) -> None:
    folder = tmp_path / "nginx"
    folder.mkdir()
    port = free_port()
    async with world(tmp_path / "state", proxy_from=TRUSTED) as server, serving(hello) as service:
        async with server.agent(service.address):
            front = Address(LOOPBACK, port)
            listen = f"listen {front};proxy_pass {server.public};proxy_bind {UPSTREAM};"
            config = "stream{server{" + listen + "proxy_protocol on;}}"
            async with nginx(folder, config):
                await accepting(port)
                reader, writer = await asyncio.open_connection(front.host, front.port)
                one = Visitor(reader, writer)
                name = writer.get_extra_info("sockname")
                await one.send(get(server))
                assert (await one.answer()).status == 200
                writer.transport.abort()
        assert f'for="{LOOPBACK}:{name[1]}"'.encode() in service.heads[0]
