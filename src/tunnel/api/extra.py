"""What a control process may have more than another: a part that is loaded where an operator wants it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Final, final

from fastapi import APIRouter

from tunnel.api.plane import Plane
from tunnel.core.base.outcome import Failure, Outcome, Success

NO_STRIPE: Final = "billing is asked for, and the package stripe is not installed: pip install 'tunnel[billing]'"


@final
@dataclass(frozen=True, slots=True)
class Extra:
    """Routes, a service beside them, and what is to be closed at the end."""

    name: str
    router: APIRouter
    run: Callable[[Plane], Awaitable[None]]
    close: Callable[[], Awaitable[None]]


def extras_of(plane: Plane) -> Outcome[tuple[Extra, ...], str]:
    """Those that the settings ask for; or why they cannot be had. Billing is imported here only."""
    if plane.settings.billing is None:
        return Success(())
    if find_spec("stripe") is None:
        return Failure(NO_STRIPE)
    begin: Callable[[Plane], Extra] = import_module("tunnel.api.billing.start").begin
    return Success((begin(plane),))
