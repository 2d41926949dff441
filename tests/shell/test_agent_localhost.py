"""`localhost` is two addresses: where it led last is asked first, and a service that moved is found again.

Once with a stand-in for the loop, which tells what was asked of it; once with sockets, as the system has them.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.shell_visitor import Visitor, get, visitor
from tests.support.shell_world import World, world

from tunnel.agent.dial import Dialler
from tunnel.drive.address import Address

pytestmark = [pytest.mark.anyio, pytest.mark.shows("OPS-RUN-012")]

Ending = str | Exception


class _Transport:
    """A connection to somebody."""

    def __init__(self, peer: str) -> None:
        self._peer = peer

    def get_extra_info(self, name: str) -> tuple[str, int]:
        """Who that is."""
        assert name == "peername"
        return self._peer, 3000


class _Loop:
    """Connects as it is told to, and remembers what it was asked for."""

    def __init__(self, endings: list[Ending]) -> None:
        self._endings = iter(endings)
        self.asked: list[tuple[str, str | None]] = []

    async def create_connection(
        self, protocol: object, host: str, port: int, *, ssl: object, server_hostname: str | None
    ) -> tuple[_Transport, None]:
        """One attempt."""
        assert port == 3000
        self.asked.append((host, server_hostname))
        ending = next(self._endings)
        if isinstance(ending, Exception):
            raise ending
        return _Transport(ending), None


async def _asked(host: str, endings: list[Ending], tls: ssl.SSLContext | None = None) -> list[tuple[str, str | None]]:
    """Dial until the endings are used up; every attempt that was made."""
    loop = _Loop(endings)
    dialler = Dialler(Address(host, 3000), tls, cast("asyncio.AbstractEventLoop", loop))
    while len(loop.asked) < len(endings):
        try:
            await dialler.dial(cast("Any", asyncio.Protocol))
        except OSError as cause:
            assert cause in endings  # noqa: PT017 - whichever it was, it came out as it went in
    return loop.asked


async def test_where_localhost_led_is_asked_first_and_given_up_when_nobody_answers_there() -> None:
    asked = await _asked("localhost", ["127.0.0.1", "127.0.0.1", ConnectionRefusedError(), "::1", "::1"])
    assert [host for host, _ in asked] == ["localhost", "127.0.0.1", "127.0.0.1", "localhost", "::1"]


async def test_nobody_at_all_is_asked_for_by_name_each_time() -> None:
    refused: list[Ending] = [ConnectionRefusedError(), OSError("unreachable"), "::1", OSError("gone"), OSError("gone")]
    asked = await _asked("localhost", refused)
    assert [host for host, _ in asked] == ["localhost", "localhost", "localhost", "::1", "localhost"]


async def test_another_name_is_asked_for_each_time() -> None:
    asked = await _asked("service.test", ["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    assert [host for host, _ in asked] == ["service.test"] * 3


async def test_a_certificate_is_for_the_name_and_a_bad_one_is_no_move() -> None:
    asked = await _asked("localhost", ["::1", ssl.SSLError("bad"), "::1"], ssl.create_default_context())
    assert asked == [("localhost", "localhost"), ("::1", "localhost"), ("::1", "localhost")]


@pytest.fixture
def places() -> Iterator[tuple[socket.socket, socket.socket]]:
    """One port at each address of `localhost`, twice at its only one; neither listens yet, so both refuse."""
    found = [(family, name[0]) for family, *_, name in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)]
    with ExitStack() as until:
        for _ in range(64):
            one, two = (until.enter_context(closing(socket.socket(family))) for family, _ in (found[0], found[-1]))
            for each in (one, two):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((found[0][1], 0))
            try:
                two.bind((found[-1][1], one.getsockname()[1]))
            except OSError:
                continue  # somebody else has this port there
            yield one, two
            return
    pytest.fail("no port is free at both addresses of localhost")


async def _serve(listening: socket.socket) -> None:
    """Answer one request with the address it came to."""
    loop = asyncio.get_running_loop()
    accepted, _ = await loop.sock_accept(listening)
    with closing(accepted):
        accepted.settimeout(0)
        seen = b""
        while not seen.endswith(b"\r\n\r\n"):
            part = await loop.sock_recv(accepted, 4096)
            assert part
            seen += part
        place = str(accepted.getsockname()[0]).encode()
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(place)
        await loop.sock_sendall(accepted, head + place)


async def test_a_service_that_moves_between_the_loopback_addresses_is_found(
    state: Path, places: tuple[socket.socket, socket.socket]
) -> None:
    first, second = places
    service = Address("localhost", first.getsockname()[1])
    async with world(state) as running, running.agent(service), visitor(running) as one:
        await _answered(running, one, first)
        await _answered(running, one, first)
        first.close()
        await one.send(get(running, "/"))
        assert (await one.answer()).status == 502
        await _answered(running, one, second)
        await _answered(running, one, second)


async def _answered(running: World, one: Visitor, listening: socket.socket) -> None:
    """A request of this visitor gets its answer from whoever listens there."""
    listening.settimeout(0)
    listening.listen()
    serving = asyncio.create_task(_serve(listening))
    await one.send(get(running, "/"))
    assert (await one.answer()).body == str(listening.getsockname()[0]).encode()
    await serving
