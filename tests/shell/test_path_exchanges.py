"""The whole path with real sockets and TLS: visitor, server, agent, local service, and what each of them sees.

Bodies are judged by digest, order in time by who waits for whom: a local service that sends its second half only once
the visitor has confirmed the first shows that nothing is held back, without a clock.
"""

import asyncio
import hashlib
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.support.shell_local import Connection, Handler, Service, hello, serving
from tests.support.shell_visitor import fetched, get, post, visitor
from tests.support.shell_world import PATIENCE, World, world

from tunnel.agent.settings import LocalService
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.drive.address import Address
from tunnel.observe.events import ExchangeDone, LocalUnreachable
from tunnel.server.state import AUTHORITY, server_identity

pytestmark = pytest.mark.anyio

BIG: Final = 24 * 1024 * 1024


@asynccontextmanager
async def path(state: Path, handler: Handler, limits: Limits | None = None) -> AsyncIterator[tuple[World, Service]]:
    """A world whose name `demo` is served by `handler`."""
    async with serving(handler) as local, world(state, limits) as running, running.agent(local.address):
        yield running, local


def noise(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)  # noqa: S311 - test data


@pytest.mark.shows("OPS-RUN-001")
async def test_a_request_reaches_the_local_service_and_its_answer_the_visitor(state: Path) -> None:
    async with path(state, hello) as (running, local):
        answer = await fetched(running, "/a?b=c", "demo", "X-Mine: 1")
        assert (answer.status, answer.body) == (200, b"GET /a?b=c HTTP/1.1")
        assert b"X-Mine: 1\r\n" in local.heads[0]
        assert b"X-Forwarded-For: 127.0.0.1\r\n" in local.heads[0]
        done = await running.log.next(ExchangeDone)
        assert (done.name, done.status, done.outcome, done.method) == ("demo", 200, "ok", "GET")
        assert 0 < done.milliseconds < PATIENCE * 1000
        assert done.milliseconds != int(done.milliseconds), "finer than a millisecond"


@pytest.mark.shows("OPS-RUN-001")
async def test_big_bodies_pass_whole_in_both_directions_at_once(state: Path) -> None:
    up, down = noise(BIG, 1), noise(BIG, 2)
    got = hashlib.sha256()

    async def exchange(connection: Connection) -> None:
        _, fields = await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)

        async def take() -> None:
            left = int(fields[b"content-length"])
            while left:
                part = await connection.reader.read(1 << 18)
                got.update(part)
                left -= len(part)

        await asyncio.gather(take(), connection.send(down[:-1]))
        await connection.send(down[-1:])  # an answer that was whole before its request would end the upload

    async with path(state, exchange) as (running, _), visitor(running) as one:
        sending = asyncio.create_task(one.send(post(running, up)))
        answer = await one.answer()
        await sending
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(down).digest()
        assert got.digest() == hashlib.sha256(up).digest()
        done = await running.log.next(ExchangeDone)
        assert (done.bytes_up, done.bytes_down, done.outcome) == (BIG, BIG, "ok")


