"""The service that signs checkpoints of the audit trail at intervals, for as long as the control process runs."""

from typing import Final

import anyio

from tunnel.api.keeper import Keeper, open_keeper
from tunnel.api.plane import Plane
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.observe.events import Warned

NAME: Final = "checkpoints"
_ROUND_SECONDS: Final = 5.0


async def run(plane: Plane) -> None:
    """Follow the trail until cancelled; what is wrong with it is on the board, and told once."""
    opened = await open_keeper(plane.store, plane.state)
    if not isinstance(opened, Success):
        plane.board.note(NAME, error_of(opened), is_ready=False)
        plane.events.emit(Warned(error_of(opened)))
        return
    keeper, is_told = value_of(opened), False
    while True:
        await take_round(plane, keeper)
        if keeper.trouble and not is_told:
            is_told = True
            plane.events.emit(Warned(keeper.trouble))
        await anyio.sleep(_ROUND_SECONDS)


async def take_round(plane: Plane, keeper: Keeper) -> None:
    """Look at what is new, sign it when due, and say on the board how the trail stands."""
    followed = await keeper.follow(plane.clock.unix(), at_once=False)
    if isinstance(followed, Success):
        kept = keeper.kept
        signed = "none is signed yet" if kept is None else f"signed up to {kept.number}"
        plane.board.note(NAME, f"{keeper.followed.number} entries followed, {signed}", is_ready=True)
    else:
        plane.board.note(NAME, error_of(followed), is_ready=False)
