"""Asking the agents of a worker that retires to dial again, spread over time.

All at once they would meet in the TLS handshakes of the workers that stay, which serve visitors meanwhile.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import anyio

from tunnel.core.base.limits import Limits

MOVES_AT_ONCE: Final = 16
"""Agents that are asked in one turn of the loop."""
_SHARE: Final = 0.25
"""Of the grace period, within which all are asked: what runs on their old links must finish behind it."""


class Movable(Protocol):
    """One agent's link, as far as this goes."""

    def announce(self, grace_seconds: float) -> None:
        """Ask the agent to dial again; until it has, this link serves on."""


def pause_for(agents: int, limits: Limits) -> float:
    """Seconds between two turns in which agents are asked."""
    return MOVES_AT_ONCE * min(1 / limits.moves_per_second, _SHARE * limits.grace_seconds / max(agents, 1))


async def ask_to_move(sessions: Sequence[Movable], limits: Limits) -> None:
    """Ask all of them; returns when the last was asked."""
    pause = pause_for(len(sessions), limits)
    for number, session in enumerate(sessions):
        if number and not number % MOVES_AT_ONCE:
            await anyio.sleep(pause)
        session.announce(limits.grace_seconds)
