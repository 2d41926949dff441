"""One JSON object a line on standard output, for programs; the first is `{"event":"ready","url":...}` (OPS-CLI-006).

Standard error gets the plain lines of a log, among them what happens before anything is ready.
"""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import final

from tunnel.cli.lines import LineWriter
from tunnel.cli.plain import left_out_line
from tunnel.cli.words import line_of, object_of, told_by
from tunnel.observe.events import AgentReady, Event, ExchangeDone, ServerReady


def _left_out_object(count: int) -> str:
    return json.dumps({"event": "left_out", "lines": count})


@final
class NdjsonScreen:
    """Objects from the first readiness on, log lines always unless there is another log; finished after `close`."""

    def __init__(self, clock: Callable[[], datetime], *, is_quiet: bool, with_log: bool = True) -> None:
        self._clock = clock
        self._is_quiet = is_quiet
        self._was_ready = False
        self._out = LineWriter(sys.stdout.fileno(), _left_out_object)
        self._log = LineWriter(sys.stderr.fileno(), left_out_line) if with_log else None

    def emit(self, event: Event) -> None:
        """Show one event."""
        inner = told_by(event)
        if isinstance(inner, ExchangeDone):
            if not self._is_quiet:
                self._write(object_of(event))
            return
        self._was_ready = self._was_ready or isinstance(inner, (ServerReady, AgentReady))
        if self._log is not None:
            self._log.write(f"{self._clock():%H:%M:%S} {line_of(event)}")
        self._write(object_of(event))

    def hint(self, text: str) -> None:
        """Tell a hint as an object like any event."""
        self._write({"event": "hint", "text": text})

    def close(self) -> None:
        """Write what waits."""
        self._out.close()
        if self._log is not None:
            self._log.close()

    def _write(self, told: dict[str, object]) -> None:
        if self._was_ready:
            stamped = {**told, "time": self._clock().astimezone().isoformat(timespec="milliseconds")}
            self._out.write(json.dumps(stamped, separators=(",", ":")))
