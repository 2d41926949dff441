"""What every long-running command shares: the event loop, the signals that end it, and where its events are shown."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Protocol, TypeAlias, TypeVar, final

import anyio
from rich.console import Console

from tunnel import __version__
from tunnel.agent.end import AgentEnd
from tunnel.cli.commands import Output
from tunnel.cli.exits import ExitCode
from tunnel.cli.live import LiveScreen
from tunnel.cli.ndjson import NdjsonScreen
from tunnel.cli.plain import PlainScreen
from tunnel.cli.report import conclude
from tunnel.core.base.outcome import Outcome
from tunnel.drive.manager import Manager
from tunnel.observe.events import (
    AgentReady,
    Event,
    EventSink,
    NotReloaded,
    Reloaded,
    Reloading,
    ServerReady,
    ShuttingDown,
)
from tunnel.server.end import ServerEnd

T = TypeVar("T")


_STOP_SECONDS: Final = 10.0
"""Beyond the grace period, until nothing is left of a server."""
_YOUNG_MAX: Final = 20_000
"""Objects that may be made before the collector looks for rings among them: some 3 MiB, if all are garbage."""
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Screen(EventSink, Protocol):
    """Where events and hints are shown; finished after `close`."""

    def hint(self, text: str) -> None:
        """Show something a person can use, such as a command to type."""

    def close(self) -> None:
        """Show what is still to be shown; a second call does nothing."""


Work: TypeAlias = Callable[[Screen, asyncio.Event], Awaitable[Outcome[None, AgentEnd | ServerEnd]]]


def screen_for(output: Output, environment: Mapping[str, str]) -> Screen:
    """A log or JSON lines when asked for; a live status in a terminal that can move its cursor; else plain lines."""
    if output.log_format is not None:
        # Loaded by name: its library costs everybody else a tenth of a second.
        log: Screen = import_module("tunnel.cli.logging").log_screen(output)
        if not output.is_json:
            return log
        return BothScreens(NdjsonScreen(datetime.now, is_quiet=output.is_quiet, with_log=False), log)
    if output.is_json:
        return NdjsonScreen(datetime.now, is_quiet=output.is_quiet)
    if sys.stdout.isatty() and environment.get("TERM", "dumb") != "dumb":
        console = Console(no_color=bool(environment.get("NO_COLOR")) or None, highlight=False)
        return LiveScreen(f"tunnel {__version__}", console, is_quiet=output.is_quiet)
    return PlainScreen(datetime.now, is_quiet=output.is_quiet)


def run_on_screen(
    work: Work, output: Output, environment: Mapping[str, str], again: asyncio.Event | None = None
) -> ExitCode:
    """The exit code of `work`, which is shown as asked for, ended by signals, and told to a service manager."""
    manager = Manager(environment)
    screen = ManagedScreen(screen_for(output, environment), manager)

    async def watched(stop: asyncio.Event) -> Outcome[None, AgentEnd | ServerEnd]:
        async with anyio.create_task_group() as group:
            if manager.watchdog_seconds:
                group.start_soon(_say_alive, manager)
            ended = await work(screen, stop)
            group.cancel_scope.cancel()
        return ended

    try:
        ended = run_until_signal(watched, ENDING, again)
    finally:
        screen.close()
    return conclude(ended)


@final
class BothScreens:
    """Two screens that are shown the same. Finished after `close`."""

    def __init__(self, one: Screen, other: Screen) -> None:
        self._screens: Final = (one, other)

    def emit(self, event: Event) -> None:
        """Show one event on both."""
        for screen in self._screens:
            screen.emit(event)

    def hint(self, text: str) -> None:
        """Show a hint on both."""
        for screen in self._screens:
            screen.hint(text)

    def close(self) -> None:
        """Show what is still to be shown."""
        for screen in self._screens:
            screen.close()


@final
class ManagedScreen:
    """A screen whose service manager hears what it needs of the same events. Finished after `close`."""

    def __init__(self, screen: Screen, manager: Manager) -> None:
        self._screen: Final = screen
        self._manager: Final = manager

    def emit(self, event: Event) -> None:
        """Show one event, and tell the manager when it is one of the service as a whole."""
        self._screen.emit(event)
        match event:
            case ServerReady():
                self._manager.ready(f"serving {event.url_pattern}")
            case AgentReady():
                self._manager.ready(f"serving {event.url}")
            case Reloading():
                self._manager.reloading()
            case Reloaded():
                self._manager.ready(f"{event.workers} workers, reloaded")
            case NotReloaded():
                self._manager.ready(f"not reloaded: {event.reason}")
            case ShuttingDown():
                self._manager.stopping(event.grace_seconds + _STOP_SECONDS)
            case _:
                pass

    def hint(self, text: str) -> None:
        """Show a hint."""
        self._screen.hint(text)

    def close(self) -> None:
        """Show what is still to be shown."""
        self._screen.close()


async def _say_alive(manager: Manager) -> None:
    while True:
        manager.alive()
        await anyio.sleep(manager.watchdog_seconds)


def run_until_signal(
    work: Callable[[asyncio.Event], Awaitable[T]],
    ending: tuple[signal.Signals, ...] = ENDING,
    again: asyncio.Event | None = None,
) -> T | None:
    """What `work` returns. The first signal of `ending` sets its event; a second cuts it off, and gives None.

    With `again`, a hang-up sets that instead.
    """
    has_uvloop = find_spec("uvloop") is not None
    _spare_the_collector()
    return anyio.run(_until_signal, work, ending, again, backend_options={"use_uvloop": has_uvloop})


def _spare_the_collector() -> None:
    """Let it look seldom, and never at what is loaded by now: that stays, and connections leave no rings behind.

    With Python's own threshold of 700 objects it looked several times for each ten connections: a tenth of their time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_MAX)


async def _until_signal(
    work: Callable[[asyncio.Event], Awaitable[T]], ending: tuple[signal.Signals, ...], again: asyncio.Event | None
) -> T | None:
    stop = asyncio.Event()
    done: list[T] = []
    async with anyio.create_task_group() as group:
        group.start_soon(_watch_signals, stop, group.cancel_scope, ending, again)
        done.append(await work(stop))
        group.cancel_scope.cancel()
    return done[0] if done else None


async def _watch_signals(
    stop: asyncio.Event, scope: anyio.CancelScope, ending: tuple[signal.Signals, ...], again: asyncio.Event | None
) -> None:
    with anyio.open_signal_receiver(*ending) as signals:
        async for number in signals:
            if number == signal.SIGHUP and again is not None:
                again.set()
            elif stop.is_set():
                scope.cancel()
                return
            else:
                stop.set()
