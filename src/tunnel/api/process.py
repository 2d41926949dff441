"""The control process put together: the database, the services beside it, and where it answers (API-PROC).

It may fail, hang or lose its database at any time: no tunnel waits for it. Each service runs in a guard of its own and
is begun again when it ends; the API answers from the first moment, with 503 for as long as there is no database.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

import anyio

from tunnel.api import applying, checkpoints, publishing
from tunnel.api.app import build_app
from tunnel.api.board import Board
from tunnel.api.door import Door
from tunnel.api.extra import Extra, extras_of
from tunnel.api.listening import serve_application
from tunnel.api.pages import sampling
from tunnel.api.pages.settings import DashboardSettings, dashboard_settings
from tunnel.api.plane import Plane
from tunnel.api.settings import ControlSettings
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.control.page import Page
from tunnel.drive.address import Address
from tunnel.drive.clock import SystemClock, SystemEntropy
from tunnel.drive.feed import FeedClient
from tunnel.drive.listener import address_of, bind, places_of
from tunnel.observe.escapes import note_escape
from tunnel.observe.events import ControlReady, EventSink, Warned
from tunnel.store.errors import describe as describe_error
from tunnel.store.open import describe, open_store

_PAUSE_SECONDS_MIN: Final = 0.5
_PAUSE_SECONDS_MAX: Final = 30.0
"""Between two tries of anything that failed: doubled each time."""
_STEADY_SECONDS: Final = 60.0
"""What ran for so long before it ended is begun again without much waiting."""


@final
@dataclass(frozen=True, slots=True)
class Service:
    """Something that runs for as long as the control process does, says on the board how it stands, is cancelled."""

    name: str
    run: Callable[[Plane], Awaitable[None]]


SERVICES: Final[tuple[Service, ...]] = (
    Service("directory", publishing.run),
    Service("journal", applying.run),
    Service(checkpoints.NAME, checkpoints.run),
    Service("traffic", sampling.run),
)
"""Every service beside the API."""


@final
@dataclass(frozen=True, slots=True)
class DatabaseUnusable:
    """What is asked for as a database never can be one, however long we wait (exit 2)."""

    detail: str


async def run_control(
    settings: ControlSettings, events: EventSink, stop: asyncio.Event, services: tuple[Service, ...] = SERVICES
) -> Outcome[None, DatabaseUnusable]:
    """Answer and serve until `stop` is set; an address that is taken and a database that is away are tried again.

    `stop` is set when it returns. No socket, task or connection is left then, whether it was asked or cancelled.
    """
    door = Door(settings.api.host, settings.proxies)
    async with anyio.create_task_group() as group:
        group.start_soon(_listen, settings, door, events, stop)
        ended = await _work(settings, door, events, stop, services)
        stop.set()
    return ended


async def _work(
    settings: ControlSettings,
    door: Door,
    events: EventSink,
    stop: asyncio.Event,
    services: tuple[Service, ...],
) -> Outcome[None, DatabaseUnusable]:
    """The database from when it can be had until the end, and all that needs it."""
    clock, entropy = SystemClock(), SystemEntropy()
    opened = await open_store(settings.database, settings.state, clock.unix())
    if not isinstance(opened, Success):
        return Failure(DatabaseUnusable(describe(error_of(opened))))
    store = value_of(opened)
    extras: tuple[Extra, ...] = ()
    try:
        plane = Plane(store, settings.state, clock, entropy, FeedClient(settings.state), settings, Board(), events)
        dashboard, extras = _dashboard(plane), _extras(plane)
        more = tuple(Service(extra.name, extra.run) for extra in extras)
        door.answer_to(dashboard.host)
        door.turn_to(build_app(plane, dashboard, tuple(extra.router for extra in extras)))
        await _hint_at_keys(plane)
        async with anyio.create_task_group() as group:
            for service in (*services, *more):
                group.start_soon(_keep_up, service, plane)
            await stop.wait()
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            for extra in extras:
                await extra.close()
            await store.close()
    return Success(None)


def _dashboard(plane: Plane) -> DashboardSettings:
    """What the operator decided about the dashboard; what cannot be read is said, and decides nothing."""
    told = dashboard_settings(plane.state)
    if isinstance(told, Success):
        return value_of(told)
    plane.events.emit(Warned(str(error_of(told))))
    return DashboardSettings()


def _extras(plane: Plane) -> tuple[Extra, ...]:
    """What is asked for beside the API; what cannot be had is said, and stops nothing."""
    wanted = extras_of(plane)
    if isinstance(wanted, Success):
        return value_of(wanted)
    plane.events.emit(Warned(error_of(wanted)))
    return ()


async def _hint_at_keys(plane: Plane) -> None:
    keys = await plane.store.keys(None, Page(limit=1))
    if not isinstance(keys, Success):
        plane.events.emit(Warned(f"API and dashboard wait for their database: {describe_error(error_of(keys))}"))
    elif not value_of(keys).items:
        plane.events.emit(Warned(f"there is no API key yet; make one: tunnel key mint --state {plane.state}"))


async def _listen(settings: ControlSettings, door: Door, events: EventSink, stop: asyncio.Event) -> None:
    """Answer at the address until the end; one that cannot be had is tried again, and said once."""
    pauses, told = _Pauses(), ""
    while not stop.is_set():
        bound = await _bound(settings.api)
        if isinstance(bound, Success):
            sockets = value_of(bound)
            at = address_of(sockets, settings.api.host)
            async with anyio.create_task_group() as group:
                group.start_soon(_tell_ready, door, ControlReady(f"http://{at}/"), events)
                await serve_application(door, sockets, stop)
                group.cancel_scope.cancel()
            return
        if error_of(bound) != told:
            told = error_of(bound)
            events.emit(Warned(f"the API cannot listen on {settings.api}, and goes on trying: {told}"))
        await _wait(stop, pauses.next())


async def _tell_ready(door: Door, ready: ControlReady, events: EventSink) -> None:
    await door.is_open.wait()
    events.emit(ready)


async def _bound(at: Address) -> Outcome[list[socket.socket], str]:
    places = await places_of(at)
    return bind(value_of(places), at.port) if isinstance(places, Success) else places


async def _keep_up(service: Service, plane: Plane) -> None:
    """Run a service, and again whenever it ends; what it raises is an escape, which is counted and told."""
    pauses = _Pauses()
    while True:
        begun = plane.clock.now()
        task = asyncio.ensure_future(service.run(plane))
        try:
            await asyncio.wait({task})
        finally:
            await _cancelled(task)
        cause = None if task.cancelled() else task.exception()
        if cause is not None:
            note_escape(f"service {service.name}", cause)
            plane.events.emit(Warned(f"the service {service.name} of the control process failed and is begun again"))
        plane.board.note(service.name, "it ended, and is begun again", is_ready=False)
        if plane.clock.now() - begun > _STEADY_SECONDS:
            pauses = _Pauses()
        await anyio.sleep(pauses.next())


async def _cancelled(task: "asyncio.Future[None]") -> None:
    """Wait until a task that nobody waits for any more has ended."""
    if not task.done():
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({task})


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await stop.wait()


@final
class _Pauses:
    """How long to wait before the next try."""

    def __init__(self) -> None:
        self._next = _PAUSE_SECONDS_MIN

    def next(self) -> float:
        """Seconds; twice as many the next time, up to a bound."""
        now, self._next = self._next, min(self._next * 2, _PAUSE_SECONDS_MAX)
        return now
