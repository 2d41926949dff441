"""The running agent: one uplink that is always being restored, and local connections behind it."""

import asyncio
import ssl
from typing import Final, final

import anyio

from tunnel.agent.backoff import Backoff
from tunnel.agent.end import AgentEnd, ServerUntrusted, SettingsUnusable
from tunnel.agent.local import LocalGround
from tunnel.agent.settings import AgentSettings
from tunnel.agent.uplink import Uplink
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.messages import INSTANCE_BYTES
from tunnel.drive.clock import SystemEntropy
from tunnel.drive.tls import TlsUnusable, agent_context, local_context, speaks_tunnel
from tunnel.observe.events import EventSink, LinkLost, ShuttingDown

_CHANCE_BYTES: Final = 4
_LAST_WORDS_SECONDS: Final = 0.2


async def run_agent(settings: AgentSettings, events: EventSink, stop: asyncio.Event) -> Outcome[None, AgentEnd]:
    """Expose the local service until `stop` is set (success) or going on makes no sense (failure)."""
    trust = agent_context(settings.ca)
    if not isinstance(trust, Success):
        return Failure(_unusable(error_of(trust)))
    local: ssl.SSLContext | None = None
    if settings.local.tls:
        made = local_context(settings.local.ca)
        if not isinstance(made, Success):
            return Failure(_unusable(error_of(made)))
        local = value_of(made)
    ground = LocalGround(settings, local, events, asyncio.get_running_loop())
    agent = _Agent(settings, ground, value_of(trust), stop)
    return await agent.run()


@final
class _Agent:
    """The reconnect loop. A successor is dialled as soon as the current link leaves; the old one may finish."""

    def __init__(
        self, settings: AgentSettings, ground: LocalGround, trust: ssl.SSLContext, stop: asyncio.Event
    ) -> None:
        entropy = SystemEntropy()
        self._settings: Final = settings
        self._ground: Final = ground
        self._trust: Final = trust
        self._stop: Final = stop
        self._entropy: Final = entropy
        self._instance: Final = entropy.random_bytes(INSTANCE_BYTES)
        self._backoff: Final = Backoff(settings.limits)
        self._name = settings.name
        self._links: list[Uplink] = []

    async def run(self) -> Outcome[None, AgentEnd]:
        """Dial, live with the link until it leaves, pause, dial again."""
        while not self._stop.is_set():
            uplink = Uplink(self._settings, self._ground, self._instance, self._name)
            dialled = await self._dial(uplink)
            if not isinstance(dialled, Success):
                reason = error_of(dialled)
                if isinstance(reason, ServerUntrusted):
                    return Failure(reason)
            else:
                reason = await self._live(uplink)
                if uplink.end is not None:
                    return Failure(uplink.end)
            if not self._stop.is_set():
                await self._pause(reason)
        await self._shut_down()
        return Success(None)

    async def _dial(self, uplink: Uplink) -> Outcome[None, str | ServerUntrusted]:
        server = self._settings.server
        try:
            async with asyncio.timeout(self._settings.limits.handshake_seconds_max):
                transport, _link = await self._ground.loop.create_connection(
                    lambda: uplink.link, server.host, server.port, ssl=self._trust, server_hostname=server.host
                )
        except TimeoutError:
            return Failure(f"{server} did not answer within {self._settings.limits.handshake_seconds_max:g} s")
        except ssl.SSLCertVerificationError as cause:
            return Failure(ServerUntrusted(str(server), cause.verify_message or str(cause)))
        except ssl.SSLError as cause:
            return Failure(f"TLS with {server} failed: {cause.reason or cause}")
        except OSError as cause:
            return Failure(f"{server}: {cause.strerror or cause}")
        if not speaks_tunnel(transport.get_extra_info("ssl_object")):
            uplink.link.abort_session()
            return Failure(ServerUntrusted(str(server), "it does not speak tunnel/1; is this the agents' port?"))
        return Success(None)

    async def _live(self, uplink: Uplink) -> str:
        """Wait until the link leaves; answers why, for people."""
        self._links = [old for old in self._links if not old.closed.is_set()]
        self._links.append(uplink)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_after, self._stop, tasks.cancel_scope)
            await uplink.leaving.wait()
            tasks.cancel_scope.cancel()
        if uplink.granted_name:
            self._name = uplink.granted_name
            self._backoff.succeeded()
        return uplink.reason or "the server asked us to reconnect"

    async def _pause(self, reason: str) -> None:
        chance = int.from_bytes(self._entropy.random_bytes(_CHANCE_BYTES)) / (1 << (8 * _CHANCE_BYTES))
        seconds = self._backoff.pause(chance)
        self._ground.events.emit(LinkLost(reason, seconds))
        with anyio.move_on_after(seconds):
            await self._stop.wait()

    async def _shut_down(self) -> None:
        """Take no new visitors, let running exchanges finish within the grace period, then end the links."""
        links = [uplink for uplink in self._links if not uplink.closed.is_set()]
        grace = self._settings.limits.grace_seconds
        self._ground.events.emit(ShuttingDown(grace))
        for uplink in links:
            uplink.withdraw()
        with anyio.move_on_after(grace):
            for uplink in links:
                await uplink.no_visitors()
        for uplink in links:
            uplink.link.close("the agent shut down")
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            for uplink in links:
                await uplink.closed.wait()
        for uplink in links:
            uplink.abort_session()


async def _cancel_after(stop: asyncio.Event, scope: anyio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()


def _unusable(error: TlsUnusable) -> SettingsUnusable:
    return SettingsUnusable(error.path, error.detail)
