"""Counts exceptions that escaped into a callback of the event loop; zero is the promise of the whole product.

The count is per process. Every test asserts that it did not move (RELAY-GUARD-001), and it is exported as
`handler_escapes_total`.
"""

import traceback
from dataclasses import dataclass, field
from typing import Final, final

STORIES_KEPT: Final = 16
"""Escapes remembered with their traceback; enough to find the cause, bounded because a cause may repeat."""


@final
@dataclass(slots=True)
class _Escapes:
    total: int = 0
    stories: list[str] = field(default_factory=list)


_escapes: Final = _Escapes()


def note_escape(where: str, cause: BaseException) -> None:
    """Count one escape out of `where` and keep its story while there is room."""
    _escapes.total += 1
    if len(_escapes.stories) < STORIES_KEPT:
        _escapes.stories.append(f"{where}: {''.join(traceback.format_exception(cause))}")


def handler_escapes_total() -> int:
    """How many exceptions reached a guard since the process began."""
    return _escapes.total


def escape_stories() -> tuple[str, ...]:
    """Tracebacks of the first escapes, each led by the callback it came out of."""
    return tuple(_escapes.stories)
