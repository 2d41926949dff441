"""Events as structured log lines, by structlog: one for each exchange, each session that ends, and all else (OBS-LOG).

What a line may hold is decided here, field by field: no header, no body, no token, and of a target its path alone, as
queries hold keys, codes and tokens.
"""

import dataclasses
import re
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from enum import Enum
from typing import Final, final

import structlog

from tunnel.observe.events import (
    ControlEnded,
    Event,
    ExchangeDone,
    FromWorker,
    LinkRefused,
    LocalUnreachable,
    NotReloaded,
    Warned,
    WorkerEnded,
)
from tunnel.observe.targets import path_of

_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ERRORS: Final = (NotReloaded,)
_WARNINGS: Final = (ControlEnded, LinkRefused, LocalUnreachable, Warned)


@final
class LogFormat(Enum):
    """How a line is written."""

    JSON = "json"
    CONSOLE = "console"


@final
class EventLog:
    """A sink of events whose lines go to `write`, each without its end; `clock` has a zone."""

    def __init__(self, write: Callable[[str], None], form: LogFormat, clock: Callable[[], datetime]) -> None:
        self._clock: Final = clock
        renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(separators=(",", ":"))
        if form is LogFormat.CONSOLE:
            plain = structlog.dev.ConsoleRenderer(colors=False, timestamp_key="time", pad_event_to=0, sort_keys=False)
            renderer = plain
        self._log: Final[structlog.typing.FilteringBoundLogger] = structlog.wrap_logger(
            _Lines(write),
            processors=[structlog.processors.add_log_level, self._stamp, renderer],
            wrapper_class=structlog.make_filtering_bound_logger(0),
            context_class=dict,
        )

    def emit(self, event: Event) -> None:
        """Write one line."""
        worker: dict[str, object] = {}
        if isinstance(event, FromWorker):
            worker, event = {"worker": event.worker}, event.event
        name, fields = name_of(event), {**fields_of(event), **worker}
        if isinstance(event, _ERRORS) or (isinstance(event, WorkerEnded) and not event.expected):
            self._log.error(name, **fields)
        elif isinstance(event, _WARNINGS):
            self._log.warning(name, **fields)
        else:
            self._log.info(name, **fields)

    def _stamp(self, logger: object, method: str, fields: MutableMapping[str, object]) -> MutableMapping[str, object]:
        """Time and level go first, so that columns of lines stand below each other."""
        stamp = self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"time": stamp, "level": fields.pop("level"), "event": fields.pop("event"), **fields}


@final
class _Lines:
    """What structlog takes for a logger: one method a level, called with a whole line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.info = self.warning = self.error = self.msg = write


def name_of(event: Event) -> str:
    """What kind of event it is: `exchange_done`, `session_ended` ..."""
    return _HUMP.sub("_", type(event).__name__).lower()


def fields_of(event: Event) -> dict[str, object]:
    """What a line says of an event."""
    fields = _exchange(event) if isinstance(event, ExchangeDone) else dataclasses.asdict(event)
    return {name: _plain(value) for name, value in fields.items()}


def _exchange(event: ExchangeDone) -> dict[str, object]:
    before = event.edge_ms + event.link_ms + event.local_ms
    return {
        "request_id": event.request_id,
        "outcome": event.outcome,
        "status": event.status,
        "name": event.name,
        "method": event.method,
        "path": path_of(event.target),
        "ms": event.milliseconds,
        "edge_ms": event.edge_ms,
        "link_ms": event.link_ms,
        "local_ms": event.local_ms,
        "body_ms": max(event.milliseconds - before, 0.0),
        "bytes_up": event.bytes_up,
        "bytes_down": event.bytes_down,
        "peer": event.peer,
        "session": event.session,
    }


def _plain(value: object) -> object:
    """Text of a peer without what moves a cursor or begins a line (CWE-117, CWE-150)."""
    if isinstance(value, float):
        return round(value, 3)
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join([character if character.isprintable() else "?" for character in value])
