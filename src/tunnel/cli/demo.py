"""`tunnel demo`: server, agent and sample site in one process on loopback, with nothing left behind (OPS-DEMO).

The zone is `localhost`: browsers resolve every name in it to this machine, so the URL opens with nothing to configure.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias, final
from urllib.parse import urlsplit

import anyio

from tunnel.agent.end import AgentEnd
from tunnel.agent.run import run_agent
from tunnel.agent.settings import AgentSettings, LocalService
from tunnel.api.settings import DEFAULT_API
from tunnel.cli.commands import DEFAULT_ACCOUNT, DemoCommand, MintCommand, StorePlace
from tunnel.cli.exits import ExitCode
from tunnel.cli.first_key import first_key
from tunnel.cli.places import ApiPlace, api_of, listener_of, target_of
from tunnel.cli.problems import BadArgument, Problem
from tunnel.cli.report import refuse
from tunnel.cli.running import Screen, run_on_screen
from tunnel.cli.settings import CONTROL_PROGRAM
from tunnel.cli.store_run import minted_at
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.messages import Keep
from tunnel.demo.site import Site, start_site
from tunnel.drive.address import Address
from tunnel.drive.listener import bind, places_of
from tunnel.observe.events import (
    AgentReady,
    ControlEnded,
    ControlReady,
    Event,
    EventSink,
    ExchangeDone,
    LinkLost,
    LocalUnreachable,
    ServerReady,
    ShuttingDown,
    Warned,
)
from tunnel.server.end import CannotListen, ServerEnd, StateUnusable
from tunnel.server.run import serve
from tunnel.server.settings import ControlChoice, ServerSettings
from tunnel.server.state import AUTHORITY
from tunnel.server.steward import attended

NAME: Final = "demo"
DOMAIN: Final = "localhost"
LOOPBACK: Final = "127.0.0.1"
DEFAULT_PUBLIC: Final = Address(LOOPBACK, 8080)
PORTS_TRIED: Final = 20
GRACE_SECONDS: Final = 0.3
"""What running exchanges get after Ctrl-C; an event stream would otherwise hold the demo open."""
END_SECONDS: Final = 0.8
"""After this the rest is cancelled: Ctrl-C ends everything within a second (OPS-DEMO-002)."""
VALID_FOR: Final = "30d"

DemoEnd: TypeAlias = AgentEnd | ServerEnd


@final
@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What to expose (None: the sample site) and where visitors come (None: port 8080, or the next that is free).

    `api` None is port 7480, or the next that is free; a place without address is no dashboard.
    """

    local: LocalService | None
    public: Address | None
    api: ApiPlace | None = None


def start_demo(command: DemoCommand, environment: Mapping[str, str]) -> ExitCode:
    """A demo until a signal, or until a part of it cannot go on."""
    problems: list[Problem] = []
    local = None if command.local is None else target_of(command.local)
    public = None if command.public is None else listener_of(command.public)
    api = None if command.api is None else api_of(command.api)
    for flag, read in (("--local", local), ("--public", public), ("--api", api)):
        if read is not None and not isinstance(read, Success):
            problems.append(BadArgument(flag, error_of(read).seen, error_of(read).wanted))
    if problems:
        return refuse(tuple(problems))
    settings = DemoSettings(
        value_of(local) if isinstance(local, Success) else None,
        value_of(public) if isinstance(public, Success) else None,
        value_of(api) if isinstance(api, Success) else None,
    )
    return run_on_screen(lambda screen, stop: run_demo(settings, screen, stop), command.output, environment)


async def run_demo(settings: DemoSettings, screen: Screen, stop: asyncio.Event) -> Outcome[None, DemoEnd]:
    """Everything together until `stop` is set, or until a part of it cannot go on."""
    with TemporaryDirectory(prefix="tunnel-demo-") as made:
        state = Path(made)
        token = await _token(state)
        if not isinstance(token, Success):
            return token
        if settings.local is not None:
            return await _Demo(settings, settings.local, value_of(token), state, screen, stop).run()
        started = await start_site(Address(LOOPBACK, 0))
        if not isinstance(started, Success):
            refused = error_of(started)
            return Failure(CannotListen(str(refused.address), refused.reason))
        site = value_of(started)
        try:
            return await _Demo(settings, LocalService(site.address), value_of(token), state, screen, stop, site).run()
        finally:
            with anyio.CancelScope(shield=True):
                await site.stop()


async def _token(state: Path) -> Outcome[bytes, DemoEnd]:
    """A token for the demo's own agent, in the store like every other: the dashboard shows it."""
    command = MintCommand(StorePlace(str(state)), NAME, VALID_FOR, DEFAULT_ACCOUNT, None, label="demo")
    minted = await minted_at(command)
    if not isinstance(minted, Success):
        return Failure(StateUnusable(str(state), error_of(minted).sentence))
    return Success(value_of(minted).raw)


