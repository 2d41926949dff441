"""One of the agent's links, which is always being restored: dial, live with it until it leaves, pause, dial again."""

import asyncio
import ssl
from typing import Final, final

import anyio

from tunnel.agent.backoff import Backoff
from tunnel.agent.crew import Crew
from tunnel.agent.end import AgentEnd, NotAuthorised, PortDenied, ServerUntrusted
from tunnel.agent.uplink import Uplink
from tunnel.core.link.messages import DenialCode
from tunnel.drive.handshake import dial

_TOO_MANY: Final = DenialCode.TOO_MANY.name.lower().replace("_", "-")


@final
class Slot:
    """The place of one link. A successor is dialled as soon as the link leaves; the old one may finish."""

    def __init__(self, crew: Crew, number: int) -> None:
        self._crew: Final = crew
        self._number: Final = number
        self._backoff: Final = Backoff(crew.settings.limits)

    async def run(self) -> AgentEnd | None:
        """Keep a link up until the agent stops (None) or going on makes no sense.

        Links but the first wait until that has the name: which it is may be the server's choice.
        """
        crew = self._crew
        if self._number > 0:
            await _unless(crew.stop, crew.was_granted)
        while not crew.stop.is_set():
            over = crew.over()
            if over is not None:
                return over
            uplink = crew.new_link(self._number)
            reason = await self._dial(uplink)
            if not reason:
                reason = await self._live(uplink)
            end = uplink.end
            if end is not None and not self._may_pass(end):
                return end
            if not crew.stop.is_set():
                await self._pause(uplink, reason)
        return None

    def _may_pass(self, end: AgentEnd) -> bool:
        """Whether another try makes sense although this one failed in a way that is final for a first link."""
        if self._number > 0 and isinstance(end, NotAuthorised) and end.code == _TOO_MANY:
            return True  # of links there may be; the others go on, and one of them may end
        return isinstance(end, (ServerUntrusted, PortDenied)) and self._crew.was_granted.is_set()

    async def _dial(self, uplink: Uplink) -> str:
        """Connect and verify; why there is no link, for people, or "" when there is."""
        reason = ""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_after, self._crew.stop, tasks.cancel_scope)
            reason = await self._connect(uplink)
            tasks.cancel_scope.cancel()
        if not uplink.link.is_up:
            uplink.abort_session()
            return reason or uplink.reason
        return ""

    async def _connect(self, uplink: Uplink) -> str:
        crew = self._crew
        server, limits = crew.settings.server, crew.settings.limits
        try:
            with anyio.fail_after(limits.handshake_seconds_max):
                await dial(crew.ground.loop, server.host, server.port, crew.trust, uplink.link)
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
        await _unless(self._crew.stop, uplink.leaving)
        if uplink.is_granted:
            self._backoff.succeeded()
        return uplink.reason or "the server asked us to reconnect"

    async def _pause(self, uplink: Uplink, reason: str) -> None:
        """Wait before the next dial; not when the server asked for it, as that one counts on it."""
        was_asked = uplink.is_granted and not uplink.closed.is_set()
        seconds = 0.0 if was_asked else self._backoff.pause(self._crew.chance())
        self._crew.on_left(uplink, reason, seconds)
        with anyio.move_on_after(seconds):
            await self._crew.stop.wait()


async def _unless(stop: asyncio.Event, wanted: asyncio.Event) -> None:
    """Return once `wanted` is set, or `stop`."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_after, stop, tasks.cancel_scope)
        await wanted.wait()
        tasks.cancel_scope.cancel()


async def _cancel_after(stop: asyncio.Event, scope: anyio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()
