"""The program of a worker process: `python -m tunnel.cli.worker` with the arguments of `tunnel server`.

Only a supervisor starts it. It reads arguments and config file anew, so a reload is nothing but new workers. What it
has to say for the operator it writes to standard output as lines of JSON, which the supervisor reads.
"""

import asyncio
import dataclasses
import os
import signal
import sys
from typing import NoReturn, final

from tunnel.cli.arguments import read_arguments
from tunnel.cli.commands import ServerCommand
from tunnel.cli.exits import ExitCode
from tunnel.cli.lines import LineWriter
from tunnel.cli.report import conclude, refuse, say
from tunnel.cli.running import run_until_signal
from tunnel.cli.settings import server_settings
from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.observe.escapes import escape_stories, handler_escapes_total
from tunnel.observe.events import Event, ExchangeDone, Warned
from tunnel.observe.wire import line_of_event
from tunnel.server.end import ServerEnd
from tunnel.server.run import serve
from tunnel.server.worker import mandate_of, share_of


def main() -> NoReturn:
    """Serve as a worker and end the process with its exit code."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> ExitCode:
    for number in (signal.SIGINT, signal.SIGHUP):  # the supervisor decides what these mean
        signal.signal(number, signal.SIG_IGN)
    given = mandate_of(os.environ)
    command = read_arguments(arguments)
    if not isinstance(given, Success) or not isinstance(command, ServerCommand):
        say("tunnel: only a supervisor starts workers; run `tunnel server --workers N`")
        return ExitCode.USAGE
    settings = server_settings(command)
    if not isinstance(settings, Success):
        return refuse(error_of(settings))
    mandate, asked = value_of(given), value_of(settings)
    shared = dataclasses.replace(asked, limits=share_of(asked.limits, mandate.of))
    events = _Pipe(is_quiet=command.output.is_quiet)

    async def work(stop: asyncio.Event) -> Outcome[None, ServerEnd]:
        return await serve(shared, events, stop, mandate.doors, mandate)

    try:
        ended = run_until_signal(work, (signal.SIGTERM,))
    finally:
        events.close()
    if handler_escapes_total():
        say("internal error: the last guard had to end a session; please report this:\n" + "\n".join(escape_stories()))
        return ExitCode.INTERNAL
    return conclude(ended)


@final
class _Pipe:
    """Events on their way to the supervisor; beyond a bound they are left out, and counted, as for any slow reader."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._out = LineWriter(sys.stdout.fileno(), _left_out)

    def emit(self, event: Event) -> None:
        """Send one event."""
        if not (self._is_quiet and isinstance(event, ExchangeDone)):
            self._out.write(line_of_event(event))

    def close(self) -> None:
        """Send what waits."""
        self._out.close()


def _left_out(count: int) -> str:
    return line_of_event(Warned(f"{count} events of this worker left out, as nobody read them in time"))


if __name__ == "__main__":
    main()
