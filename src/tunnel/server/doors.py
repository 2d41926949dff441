"""Where a server listens: sockets bound by itself, or given to it by whoever started it."""

import socket
from dataclasses import dataclass
from typing import final

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.drive.listener import bind, places_of
from tunnel.server.end import CannotListen
from tunnel.server.settings import ServerSettings


@final
@dataclass(frozen=True, slots=True)
class Doors:
    """Listening sockets, one or more for each of the two addresses of a server; each has one port."""

    public: list[socket.socket]
    agents: list[socket.socket]

    def close(self) -> None:
        """Close those that nobody serves yet."""
        for each in (*self.public, *self.agents):
            each.close()


async def open_doors(settings: ServerSettings, *, reuse_port: bool = False) -> Outcome[Doors, CannotListen]:
    """Both doors, or which of them could not be opened; then none is left open.

    Nothing is awaited between the first socket and the return, so that no cancellation can lose one.
    """
    at_agents, at_public = await places_of(settings.agents), await places_of(settings.public)
    if not isinstance(at_agents, Success):
        return Failure(CannotListen(str(settings.agents), error_of(at_agents)))
    if not isinstance(at_public, Success):
        return Failure(CannotListen(str(settings.public), error_of(at_public)))
    agents = bind(value_of(at_agents), settings.agents.port, reuse_port=reuse_port)
    if not isinstance(agents, Success):
        return Failure(CannotListen(str(settings.agents), error_of(agents)))
    public = bind(value_of(at_public), settings.public.port, reuse_port=reuse_port)
    if not isinstance(public, Success):
        Doors([], value_of(agents)).close()
        return Failure(CannotListen(str(settings.public), error_of(public)))
    return Success(Doors(value_of(public), value_of(agents)))
