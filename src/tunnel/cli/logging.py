"""A screen that is a log: one structured line an event, on standard error."""

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Final, final

from tunnel.cli.commands import Output
from tunnel.cli.lines import LineWriter
from tunnel.cli.plain import left_out_line
from tunnel.cli.words import told_by
from tunnel.observe.events import Event, ExchangeDone, Warned
from tunnel.observe.logs import EventLog, LogFormat


def log_screen(output: Output) -> "LogScreen":
    """The log that was asked for."""
    return LogScreen(LogFormat(output.log_format or LogFormat.JSON), datetime.now, is_quiet=output.is_quiet)


@final
class LogScreen:
    """Finished after `close`. `is_quiet` leaves single exchanges out."""

    def __init__(self, form: LogFormat, clock: Callable[[], datetime], *, is_quiet: bool) -> None:
        self._is_quiet: Final = is_quiet
        self._out: Final = LineWriter(sys.stderr.fileno(), self._left_out)
        self._log: Final = EventLog(self._out.write, form, clock)
        lines: list[str] = []
        self._lost_lines: Final = lines
        self._lost: Final = EventLog(lines.append, form, clock)

    def emit(self, event: Event) -> None:
        """Log one event."""
        if not (self._is_quiet and isinstance(told_by(event), ExchangeDone)):
            self._log.emit(event)

    def hint(self, text: str) -> None:
        """Nothing: a log is read by programs, and later."""

    def close(self) -> None:
        """Write what waits."""
        self._out.close()

    def _left_out(self, count: int) -> str:
        self._lost.emit(Warned(left_out_line(count)))
        return self._lost_lines.pop()
