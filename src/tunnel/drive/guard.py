"""The last resort at every callback the event loop calls: an exception ends that one session, never the process.

Nothing should ever arrive here; `handler_escapes_total` counts what does, and every test asserts zero.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from tunnel.observe.escapes import note_escape


class Abortable(Protocol):
    """A session that can be ended at once from outside."""

    def abort_session(self) -> None:
        """Drop the connection and everything it holds; must not raise."""


S = TypeVar("S", bound=Abortable)
P = ParamSpec("P")
R = TypeVar("R")


def guarded(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R | None]:
    """A callback method that ends its own session when an exception comes out of it, and counts the escape."""
    where = method.__qualname__

    @wraps(method)
    def guard(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return method(self, *args, **kwargs)
        except Exception as cause:  # noqa: BLE001 - the one place where anything at all is caught
            note_escape(where, cause)
            self.abort_session()
            return None

    return guard
