"""Plain lines: what a person or a log wants when standard output is no terminal.

Readiness and requests go to standard output, everything about the state of things to standard error.
"""

import sys
from collections.abc import Callable
from datetime import datetime
from typing import final

from tunnel.cli.lines import LineWriter
from tunnel.cli.words import line_of, printable, told_by
from tunnel.observe.events import AgentReady, Event, ExchangeDone, ServerReady


def left_out_line(count: int) -> str:
    """What stands where lines are missing."""
    return f"... {count} lines left out, as nobody read them in time"


@final
class PlainScreen:
    """One line an event, the time of day in front; finished after `close`."""

    def __init__(self, clock: Callable[[], datetime], *, is_quiet: bool) -> None:
        self._clock = clock
        self._is_quiet = is_quiet
        self._out = LineWriter(sys.stdout.fileno(), left_out_line)
        self._log = LineWriter(sys.stderr.fileno(), left_out_line)

    def emit(self, event: Event) -> None:
        """Show one event."""
        inner = told_by(event)
        if self._is_quiet and isinstance(inner, ExchangeDone):
            return
        writer = self._out if isinstance(inner, (ServerReady, AgentReady, ExchangeDone)) else self._log
        writer.write(f"{self._clock():%H:%M:%S} {line_of(event)}")

    def hint(self, text: str) -> None:
        """Show a hint as a line of its own."""
        self._out.write(printable(text))

    def close(self) -> None:
        """Write what waits."""
        self._out.close()
        self._log.close()
