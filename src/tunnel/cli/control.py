"""The program of the control process: a child of a server (`python -m tunnel.cli.control`), or run by hand.

A server's child is told what to do by its environment, tells its events as lines of JSON, and ends with its standard
input: when the server is gone, however it went.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NoReturn, final

import anyio

from tunnel.api.billing.settings import billing_settings
from tunnel.api.process import DatabaseUnusable, run_control
from tunnel.api.settings import ControlSettings
from tunnel.cli.commands import ControlCommand
from tunnel.cli.exits import ExitCode
from tunnel.cli.lines import LineWriter
from tunnel.cli.places import listener_of
from tunnel.cli.report import conclude, refuse, say
from tunnel.cli.running import run_on_screen, run_until_signal
from tunnel.cli.settings import control_settings, output_of_server
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.observe.escapes import escape_stories, handler_escapes_total
from tunnel.observe.events import Event, EventSink, Warned
from tunnel.observe.wire import line_of_event
from tunnel.server.end import ServerEnd, StateUnusable
from tunnel.server.state import describe, signing_key
from tunnel.server.steward import BEAT_SECONDS, CONTROL_VARIABLE, mandate_of

_LOST: Final = "tunnel: only a server starts this; by hand it is `tunnel control --state DIR`"


def main() -> NoReturn:
    """Be a server's child, and end the process with its exit code."""
    sys.exit(_run_as_child(os.environ))


def run_by_hand(command: ControlCommand, environment: Mapping[str, str]) -> ExitCode:
    """A control process until a signal, its events on a screen."""
    asked = control_settings(command, environment)
    if not isinstance(asked, Success):
        return refuse(error_of(asked))
    state, choice = value_of(asked)
    settings = ControlSettings(state, choice.api, choice.database, proxies=choice.proxies)
    return run_on_screen(
        lambda screen, stop: _control(settings, screen, stop),
        output_of_server(command),
        environment,
    )


def _run_as_child(environment: Mapping[str, str]) -> ExitCode:
    for number in (signal.SIGINT, signal.SIGHUP):  # the server decides what these mean
        signal.signal(number, signal.SIG_IGN)
    mandate = mandate_of(environment.get(CONTROL_VARIABLE, ""))
    at = None if mandate is None else listener_of(mandate.api)
    if mandate is None or not isinstance(at, Success):
        say(_LOST)
        return ExitCode.USAGE
    told, address = mandate, value_of(at)
    events = _Pipe()

    async def work(stop: asyncio.Event) -> Outcome[None, ServerEnd]:
        async with anyio.create_task_group() as group:
            group.start_soon(events.beat)
            group.start_soon(_end_with_input, stop)
            asked = ControlSettings(told.state, address, told.database, proxies=told.proxies)
            ended = await _control(asked, events, stop)
            group.cancel_scope.cancel()
        return ended

    try:
        ended = run_until_signal(work, (signal.SIGTERM,))
    finally:
        events.close()
    if handler_escapes_total():
        say("internal error; please report this:\n" + "\n".join(escape_stories()))
        return ExitCode.INTERNAL
    return conclude(ended)


async def _control(settings: ControlSettings, events: EventSink, stop: asyncio.Event) -> Outcome[None, ServerEnd]:
    key = signing_key(settings.state)
    if not isinstance(key, Success):
        return Failure(StateUnusable(str(settings.state), describe(error_of(key))))
    billing = billing_settings(os.environ)
    if not isinstance(billing, Success):
        events.emit(Warned(f"nothing is billed: {error_of(billing)}"))
    asked = value_of(billing) if isinstance(billing, Success) else None
    whole = replace(settings, signing_key=value_of(key).private, billing=asked)
    ended = await run_control(whole, events, stop)
    return ended if isinstance(ended, Success) else Failure(_end_of(error_of(ended)))


def _end_of(end: DatabaseUnusable) -> StateUnusable:
    return StateUnusable("the database", end.detail)


async def _end_with_input(stop: asyncio.Event) -> None:
    """Set `stop` once standard input has ended: nobody else has its other end but the server."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while await reader.read(1024):
            pass
        stop.set()
    finally:
        transport.close()


@final
class _Pipe:
    """Events on their way to the server, and a beat that says that this process lives."""

    def __init__(self) -> None:
        self._out: Final = LineWriter(sys.stdout.fileno(), _left_out)

    def emit(self, event: Event) -> None:
        """Send one event."""
        self._out.write(line_of_event(event))

    async def beat(self) -> None:
        """Send an empty line now and then, from the event loop: one that hangs sends none."""
        while True:
            self._out.write("")
            await anyio.sleep(BEAT_SECONDS)

    def close(self) -> None:
        """Send what waits."""
        self._out.close()


def _left_out(count: int) -> str:
    return line_of_event(Warned(f"{count} events of the control process left out, as nobody read them in time"))


if __name__ == "__main__":
    main()