@pytest.mark.shows("OPS-RUN-002")
@pytest.mark.bug("B7")
async def test_the_first_event_arrives_before_the_last_is_made(state: Path) -> None:
    seen = asyncio.Event()

    async def events(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await seen.wait()
        await connection.send(b"data: 2\n\n")

    async with path(state, events) as (running, _), visitor(running) as one:
        await one.send(get(running))
        status, fields = await one.head()
        assert (status, fields["transfer-encoding"]) == (200, "chunked")
        assert await one.exactly(14) == b"9\r\ndata: 1\n\n\r\n"
        seen.set()
        assert await one.exactly(19) == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"


@pytest.mark.shows("OPS-RUN-002")
async def test_the_local_service_sees_the_first_half_of_an_upload_before_the_second_is_sent(state: Path) -> None:
    arrived = asyncio.Event()

    async def half(connection: Connection) -> None:
        await connection.request()
        assert await connection.reader.readexactly(5) == b"first"
        arrived.set()
        assert await connection.reader.readexactly(6) == b"second"
        await connection.answer(b"both")

    async with path(state, half) as (running, _), visitor(running) as one:
        await one.send(get(running, "/", "demo", "Content-Length: 11", method="POST") + b"first")
        async with asyncio.timeout(PATIENCE):
            await arrived.wait()
        await one.send(b"second")
        assert (await one.answer()).body == b"both"


@pytest.mark.shows("OPS-RUN-003")
@pytest.mark.bug("B7", "C13")
async def test_an_upgraded_connection_passes_every_byte_and_both_ends(state: Path) -> None:
    down, up = noise(3 * 1024 * 1024, 3), noise(2 * 1024 * 1024, 4)
    got: list[bytes] = []

    async def upgraded(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: any\r\n\r\n")

        async def take() -> None:
            got.append(await connection.until_ended())
            await connection.send(b"after your end")

        await asyncio.gather(connection.send(down), take())

    async with path(state, upgraded) as (running, _), visitor(running) as one:
        await one.send(get(running, "/", "demo", "Connection: Upgrade", "Upgrade: any"))
        status, _ = await one.head()
        assert status == 101
        sending = asyncio.create_task(one.send(up))
        assert await one.exactly(len(down)) == down
        await sending
        one.end()
        assert await one.to_the_end() == b"after your end"
        assert got == [up]


@pytest.mark.shows("OPS-RUN-001")
@pytest.mark.bug("C5")
async def test_curl_gets_its_100_from_the_local_service(state: Path, tmp_path: Path) -> None:
    async def careful(connection: Connection) -> None:
        _, fields = await connection.request()
        assert fields[b"expect"] == b"100-continue"
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await connection.body(fields)
        await connection.answer(hashlib.sha256(body).hexdigest().encode())

    body = noise(2 * 1024 * 1024, 5)
    (tmp_path / "body").write_bytes(body)
    async with path(state, careful) as (running, _):
        curl = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--noproxy", "*", "-H", f"Host: {running.host().decode()}", "-H", "Expect: 100-continue",
            "--expect100-timeout", str(PATIENCE), "--data-binary", f"@{tmp_path / 'body'}",
            f"http://{running.public}/", stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE):
            out, _ = await curl.communicate()
        assert out == hashlib.sha256(body).hexdigest().encode()


@pytest.mark.shows("OPS-RUN-001")
async def test_an_http_1_0_visitor_gets_a_body_that_ends_with_the_connection(state: Path) -> None:
    async def chunked(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    async with path(state, chunked) as (running, _), visitor(running) as one:
        await one.send(b"GET / HTTP/1.0\r\nHost: %b\r\n\r\n" % running.host())
        answer = await one.answer()
        assert "transfer-encoding" not in answer.fields
        assert (answer.status, answer.body) == (200, b"abcde")


@pytest.mark.shows("OPS-RUN-001")
@pytest.mark.bug("C17")
async def test_pipelined_requests_are_answered_in_their_order(state: Path) -> None:
    async with path(state, hello) as (running, _), visitor(running) as one:
        await one.send(b"".join(get(running, f"/{number}") for number in range(40)))
        for number in range(40):
            assert (await one.answer()).body == b"GET /%d HTTP/1.1" % number


@pytest.mark.shows("OPS-RUN-007")
async def test_a_local_service_that_closes_kept_alive_connections_costs_the_visitor_nothing(state: Path) -> None:
    """1,000 requests in sequence; after every third answer the local service closes without a word."""

    async def fickle(connection: Connection) -> None:
        for _ in range(3):
            first, fields = await connection.request()
            if not first:
                return
            await connection.body(fields)
            await connection.answer(first)

    async with path(state, fickle) as (running, local), visitor(running) as one:
        for number in range(1000):
            await one.send(get(running, f"/{number}"))
            answer = await one.answer()
            assert (answer.status, answer.body) == (200, b"GET /%d HTTP/1.1" % number)
        assert len(local.connections) >= 333


@pytest.mark.shows("OPS-RUN-007")
async def test_posts_to_a_local_service_that_closes_at_once_arrive_exactly_once(state: Path) -> None:
    async def once(connection: Connection) -> None:
        first, fields = await connection.request()
        body = await connection.body(fields)
        await connection.answer(first + b" " + body)

    async with path(state, once) as (running, local), visitor(running) as one:
        for number in range(50):
            await one.send(post(running, b"%d" % number))
            assert (await one.answer()).body == b"POST / HTTP/1.1 %d" % number
        assert len(local.heads) == 50


@pytest.mark.shows("OPS-RUN-006")
async def test_visitors_never_share_a_local_connection(state: Path) -> None:
    async with path(state, hello) as (running, local), visitor(running) as one, visitor(running) as other:
        for who in (one, other, one, other):
            await who.send(get(running))
            assert (await who.answer()).status == 200
        assert len(local.connections) == 2


def tls_service(tmp_path: Path, names: list[str]) -> tuple[ssl.SSLContext, Path]:
    """A context of a local https service with these names, and the authority to trust."""
    made = server_identity(tmp_path / "local", names, UnixSeconds(int(time.time())))
    assert isinstance(made, Success), made
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(value_of(made).chain)
    return context, tmp_path / "local" / AUTHORITY


@pytest.mark.shows("LINK-TLS-005")
async def test_a_local_https_service_is_verified_and_served(state: Path, tmp_path: Path) -> None:
    context, authority = tls_service(tmp_path, ["127.0.0.1", "localhost"])
    async with (
        serving(hello, context) as local,
        world(state) as running,
        running.agent(LocalService(local.address, tls=True, ca=authority)),
    ):
        answer = await fetched(running, "/tls")
        assert (answer.status, answer.body) == (200, b"GET /tls HTTP/1.1")


@pytest.mark.shows("LINK-TLS-005")
async def test_a_local_https_service_that_does_not_verify_is_not_spoken_to(state: Path, tmp_path: Path) -> None:
    context, _ = tls_service(tmp_path, ["127.0.0.1"])
    async with (
        serving(hello, context) as local,
        world(state) as running,
        running.agent(LocalService(local.address, tls=True)) as agent,
    ):
        answer = await fetched(running, "/", "demo", "Cookie: s3cret")
        assert answer.status == 502
        assert b"local-tls-failed" in answer.body
        assert local.heads == []
        assert (await agent.log.next(LocalUnreachable)).reason == "CERTIFICATE_VERIFY_FAILED"


@pytest.mark.bug("B10")
async def test_a_local_service_that_is_not_there_is_a_502_and_nothing_worse(state: Path) -> None:
    async with serving(hello) as local, world(state) as running, running.agent(local.address) as agent:
        assert (await fetched(running)).status == 200
        address = local.address
        await local.stop()
        answer = await fetched(running)
        assert answer.status == 502
        assert b"local-refused" in answer.body
        assert (await agent.log.next(LocalUnreachable)).target == str(address)
        await local.start(port=address.port)
        assert (await fetched(running)).status == 200


@pytest.mark.bug("B10")
@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64 + ".invalid"])
async def test_a_target_that_is_no_host_is_a_502_and_nothing_worse(state: Path, host: str) -> None:
    async with world(state) as running, running.agent(Address(host, 80)):
        answer = await fetched(running)
        assert answer.status == 502
        assert b"local-unreachable" in answer.body


async def test_a_local_service_that_does_not_accept_is_a_504(state: Path) -> None:
    """A full backlog: the kernel drops the SYN and nobody answers."""
    limits = Limits(connect_seconds_max=0.2, grace_seconds=5.0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        try:
            for filler in fillers:
                filler.setblocking(False)  # noqa: FBT003 - its name says it
                filler.connect_ex(address)
            async with world(state, limits) as running, running.agent(Address(*address)):
                answer = await fetched(running)
                assert answer.status == 504
                assert b"local-connect-timeout" in answer.body
        finally:
            for filler in fillers:
                filler.close()


async def test_unknown_names_and_foreign_hosts_are_told_apart(state: Path) -> None:
    async with path(state, hello) as (running, _):
        assert (await fetched(running, name="nobody")).status == 404
        async with visitor(running) as one:
            await one.send(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
            assert (await one.answer()).status == 421
