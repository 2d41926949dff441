"""Events as lines of JSON, for the way from a worker to its supervisor."""

import dataclasses
import json
from collections.abc import Callable
from typing import Final, get_args

from tunnel.observe.events import Event

_KINDS: Final[dict[str, Callable[..., Event]]] = {kind.__name__: kind for kind in get_args(Event)}


def line_of_event(event: Event) -> str:
    """One line, without its end."""
    return json.dumps([type(event).__name__, dataclasses.asdict(event)], separators=(",", ":"))


def event_of_line(line: bytes) -> Event | None:
    """The event, or None when the line holds none."""
    try:
        name, fields = json.loads(line)
        return _KINDS[name](**{key: _frozen(value) for key, value in fields.items()})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
