"""The service that reads the data plane's counters for the plots of the overview, every five seconds."""

import asyncio
from typing import NoReturn

from tunnel.api.pages.feed_view import reading_of
from tunnel.api.pages.traffic import STEP_SECONDS
from tunnel.api.plane import Plane
from tunnel.core.base.outcome import Success, value_of


async def run(plane: Plane) -> NoReturn:
    """Read for ever; a data plane that does not answer leaves a gap."""
    while True:
        told = await reading_of(plane.feed, plane.clock.now())
        if isinstance(told, Success):
            plane.traffic.take(value_of(told))
        else:
            plane.traffic.lose()
        await asyncio.sleep(STEP_SECONDS)
