"""Why a server did not start; the command line makes a sentence and an exit code of each."""

from dataclasses import dataclass
from typing import TypeAlias, final


@final
@dataclass(frozen=True, slots=True)
class CannotListen:
    """The system refused an address (exit 5)."""

    address: str
    detail: str


@final
@dataclass(frozen=True, slots=True)
class StateUnusable:
    """The state directory, a key or a certificate cannot be used (exit 2)."""

    what: str
    detail: str


@final
@dataclass(frozen=True, slots=True)
class WorkersUnable:
    """No worker could be started (exit 6)."""

    detail: str


ServerEnd: TypeAlias = CannotListen | StateUnusable | WorkersUnable
