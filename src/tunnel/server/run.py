"""The running server: two listeners, the hub between them, and an orderly end."""

import asyncio
import ssl
from pathlib import Path
from typing import final

import anyio
import anyio.lowlevel

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.token.codec import key_id_of
from tunnel.drive.address import Address
from tunnel.drive.clock import SystemClock, SystemEntropy
from tunnel.drive.tls import server_context
from tunnel.observe.events import EventSink, ServerReady, ShuttingDown
from tunnel.server.end import CannotListen, ServerEnd, StateUnusable
from tunnel.server.hub import Hub
from tunnel.server.public import PublicConnection
from tunnel.server.session import AgentSession
from tunnel.server.settings import ServerSettings
from tunnel.server.state import describe, names_served, server_identity, signing_key

_BACKLOG = 1024
_LAST_WORDS_SECONDS = 0.2
"""What the very last bytes have to leave the sockets, once nobody waits for an answer any more."""


@final
class Server:
    """The two listeners of one hub. Finished after `shut_down`."""

    def __init__(self, hub: Hub, agents: asyncio.Server, public: asyncio.Server) -> None:
        self._hub = hub
        self._agents = agents
        self._public = public

    async def shut_down(self) -> None:
        """Accept nothing, tell the agents, let running exchanges finish within the grace period, then end the rest."""
        hub = self._hub
        hub.is_draining = True
        self._public.close()
        self._agents.close()
        hub.events.emit(ShuttingDown(hub.limits.grace_seconds))
        now = hub.clock.now()
        for session in list(hub.sessions.values()):
            session.drain(hub.limits.grace_seconds, now)
        for visit in list(hub.visits):
            visit.drain()
        with anyio.move_on_after(hub.limits.grace_seconds):
            await hub.no_visits()
        for visit in list(hub.visits):
            visit.abort_session()
        for session in list(hub.sessions.values()):
            session.close("the server shut down")
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await hub.no_sessions()
        for session in list(hub.sessions.values()):
            session.abort_session()
        await anyio.lowlevel.checkpoint()


async def serve(settings: ServerSettings, events: EventSink, stop: asyncio.Event) -> Outcome[None, ServerEnd]:
    """Serve until `stop` is set, then drain and return; `ServerReady` (with the real ports) tells when it accepts."""
    loop = asyncio.get_running_loop()
    clock = SystemClock(loop)
    key = signing_key(settings.state)
    if not isinstance(key, Success):
        return Failure(StateUnusable(str(settings.state), describe(error_of(key))))
    files = _certificate_files(settings, clock)
    if not isinstance(files, Success):
        return files
    context = server_context(*value_of(files))
    if not isinstance(context, Success):
        return Failure(StateUnusable(error_of(context).path, error_of(context).detail))
    public = public_key_of(value_of(key).private) or b""
    keys: dict[bytes, bytes] = {key_id_of(public): public}
    hub = Hub(settings.domain, keys, settings.limits, clock, SystemEntropy(), events, loop)
    started = await _start(settings, hub, value_of(context))
    if not isinstance(started, Success):
        return started
    await stop.wait()
    await value_of(started).shut_down()
    return Success(None)


def _certificate_files(settings: ServerSettings, clock: SystemClock) -> Outcome[tuple[Path, Path | None], ServerEnd]:
    """The operator's certificate, or the one of the development authority in the state directory."""
    if settings.certificate is not None:
        return Success((settings.certificate, settings.key))
    names = names_served(settings.domain, settings.agents.host)
    identity = server_identity(settings.state, names, clock.unix())
    if not isinstance(identity, Success):
        return Failure(StateUnusable(str(settings.state), describe(error_of(identity))))
    return Success((value_of(identity).chain, None))


async def _start(settings: ServerSettings, hub: Hub, context: ssl.SSLContext) -> Outcome[Server, ServerEnd]:
    """Both listeners, or neither."""
    limits = settings.limits
    try:
        agents = await hub.loop.create_server(
            lambda: AgentSession(hub).link,
            settings.agents.host,
            settings.agents.port,
            ssl=context,
            ssl_handshake_timeout=limits.handshake_seconds_max,
            backlog=_BACKLOG,
        )
    except OSError as cause:
        return Failure(CannotListen(str(settings.agents), cause.strerror or str(cause)))
    try:
        public = await hub.loop.create_server(
            lambda: PublicConnection(hub, "http"), settings.public.host, settings.public.port, backlog=_BACKLOG
        )
    except OSError as cause:
        agents.close()
        return Failure(CannotListen(str(settings.public), cause.strerror or str(cause)))
    at = _address_of(public, settings.public)
    suffix = "" if at.port == _HTTP_PORT else f":{at.port}"
    hub.url_of_names = f"http://NAME.{settings.domain}{suffix}/"
    hub.events.emit(ServerReady(hub.url_of_names, str(at), str(_address_of(agents, settings.agents))))
    return Success(Server(hub, agents, public))


_HTTP_PORT = 80


def _address_of(server: asyncio.Server, asked: Address) -> Address:
    """Where a listener really listens: a port of 0 was the system's to choose."""
    for sock in server.sockets:
        name: object = sock.getsockname()
        if isinstance(name, tuple):
            return Address(asked.host, int(name[1]))
    return asked
