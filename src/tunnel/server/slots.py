"""The listening sockets of a server of several workers. The supervisor holds them; workers come and go.

Each worker has sockets of its own for the same addresses (SO_REUSEPORT), and the system spreads connections over them.
Each has its own queue, too: a socket that is closed takes the connections in its queue with it. So none is ever closed
while the server runs, and every one is always some worker's.
"""

from socket import socket
from typing import Final, final

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.drive.listener import Place, bind, places_beside
from tunnel.server.doors import Doors, open_doors
from tunnel.server.end import CannotListen
from tunnel.server.settings import ServerSettings


@final
class Slots:
    """Finished after `close`."""

    def __init__(self, settings: ServerSettings, doors: Doors, *, is_ours: bool) -> None:
        self._public: Final = settings.public
        self._agents: Final = settings.agents
        self._doors: Final = [doors]
        self._is_ours: Final = is_ours
        """Not given by a service manager, which makes no second ones."""
        self._spread: list[Doors] = []

    def refusal(self, settings: ServerSettings) -> str:
        """Why these settings cannot be served by these sockets; "" when they can."""
        for what, now, asked in (
            ("public", self._public, settings.public),
            ("agents'", self._agents, settings.agents),
        ):
            if now != asked and self._is_ours:
                return f"the {what} address changed from {now} to {asked}: restart the server instead of reloading it"
        return ""

    def spread(self, workers: int) -> Outcome[list[Doors], CannotListen]:
        """The sockets of each of so many workers; those of workers that are no more go to others."""
        while self._is_ours and len(self._doors) < workers:
            made = self._another()
            if not isinstance(made, Success):
                return made
            self._doors.append(value_of(made))
        shared = [self._doors[slot::workers] or self._doors for slot in range(workers)]
        self._spread = [_together(doors) for doors in shared]
        return Success(self._spread)

    def of(self, slot: int) -> Doors:
        """The sockets of a worker, as they were spread last."""
        return self._spread[slot]

    def places(self) -> list[Place]:
        """Where visitors come in, for other ports; nowhere when sockets were given that are none of a network."""
        try:
            return places_beside(self._doors[0].public)
        except OSError:
            return []

    def close(self) -> None:
        """Close all of them."""
        for doors in self._doors:
            doors.close()

    def _another(self) -> Outcome[Doors, CannotListen]:
        first = self._doors[0]
        public = bind(places_beside(first.public), _port_of(first.public), reuse_port=True)
        if not isinstance(public, Success):
            return Failure(CannotListen(str(self._public), error_of(public)))
        agents = bind(places_beside(first.agents), _port_of(first.agents), reuse_port=True)
        if not isinstance(agents, Success):
            Doors(value_of(public), []).close()
            return Failure(CannotListen(str(self._agents), error_of(agents)))
        return Success(Doors(value_of(public), value_of(agents)))


async def open_slots(settings: ServerSettings, given: Doors | None) -> Outcome[Slots, CannotListen]:
    """The sockets of the first worker, from which those of the others are made; or those that were given, for all."""
    if given is not None:
        return Success(Slots(settings, given, is_ours=False))
    opened = await open_doors(settings, reuse_port=True)
    return Success(Slots(settings, value_of(opened), is_ours=True)) if isinstance(opened, Success) else opened


def _port_of(sockets: list[socket]) -> int:
    return int(sockets[0].getsockname()[1])


def _together(doors: list[Doors]) -> Doors:
    return Doors([each for door in doors for each in door.public], [each for door in doors for each in door.agents])
