"""What all links of one agent share: who it is, the name it got, and how many links are up."""

import asyncio
import ssl
from math import ceil
from time import monotonic
from typing import Final, final

from tunnel.agent.end import ExposureOver
from tunnel.agent.local import LocalGround
from tunnel.agent.settings import AgentSettings
from tunnel.agent.uplink import Uplink
from tunnel.core.link.messages import INSTANCE_BYTES, Granted
from tunnel.drive.clock import SystemEntropy
from tunnel.observe.events import AgentReady, LinkLost, LinkUp

_CHANCE_BYTES: Final = 4


@final
class Crew:
    """The links of one agent, as each of them sees the others."""

    def __init__(
        self, settings: AgentSettings, ground: LocalGround, trust: ssl.SSLContext, stop: asyncio.Event
    ) -> None:
        self._entropy: Final = SystemEntropy()
        self.settings: Final = settings
        self.ground: Final = ground
        self.trust: Final = trust
        self.stop: Final = stop
        self.instance: Final = self._entropy.random_bytes(INSTANCE_BYTES)
        self.name = settings.name
        """The name asked for; once one was granted, that one."""
        self.was_granted: Final = asyncio.Event()
        self._links: list[Uplink] = []
        self._up: Final[set[Uplink]] = set()
        self._is_down = False
        self._ends_at: float | None = None
        """When the exposure is over, on the monotonic clock, once it was granted."""
        self._detail = ""

    @property
    def links(self) -> list[Uplink]:
        """All links whose connection is not gone yet, among them those that only finish what runs."""
        return self._links

    def chance(self) -> float:
        """A random number from 0 to 1."""
        return int.from_bytes(self._entropy.random_bytes(_CHANCE_BYTES)) / (1 << (8 * _CHANCE_BYTES))

    def new_link(self, number: int) -> Uplink:
        """A link that is to be dialled."""
        uplink = Uplink(self.settings, self.ground, self.instance, self.name, number, self)
        self._links = [old for old in self._links if not old.gone.is_set()]
        self._links.append(uplink)
        return uplink

    def on_granted(self, uplink: Uplink, granted: Granted) -> None:
        """A link answers for the name from now on."""
        self.name = granted.name
        if granted.seconds_left and self._ends_at is None:
            self._ends_at = monotonic() + granted.seconds_left
        is_first = not self._up
        self._up.add(uplink)
        self.was_granted.set()
        if is_first:
            self.ground.events.emit(AgentReady(granted.url, granted.name, granted.epoch, granted.seconds_left))
        if self.settings.links > 1:
            self.ground.events.emit(LinkUp(uplink.number + 1, len(self._up), self.settings.links))
        if self._is_down:
            uplink.tell_health(is_up=False, detail=self._detail)

    def seconds_left(self) -> int:
        """Of the exposure: a link that is dialled anew begins no new time."""
        if self._ends_at is None:
            return self.settings.ttl_seconds
        return max(1, ceil(self._ends_at - monotonic()))

    def over(self) -> ExposureOver | None:
        """Why there is nothing to dial for any more, when the time went by while no link was up."""
        if self._ends_at is None or monotonic() < self._ends_at:
            return None
        return ExposureOver(self.name, "its time went by while there was no link")

    def on_left(self, uplink: Uplink, reason: str, retry_seconds: float) -> None:
        """A link takes nothing new any more, or did not come to stand."""
        self._up.discard(uplink)
        self.ground.events.emit(LinkLost(reason, retry_seconds, len(self._up), self.settings.links))

    def on_checked(self, *, is_up: bool, detail: str) -> None:
        """The local service passes its checks, or does so no more: tell it on every link."""
        self._is_down, self._detail = not is_up, detail
        for uplink in self._up:
            uplink.tell_health(is_up=is_up, detail=detail)
