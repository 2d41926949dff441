"""What the simulation found in the product, kept: each with the smallest world that shows it."""

import asyncio
import errno
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from tests.simulation.kernel import HOST, Kernel, Weather
from tests.simulation.loop import SimLoop
from tests.simulation.parties import SERVER
from tests.simulation.plan import controlled
from tests.simulation.sockets import System
from tests.simulation.surroundings import surrounded
from tests.simulation.tls import StandInContext
from tests.simulation.world import run
from typing_extensions import override

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import Limits
from tunnel.core.mux.session import Role
from tunnel.drive.callbacks import Callbacks
from tunnel.drive.link import Link, StreamHandler
from tunnel.drive.reading import read_buffer

_AGENT: Final = "10.0.1.0"


def simulated(story: "Coroutine[Any, Any, None]", weather: Weather) -> System:
    """Run a story on a kernel of its own."""
    system = System(Kernel("found", weather))
    with surrounded(system, "found"):
        loop = SimLoop(system, "found")

        async def told() -> None:
            await story

        anyio.run(told, backend_options={"loop_factory": lambda: loop})
    assert loop.complaints == []
    return system


class Owner:
    """Of a link that carries nothing."""

    def on_link_up(self, link: Link, now: Instant) -> None:
        """Nothing to do."""

    def on_stream_opened(self, stream: StreamId, now: Instant) -> StreamHandler | None:
        """Refused."""
        return None

    def on_peer_leaving(self, now: Instant) -> None:
        """Nothing to do."""

    def on_link_closed(self, reason: str, now: Instant) -> None:
        """Nothing to do."""

    def on_link_gone(self) -> None:
        """Nothing to do."""


class Deaf(asyncio.Protocol):
    """A TLS peer that says goodbye and reads nothing."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Leave soon."""
        assert isinstance(transport, asyncio.Transport)
        asyncio.get_running_loop().call_later(1.0, transport.close)
        asyncio.get_running_loop().call_later(2.5, transport.get_extra_info("socket")._sock.end.fail, errno.ECONNRESET)


@pytest.mark.shows("OPS-SHUT-004")
def test_a_link_whose_peer_said_goodbye_can_still_be_dropped() -> None:
    """It had more to send than the dead peer took; asyncio's TLS transport forgot itself at the second close."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        context = StandInContext(lambda _: None)
        HOST.set(SERVER)
        server = await loop.create_server(Deaf, SERVER, 8443, ssl=_as_real(context))
        HOST.set(_AGENT)
        link = Link(Role.CLIENT, Limits(), Owner(), loop, read_buffer())
        await loop.create_connection(lambda: Callbacks(link), SERVER, 8443, ssl=_as_real(context), server_hostname="x")
        transport = link_transport(link)
        await asyncio.sleep(0.5)
        for end in loop.system.kernel.ends.values():
            end.is_deaf = not end.dialled  # what we send is lost, what it says still comes
        transport.write(b"\0" * 200_000)
        await asyncio.sleep(2.0)
        assert transport.is_closing(), "the goodbye has come"
        link.close("told to stop")
        link.abort_session()
        await asyncio.sleep(0.1)
        assert link.is_gone
        assert loop.system.open_at(_AGENT) == []
        server.close()
        await asyncio.sleep(1.0)
        assert loop.system.open_at(SERVER) == []

    simulated(story(), Weather(buffer=4096))


@pytest.mark.shows("TOKEN-EXPOSE-003")
def test_visitors_of_an_agent_that_left_end_with_the_time_of_its_exposure() -> None:
    """An agent that left a moment before the end of its exposure served what ran for as long as it went on."""
    done = run(controlled(1077))
    assert done.is_sound, done.findings[:1]


@pytest.mark.shows("GATE-NAME-004")
def test_visitors_of_an_agent_that_left_end_when_its_name_is_reserved() -> None:
    """An agent that left served what ran under a name that had become another account's meanwhile."""
    done = run(controlled(22045))
    assert done.is_sound, done.findings[:1]


@pytest.mark.shows("GATE-FEED-007")
@pytest.mark.parametrize("seed", [1857, 20027])
def test_a_server_that_ends_leaves_nobody_at_its_feed(seed: int) -> None:
    """Who came in the turn in which it closed was forgotten, and a failed accept was tried again behind the end."""
    done = run(controlled(seed))
    assert done.is_sound, done.findings[:1]


def link_transport(link: Link) -> asyncio.Transport:
    """What the link writes to."""
    transport: asyncio.Transport = link._transport  # type: ignore[assignment]
    return transport


def _as_real(context: StandInContext) -> ssl.SSLContext:
    return context  # type: ignore[return-value]


def test_a_side_is_ended_in_one_place_alone() -> None:
    """A second caller of `write_eof` once stood in the raw connections, without the care that the first had learnt."""
    source = Path(__file__).parents[3] / "src/tunnel"
    parts = ("agent", "drive", "server")
    found = [
        path for part in parts for path in (source / part).glob("*.py") if ".write_eof()" in path.read_text("utf-8")
    ]
    assert found == [source / "drive/transport.py"]
