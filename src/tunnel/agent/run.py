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
from tunnel.drive.callbacks import Callbacks
from tunnel.drive.clock import SystemEntropy
from tunnel.drive.descriptors import connections_possible
from tunnel.drive.keylog import log_keys, warning_of
from tunnel.drive.tls import TlsUnusable, agent_context, local_context
from tunnel.observe.events import EventSink, LinkLost, ShuttingDown, Warned

_CHANCE_BYTES: Final = 4
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
    agent = _Agent(settings, ground, value_of(trust), stop)
    try:
        return await agent.run()
    finally:
        with anyio.CancelScope(shield=True):
            await agent.hang_up()


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
        self._was_granted = False
        self._links: list[Uplink] = []

    async def run(self) -> Outcome[None, AgentEnd]:
        """Dial, live with the link until it leaves, pause, dial again."""
        while not self._stop.is_set():
            uplink = Uplink(self._settings, self._ground, self._instance, self._name)
            self._links = [old for old in self._links if not old.gone.is_set()]
            self._links.append(uplink)
            reason = await self._dial(uplink)
            if not reason:
                reason = await self._live(uplink)
            end = uplink.end
            if end is not None and not (isinstance(end, ServerUntrusted) and self._was_granted):
                return Failure(end)
            if not self._stop.is_set():
                # Asked to move by a server that still serves the old link: its successor is there already.
                await self._pause(reason, at_once=uplink.is_granted and not uplink.closed.is_set())
        await self._shut_down()
        return Success(None)

    async def hang_up(self) -> None:
        """End everything now, and return when no socket and no task is left; the last words get a moment to leave."""
        for uplink in self._links:
            uplink.link.close("the agent shut down")
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await self._all_gone()
        for uplink in self._links:
            uplink.abort_session()
        for pipe in list(self._ground.pipes):
            pipe.abort_session()
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await self._all_gone()

    async def _dial(self, uplink: Uplink) -> str:
        """Connect and verify; why there is no link, for people, or "" when there is."""
        reason = ""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_after, self._stop, tasks.cancel_scope)
            reason = await self._connect(uplink)
            tasks.cancel_scope.cancel()
        if not uplink.link.is_up:
            uplink.abort_session()
            return reason or uplink.reason
        return ""

    async def _connect(self, uplink: Uplink) -> str:
        server, limits = self._settings.server, self._settings.limits
        try:
            with anyio.fail_after(limits.handshake_seconds_max):
                await self._ground.loop.create_connection(
                    lambda: Callbacks(uplink.link),
                    server.host,
                    server.port,
                    ssl=self._trust,
                    server_hostname=server.host,
                )
        except TimeoutError:
            return f"{server} did not answer within {limits.handshake_seconds_max:g} s"
        except ssl.SSLCertVerificationError as cause:
            detail = cause.verify_message or str(cause)
            # Once it was trusted this is a bad day of the network, such as a captive portal, and passes.
            uplink.end = ServerUntrusted(str(server), detail)
            return f"the certificate of {server} does not verify: {detail}"
        except ssl.SSLError as cause:
            return f"TLS with {server} failed: {cause.reason or cause}"
        except OSError as cause:
            return f"{server}: {cause.strerror or str(cause) or 'it closed the connection'}"
        except UnicodeError:
            return f"{server.host} is not a host name"
        return ""

    async def _live(self, uplink: Uplink) -> str:
        """Wait until the link leaves; answers why, for people."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_after, self._stop, tasks.cancel_scope)
            await uplink.leaving.wait()
            tasks.cancel_scope.cancel()
        if uplink.granted_name:
            self._name = uplink.granted_name
            self._was_granted = True
            self._backoff.succeeded()
        return uplink.reason or "the server asked us to reconnect"

    async def _pause(self, reason: str, *, at_once: bool) -> None:
        chance = int.from_bytes(self._entropy.random_bytes(_CHANCE_BYTES)) / (1 << (8 * _CHANCE_BYTES))
        seconds = 0.0 if at_once else self._backoff.pause(chance)
        self._ground.events.emit(LinkLost(reason, seconds))
        with anyio.move_on_after(seconds):
            await self._stop.wait()

    async def _shut_down(self) -> None:
        """Take no new visitors, and let running exchanges finish within the grace period."""
        grace = self._settings.limits.grace_seconds
        self._ground.events.emit(ShuttingDown(grace))
        for uplink in self._links:
            uplink.leave()
        with anyio.move_on_after(grace):
            for uplink in self._links:
                await uplink.no_visitors()

    async def _all_gone(self) -> None:
        for uplink in self._links:
            await uplink.gone.wait()
        await self._ground.no_pipes()


async def _cancel_after(stop: asyncio.Event, scope: anyio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()


def _unusable(error: TlsUnusable) -> SettingsUnusable:
    return SettingsUnusable(error.path, error.detail)
