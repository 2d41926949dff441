"""The running agent: its links, each always being restored, and local connections behind them."""

import asyncio
import ssl
from typing import Final, final

import anyio

from tunnel.agent.checking import keep_checking
from tunnel.agent.crew import Crew
from tunnel.agent.end import AgentEnd, SettingsUnusable
from tunnel.agent.local import LocalGround
from tunnel.agent.settings import AgentSettings
from tunnel.agent.slot import Slot
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.drive.descriptors import connections_possible
from tunnel.drive.keylog import log_keys, warning_of
from tunnel.drive.tls import TlsUnusable, agent_context, local_context
from tunnel.observe.events import EventSink, ShuttingDown, Warned

_FAREWELL_SECONDS: Final = 0.5
"""What a server has to answer our GOAWAY: one round trip. Without that, a visitor's stream that crossed it on the way
would be cut with the link instead of being refused, and the server could not give the request to another agent."""
_LAST_WORDS_SECONDS: Final = 0.2
"""What the very last bytes have to leave the sockets, once nobody waits for an answer any more."""


async def run_agent(settings: AgentSettings, events: EventSink, stop: asyncio.Event) -> Outcome[None, AgentEnd]:
    """Expose the local service until `stop` is set (success) or going on makes no sense (failure).

    Stopped, it lets running exchanges finish within the grace period; cancelled, at any moment, it ends at once. Either
    way no socket, task or timer of it is left behind.
    """
    trust = agent_context(settings.ca)
    if not isinstance(trust, Success):
        return Failure(_unusable(error_of(trust)))
    local: ssl.SSLContext | None = None
    if settings.local.tls:
        made = local_context(settings.local.ca)
        if not isinstance(made, Success):
            return Failure(_unusable(error_of(made)))
        local = value_of(made)
    if settings.keylog is not None:
        for context in (value_of(trust), local):
            logged = Success(None) if context is None else log_keys(context, settings.keylog)
            if not isinstance(logged, Success):
                return Failure(_unusable(error_of(logged)))
        events.emit(Warned(warning_of(settings.keylog)))
    connections_possible()
    ground = LocalGround(settings, local, events, asyncio.get_running_loop())
    agent = _Agent(Crew(settings, ground, value_of(trust), stop))
    try:
        return await agent.run()
    finally:
        with anyio.CancelScope(shield=True):
            await agent.hang_up()


@final
class _Agent:
    """All links of one agent, and the checks of its local service."""

    def __init__(self, crew: Crew) -> None:
        self._crew: Final = crew
        self._end: AgentEnd | None = None
        self._has_left = False

    async def run(self) -> Outcome[None, AgentEnd]:
        """Keep all links up until the agent stops or one of them says that going on makes no sense."""
        crew = self._crew
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._leave_when_stopped)
            if crew.settings.checks is not None:
                tasks.start_soon(keep_checking, crew, crew.settings.checks)
            async with anyio.create_task_group() as links:
                for number in range(crew.settings.links):
                    links.start_soon(self._keep, Slot(crew, number), links.cancel_scope)
            tasks.cancel_scope.cancel()
        if self._end is not None:
            return Failure(self._end)
        await self._finish()
        return Success(None)

    async def hang_up(self) -> None:
        """End everything now, and return when no socket and no task is left; the last words get a moment to leave."""
        for uplink in self._crew.links:
            uplink.link.close("the agent shut down")
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await self._all_gone()
        for uplink in self._crew.links:
            uplink.abort_session()
        for pipe in list(self._crew.ground.pipes):
            pipe.abort_session()
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await self._all_gone()

    async def _keep(self, slot: Slot, links: anyio.CancelScope) -> None:
        end = await slot.run()
        if end is not None:
            self._end = self._end or end
            links.cancel()

    async def _leave_when_stopped(self) -> None:
        """Take no new visitors from the moment on that we are asked to stop."""
        await self._crew.stop.wait()
        self._leave()

    def _leave(self) -> None:
        if not self._has_left:
            self._has_left = True
            self._crew.ground.events.emit(ShuttingDown(self._crew.settings.limits.grace_seconds))
            for uplink in self._crew.links:
                uplink.leave()

    async def _finish(self) -> None:
        """Let running exchanges finish within the grace period."""
        self._leave()
        grace = self._crew.settings.limits.grace_seconds
        with anyio.move_on_after(min(grace, _FAREWELL_SECONDS)):
            for uplink in self._crew.links:
                await uplink.farewell()
        with anyio.move_on_after(grace):
            for uplink in self._crew.links:
                await uplink.no_visitors()

    async def _all_gone(self) -> None:
        for uplink in self._crew.links:
            await uplink.gone.wait()
        await self._crew.ground.no_pipes()


def _unusable(error: TlsUnusable) -> SettingsUnusable:
    return SettingsUnusable(error.path, error.detail)
