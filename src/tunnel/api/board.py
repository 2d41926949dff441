"""What each service of the control process last said of itself; `/readyz` and the dashboard are made of it."""

from dataclasses import dataclass
from typing import Final, final


@final
@dataclass(frozen=True, slots=True)
class Standing:
    """One service: whether it does its work, and in a few words without secrets how it stands."""

    service: str
    is_ready: bool
    detail: str


@final
class Board:
    """One line a service; lives as long as the control process. Services that never said anything are not on it."""

    def __init__(self) -> None:
        self._standings: Final[dict[str, Standing]] = {}

    def note(self, service: str, detail: str, *, is_ready: bool) -> None:
        """Put what a service says now in the place of what it said before."""
        self._standings[service] = Standing(service, is_ready, detail)

    def standings(self) -> tuple[Standing, ...]:
        """All of them, by name."""
        return tuple(sorted(self._standings.values(), key=lambda each: each.service))
