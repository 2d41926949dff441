"""How an agent gets to its server and stays there: it verifies before it speaks, tries for ever, and stops at once.

The servers here are whatever may stand at the other end of a dial: ours, one of ours that restarts, somebody else's TLS
service, one that accepts and says nothing.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, final

import pytest
from tests.support.shell_local import hello, serving
from tests.support.shell_relay import relaying
from tests.support.shell_visitor import fetched
from tests.support.shell_world import LOOPBACK, PATIENCE, Log, minted, nothing_left, started, until, world

from tunnel.agent.backoff import Backoff
from tunnel.agent.end import AgentEnd, NotAuthorised, ServerUntrusted, SettingsUnusable
from tunnel.agent.run import run_agent
from tunnel.agent.settings import AgentSettings, LocalService
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.messages import Keep
from tunnel.drive.address import Address
from tunnel.observe.events import AgentReady, LinkLost, NameGranted, SessionEnded
from tunnel.server.state import AUTHORITY, server_identity

pytestmark = pytest.mark.anyio

LIMITS: Final = Limits(reconnect_seconds_min=0.02, reconnect_seconds_max=0.1, grace_seconds=5.0)


@final
class Stranger:
    """A TLS service that is not ours, and what it was told."""

    def __init__(self) -> None:
        self.address = Address(LOOPBACK, 0)
        self.heard = b""
        self.versions: list[str | None] = []
        self.connections = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Listen to the end."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        tls = writer.get_extra_info("ssl_object")
        self.versions.append(None if tls is None else tls.version())
        try:
            while data := await reader.read(1 << 16):
                self.heard += data
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self.tasks.discard(task)


@asynccontextmanager
async def stranger(context: ssl.SSLContext | None) -> AsyncIterator[Stranger]:
    one = Stranger()
    server = await asyncio.start_server(one.take, LOOPBACK, 0, ssl=context)
    one.address = Address(LOOPBACK, int(server.sockets[0].getsockname()[1]))
    try:
        yield one
    finally:
        server.close()
        for task in list(one.tasks):
            task.cancel()
        if one.tasks:
            await asyncio.wait(one.tasks)


def identity(directory: Path, *, alpn: list[str]) -> ssl.SSLContext:
    """What a service with a good certificate presents."""
    made = server_identity(directory, ["127.0.0.1"], UnixSeconds(int(time.time())))
    assert isinstance(made, Success), made
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(value_of(made).chain)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


@final
class Dialler:
    """An agent without a server of ours."""

    def __init__(self, state: Path, server: Address, ca: Path | None, limits: Limits, name: str = "demo") -> None:
        self.log = Log()
        self.stop = asyncio.Event()
        token = minted(state)
        self.token = token
        settings = AgentSettings(server, LocalService(Address(LOOPBACK, 1)), name, token, Keep(), ca, limits)
        self.task = asyncio.create_task(run_agent(settings, self.log, self.stop))

    async def end(self) -> Outcome[None, AgentEnd]:
        """How it ended."""
        async with asyncio.timeout(PATIENCE):
            return await self.task


@asynccontextmanager
async def dialling(
    state: Path, server: Address, ca: Path | None = None, limits: Limits = LIMITS
) -> AsyncIterator[Dialler]:
    """An agent that dials; stopped afterwards, and judged by what it leaves."""
    async with nothing_left():
        agent = Dialler(state, server, ca, limits)
        try:
            yield agent
        finally:
            agent.stop.set()
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([agent.task])


def error_in(end: Outcome[None, AgentEnd]) -> AgentEnd:
    assert isinstance(end, Failure), end
    return error_of(end)


@pytest.mark.shows("LINK-TLS-003")
@pytest.mark.parametrize("alpn", [[], ["http/1.1"], ["h2", "http/1.1"]])
async def test_a_server_that_does_not_speak_tunnel_never_sees_the_token(state: Path, alpn: list[str]) -> None:
    """Its certificate is good, so TLS stands; an agent that said hello at once would give its secret away."""
    async with (
        stranger(identity(state, alpn=alpn)) as other,
        dialling(state, other.address, state / AUTHORITY) as agent,
    ):
        end = error_in(await agent.end())
        assert isinstance(end, ServerUntrusted)
        assert "tunnel/1" in end.detail
        await until(lambda: not other.tasks)
        assert other.connections == 1
        assert other.heard == b""


@pytest.mark.shows("LINK-TLS-004")
async def test_a_server_of_another_authority_is_not_trusted(state: Path, tmp_path: Path) -> None:
    async with world(state, LIMITS) as running:
        identity(tmp_path / "other", alpn=[])
        async with running.agent(Address(LOOPBACK, 1), ca=tmp_path / "other" / AUTHORITY, is_ready=False) as agent:
            end = error_in(await agent.end())
            assert isinstance(end, ServerUntrusted)
            assert end.server == str(running.agents)


@pytest.mark.shows("LINK-TLS-004")
async def test_a_certificate_for_another_name_is_not_trusted(state: Path, tmp_path: Path) -> None:
    made = server_identity(tmp_path / "named", ["elsewhere.example"], UnixSeconds(int(time.time())))
    assert isinstance(made, Success)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(value_of(made).chain)
    async with (
        stranger(context) as other,
        dialling(state, other.address, tmp_path / "named" / AUTHORITY) as agent,
    ):
        assert isinstance(error_in(await agent.end()), ServerUntrusted)


@pytest.mark.shows("LINK-TLS-001")
async def test_an_agent_does_not_speak_tls_1_2(state: Path) -> None:
    context = identity(state, alpn=["tunnel/1"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with (
        stranger(context) as other,
        dialling(state, other.address, state / AUTHORITY) as agent,
    ):
        lost = await agent.log.next(LinkLost)
        assert "closed the connection" in lost.reason or "TLS" in lost.reason
        assert other.heard == b""


async def test_an_authority_that_is_no_file_is_an_error_of_the_settings(state: Path, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    for file, why in (
        (tmp_path / "missing.pem", "cannot be read: No such file or directory"),
        (garbage, "holds no certificate in PEM"),
    ):
        async with dialling(state, Address(LOOPBACK, 1), file) as agent:
            assert error_in(await agent.end()) == SettingsUnusable(str(file), why)


@pytest.mark.shows("OPS-BEAT-002")
async def test_an_agent_whose_first_dial_fails_tries_until_there_is_a_server(state: Path) -> None:
    async with serving(hello) as local, world(state, LIMITS) as running, relaying(running.agents) as relay:
        relay.is_refusing = True
        async with running.agent(local.address, server=relay.address, is_ready=False) as agent:
            await agent.log.next(LinkLost, 4)
            relay.is_refusing = False
            await agent.log.next(AgentReady)
            assert (await fetched(running)).status == 200


@pytest.mark.shows("OPS-BEAT-002")
@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "127.0.0.1"])
async def test_an_agent_without_any_server_tries_on_and_stops_when_asked(state: Path, host: str) -> None:
    async with dialling(state, Address(host, 1), state / AUTHORITY) as agent:
        await agent.log.next(LinkLost, 3)
        assert not agent.task.done()
        agent.stop.set()
        assert await agent.end() == Success(None)


@pytest.mark.shows("OPS-BEAT-002")
async def test_an_agent_finds_its_restarted_server_again(state: Path) -> None:
    async with nothing_left(), serving(hello) as local:
        running = await started(state, LIMITS)
        public, agents = running.public, running.agents
        async with running.agent(local.address) as agent:
            running.stop.set()
            assert await running.task == Success(None)
            lost = await agent.log.next(LinkLost)
            assert lost.reason
            again = await started(state, LIMITS, public, agents)
            await agent.log.next(AgentReady, 2)
            assert (await fetched(again)).status == 200
        again.stop.set()
        await again.task


@pytest.mark.shows("OPS-BEAT-002")
async def test_a_server_that_accepts_and_says_nothing_is_left_after_the_handshake_time(state: Path) -> None:
    """Before TLS, then after it: the one deadline covers both."""
    limits = Limits(handshake_seconds_max=0.15, reconnect_seconds_min=0.02, reconnect_seconds_max=0.1)
    for context in (None, identity(state, alpn=["tunnel/1"])):
        async with stranger(context) as mute, dialling(state, mute.address, state / AUTHORITY, limits) as agent:
            lost = await agent.log.next(LinkLost, 2)
            assert "0.15" in lost.reason
            assert agent.token not in mute.heard or context is not None


@pytest.mark.shows("OPS-BEAT-002")
async def test_an_agent_stops_at_once_while_it_dials_a_server_that_says_nothing(state: Path) -> None:
    patient = replace(LIMITS, handshake_seconds_max=3600.0, goodbye_seconds_max=3600.0, grace_seconds=3600.0)
    async with stranger(None) as mute, dialling(state, mute.address, state / AUTHORITY, patient) as agent:
        await until(lambda: mute.connections > 0)
        agent.stop.set()
        assert await agent.end() == Success(None)


@pytest.mark.parametrize("moment", ["dialling", "pausing", "living"])
async def test_an_agent_that_is_cancelled_leaves_nothing(state: Path, moment: str) -> None:
    """What a second Ctrl-C does: no grace, and still no socket and no task."""
    async with serving(hello) as local, stranger(None) as mute, world(state, LIMITS) as running:
        server = {"dialling": mute.address, "pausing": Address(LOOPBACK, 1), "living": running.agents}[moment]
        async with running.agent(local.address, server=server, is_ready=moment == "living") as agent:
            if moment == "dialling":
                await until(lambda: mute.connections > 0)
            if moment == "pausing":
                await agent.log.next(LinkLost)
            agent.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await agent.task


@pytest.mark.shows("LINK-TLS-004")
async def test_a_server_that_was_trusted_and_is_not_for_a_while_is_tried_again(state: Path, tmp_path: Path) -> None:
    """A captive portal or a hijacked route must not end an agent for good; it must not get the token either."""
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        relaying(running.agents) as relay,
        stranger(identity(tmp_path / "portal", alpn=["tunnel/1"])) as portal,
        running.agent(local.address, server=relay.address) as agent,
    ):
        relay.to = portal.address
        relay.cut()
        await agent.log.next(LinkLost, 3)
        assert "does not verify" in agent.log.all(LinkLost)[-1].reason
        assert portal.heard == b""
        relay.to = running.agents
        await agent.log.next(AgentReady, 2)
        assert (await fetched(running)).status == 200


@pytest.mark.bug("B2")
@pytest.mark.shows("OPS-ADMIT-009")
async def test_a_token_that_ends_while_its_link_runs_ends_the_link_and_the_agent(state: Path) -> None:
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        running.agent(local.address, token=minted(state, seconds=2)) as agent,
    ):
        assert error_in(await agent.end()) == NotAuthorised("expired", "the token's time is over; mint a new one")
        assert (await running.log.next(SessionEnded)).reason == "the token expired"


async def test_a_name_that_the_token_does_not_permit_ends_the_agent(state: Path) -> None:
    async with world(state, LIMITS) as running:
        token = running.token("other")
        async with running.agent(Address(LOOPBACK, 1), token=token, is_ready=False) as agent:
            end = error_in(await agent.end())
            assert isinstance(end, NotAuthorised)
            assert end.code == "not-permitted"


async def test_a_second_agent_may_expose_another_name_with_the_same_token(state: Path) -> None:
    async with serving(hello) as local, world(state, LIMITS) as running:
        token = running.token()
        async with running.agent(local.address, "one", token=token), running.agent(local.address, "two", token=token):
            assert (await fetched(running, name="one")).status == 200
            assert (await fetched(running, name="two")).status == 200


async def test_an_agent_without_a_wish_gets_a_name_and_keeps_it_over_a_reconnect(state: Path) -> None:
    async with (
        serving(hello) as local,
        world(state, LIMITS) as running,
        relaying(running.agents) as relay,
        running.agent(local.address, "", server=relay.address) as agent,
    ):
        relay.cut()
        await running.redialled(agent)
        names = {grant.name for grant in running.log.all(NameGranted)}
        assert len(names) == 1
        assert (await fetched(running, name=names.pop())).status == 200


@pytest.mark.shows("OPS-BEAT-002")
def test_pauses_double_and_are_spread_over_their_whole_length() -> None:
    backoff = Backoff(Limits(reconnect_seconds_min=0.25, reconnect_seconds_max=2.0))
    assert [backoff.pause(1.0) for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
    backoff.succeeded()
    assert [backoff.pause(0.0), backoff.pause(0.5), backoff.pause(0.25)] == [0.0, 0.25, 0.25]
