"""What goes wrong in a world, and when: each kind by name, drawn from the seed, all of it over when asked to heal."""

import asyncio
import errno
import random
from typing import TYPE_CHECKING, Final, final

from tests.simulation.end import End
from tests.simulation.kernel import Kernel
from tests.simulation.sockets import System

if TYPE_CHECKING:
    from tests.simulation.parties import Agent

KINDS: Final = (
    "reset",
    "deafen",
    "stall",
    "part",
    "clock",
    "pause",
    "refuse",
    "accept",
    "visitor-reset",
    "visitor-stall",
    "visitor-deafen",
)


@final
class Faults:
    """Does harm between a server and its agents and visitors."""

    def __init__(
        self,
        kernel: Kernel,
        system: System,
        rng: random.Random,
        server: str,
        agents: "list[Agent]",
    ) -> None:
        self._kernel: Final = kernel
        self._system: Final = system
        self._random: Final = rng
        self._server: Final = server
        self._agents: Final = agents

    async def happen(self, kinds: tuple[str, ...], spread: float) -> None:
        """Each kind some times, within about `spread` seconds."""
        for _ in range(self._random.randint(1, 3)):
            for kind in kinds:
                await asyncio.sleep(self._random.random() * spread / max(len(kinds), 1))
                self._kernel.say(f"fault {kind}")
                await self._do(kind)

    def heal(self) -> None:
        """No harm any more: hosts reach each other, services take connections."""
        for agent in self._agents:
            self._kernel.heal(self._server, agent.host)
            agent.service.start()
        self._system.accept_errors.clear()
        for end in list(self._kernel.ends.values()):
            end.stalled_until = 0.0
            end.land()

    async def _do(self, kind: str) -> None:
        chance, kernel = self._random, self._kernel
        if kind.startswith("visitor-"):
            self._harm(kind.removeprefix("visitor-"), self._ends_of("10.0.2."))
        elif kind in {"reset", "deafen", "stall"}:
            self._harm(kind, self._ends_of("10.0.1."))
        elif kind == "part":
            agent = chance.choice(self._agents).host
            kernel.part(self._server, agent)
            await asyncio.sleep(chance.choice((0.5, 4.0, 20.0, 40.0)))
            kernel.heal(self._server, agent)
        elif kind == "clock":
            kernel.unix_offset += chance.choice((-86_400.0, -3.0, 5.0, 3600.0, 86_400.0))
        elif kind == "pause":
            seconds = chance.choice((0.5, 3.0, 12.0, 40.0))
            kernel.now += seconds
            kernel.paused += seconds
        elif kind == "refuse":
            service = chance.choice(self._agents).service
            service.refuse()
            await asyncio.sleep(chance.choice((0.01, 1.0, 5.0)))
            service.start()
        elif kind == "accept":
            errors = (errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
            self._system.accept_errors[self._server] = [chance.choice(errors) for _ in range(chance.randint(1, 4))]

    def _ends_of(self, others: str) -> list[End]:
        """Connections of the server with hosts that begin so."""
        return [
            end
            for end in self._kernel.ends.values()
            if end.dialled and end.peer_address[0] == self._server and end.address[0].startswith(others)
        ]

    def _harm(self, kind: str, ends: list[End]) -> None:
        if not ends:
            return
        end = self._random.choice(ends)
        if kind == "reset":
            end.sever()
        elif kind == "deafen":
            self._kernel.deafened.add(end.address[0])
            which = self._random.choice(("both", "here", "there"))
            end.is_deaf = end.is_deaf or which != "there"
            if end.peer is not None:
                end.peer.is_deaf = end.peer.is_deaf or which != "here"
        else:
            until = self._kernel.now + self._random.choice((0.1, 2.0, 7.0, 14.0, 30.0))
            for each in (end, end.peer):
                if each is not None and self._random.random() < 0.7:
                    each.stalled_until = until