@final
class _Demo:
    """One run of server and agent; finished when `run` returns."""

    def __init__(
        self,
        settings: DemoSettings,
        local: LocalService,
        token: bytes,
        state: Path,
        screen: Screen,
        stop: asyncio.Event,
        site: Site | None = None,
    ) -> None:
        self._settings = settings
        self._local = local
        self._token = token
        self._state = state
        self._screen = screen
        self._stop = stop
        self._site = site
        self._server_ready: asyncio.Future[ServerReady | None] = asyncio.get_running_loop().create_future()
        self._ended: Outcome[None, DemoEnd] = Success(None)

    async def run(self) -> Outcome[None, DemoEnd]:
        """Server first, then the agent that dials it; the first failure ends both and is the answer."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._cut_off, group.cancel_scope)
            async with anyio.create_task_group() as parts:
                parts.start_soon(self._run_server)
                parts.start_soon(self._run_agent)
                parts.start_soon(self._stop_site)
            group.cancel_scope.cancel()
        return self._ended

    async def _run_server(self) -> None:
        wanted = self._settings.public or DEFAULT_PUBLIC
        ports = PORTS_TRIED if self._settings.public is None else 1
        control, key = await self._dashboard()
        for port in range(wanted.port, wanted.port + ports):
            public = Address(wanted.host, port)
            settings, view = self._server_settings(public), _ServerView(self._screen, self._server_ready, key)

            async def served(events: EventSink, settings: ServerSettings = settings) -> Outcome[None, ServerEnd]:
                return await serve(settings, events, self._stop)

            ended = await attended(served, control, self._state, view)
            if isinstance(ended, Success) or not _is_taken(error_of(ended), public) or port == wanted.port + ports - 1:
                self._end_with(ended)
                return
            self._screen.emit(Warned(f"{public} is taken; trying port {port + 1}"))

    async def _dashboard(self) -> tuple[ControlChoice | None, str]:
        """Where the dashboard is to be, and the key that opens it; without a database there is none."""
        wanted = self._settings.api
        if wanted is not None and wanted.address is None:
            return None, ""
        made = await first_key(self._state, UnixSeconds(int(time.time())))
        if not isinstance(made, Success):
            self._screen.emit(Warned(f"there is no dashboard: {error_of(made)}"))
            return None, ""
        place = await _first_free(DEFAULT_API) if wanted is None else wanted.address
        return None if place is None else ControlChoice(place, "", CONTROL_PROGRAM), value_of(made)

    async def _run_agent(self) -> None:
        ready = await self._server_ready
        if ready is None or self._stop.is_set():
            return
        server = listener_of(ready.agents)
        if not isinstance(server, Success):
            self._end_with(Failure(CannotListen(ready.agents, error_of(server).wanted)))
            return
        settings = AgentSettings(
            server=value_of(server),
            local=self._local,
            name=NAME,
            token=self._token,
            host_header=Keep(),
            ca=self._state / AUTHORITY,
            limits=self._limits(),
            requests_shown=False,
        )
        self._end_with(await run_agent(settings, _AgentView(self._screen, ready, self._state / AUTHORITY), self._stop))

    async def _stop_site(self) -> None:
        """Ends the endless streams of the sample site in order, so that they end in order for their visitors, too."""
        await self._stop.wait()
        if self._site is not None:
            await self._site.stop()

    async def _cut_off(self, scope: anyio.CancelScope) -> None:
        await self._stop.wait()
        await anyio.sleep(END_SECONDS)
        scope.cancel()

    def _end_with(self, ended: Outcome[None, DemoEnd]) -> None:
        if isinstance(self._ended, Success):
            self._ended = ended
        if not self._server_ready.done():
            self._server_ready.set_result(None)
        self._stop.set()

    def _server_settings(self, public: Address) -> ServerSettings:
        return ServerSettings(
            DOMAIN,
            public,
            Address(LOOPBACK, 0),
            self._state,
            limits=self._limits(),
            certificate_names=(f"{NAME}.{DOMAIN}",),  # a wildcard directly below localhost counts for no client
            journal=True,
        )

    def _limits(self) -> Limits:
        return replace(DEFAULT_LIMITS, grace_seconds=GRACE_SECONDS)


@final
class _ServerView:
    """What a visitor of the demo wants to know of the server: requests and warnings."""

    def __init__(self, screen: Screen, ready: "asyncio.Future[ServerReady | None]", key: str) -> None:
        self._screen = screen
        self._key = key
        self._ready = ready

    def emit(self, event: Event) -> None:
        """Show or use one event of the server."""
        if isinstance(event, ServerReady) and not self._ready.done():
            self._ready.set_result(event)
        elif isinstance(event, ControlReady):
            self._screen.hint(f"dashboard: {event.url}  key: {self._key}")
        elif isinstance(event, (ExchangeDone, Warned, ShuttingDown, ControlEnded)):
            self._screen.emit(event)


@final
class _AgentView:
    """What a visitor of the demo wants to know of the agent: the URL, and whether the local service answers."""

    def __init__(self, screen: Screen, server: ServerReady, authority: Path) -> None:
        self._screen = screen
        self._server = server
        self._authority = authority
        self._is_told = False

    def emit(self, event: Event) -> None:
        """Show one event of the agent."""
        if isinstance(event, (AgentReady, LinkLost, LocalUnreachable, Warned)):
            self._screen.emit(event)
        if isinstance(event, AgentReady) and not self._is_told:
            self._is_told = True
            host = urlsplit(event.url).netloc
            self._screen.hint(f"curl -H 'Host: {host}' http://{self._server.public}/")
            secure = self._server.https_pattern.replace("NAME", NAME)
            self._screen.hint(f"curl --cacert {self._authority} {secure}")


async def _first_free(wanted: Address) -> Address | None:
    """The address, or the same with the next port at which nobody listens; None when there is none near."""
    places = await places_of(wanted)
    for port in range(wanted.port, wanted.port + PORTS_TRIED):
        bound = bind(value_of(places), port) if isinstance(places, Success) else places
        if isinstance(bound, Success):
            for each in value_of(bound):
                each.close()
            return Address(wanted.host, port)
    return None


def _is_taken(end: ServerEnd, public: Address) -> bool:
    return isinstance(end, CannotListen) and end.address == str(public)
