"""The running server: two listeners, the hub between them, and an orderly end."""

import asyncio
import ssl
from pathlib import Path
from typing import Final, final

import anyio

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.token.codec import key_id_of
from tunnel.drive.address import Address
from tunnel.drive.clock import SystemClock, SystemEntropy
from tunnel.drive.descriptors import connections_possible
from tunnel.drive.keylog import log_keys, warning_of
from tunnel.drive.listener import TlsListener, listening_sockets
from tunnel.drive.tls import load_certificate, server_context
from tunnel.observe.events import EventSink, LinkRefused, ServerReady, ShuttingDown, Warned
from tunnel.server.end import CannotListen, ServerEnd, StateUnusable
from tunnel.server.hub import Hub
from tunnel.server.public import PublicConnection
from tunnel.server.session import AgentSession
from tunnel.server.settings import ServerSettings
from tunnel.server.state import describe, names_served, server_identity, signing_key

_BACKLOG: Final = 1024
_HTTP_PORT: Final = 80
_CONNECTIONS_USEFUL: Final = 4096
"""Fewer than this is a system's default for programs that are no servers; worth a word to the operator."""
_CERTIFICATE_LOOK_SECONDS: Final = 86_400.0
_LAST_WORDS_SECONDS: Final = 0.2
"""What the very last bytes have to leave the sockets, once nobody waits for an answer any more."""


@final
class Server:
    """The two listeners of one hub. Finished once `hang_up` has returned."""

    def __init__(self, hub: Hub) -> None:
        self._hub: Final = hub
        self._agents: TlsListener | None = None
        self._public: asyncio.Server | None = None

    async def start(self, settings: ServerSettings, context: ssl.SSLContext) -> Outcome[None, ServerEnd]:
        """Accept on both addresses; after a failure `hang_up` closes what was opened."""
        hub = self._hub
        bound = await listening_sockets(settings.agents)
        if not isinstance(bound, Success):
            return Failure(CannotListen(str(settings.agents), error_of(bound)))
        self._agents = TlsListener(value_of(bound), context, settings.limits, self)
        agents = Address(settings.agents.host, self._agents.port)
        try:
            self._public = await hub.loop.create_server(
                lambda: PublicConnection(hub, "http"), settings.public.host, settings.public.port, backlog=_BACKLOG
            )
        except (OSError, UnicodeError) as cause:
            return Failure(CannotListen(str(settings.public), getattr(cause, "strerror", None) or str(cause)))
        public = _address_of(self._public, settings.public)
        suffix = "" if public.port == _HTTP_PORT else f":{public.port}"
        hub.url_of_names = f"http://NAME.{settings.domain}{suffix}/"
        hub.events.emit(ServerReady(hub.url_of_names, str(public), str(agents)))
        return Success(None)

    def receive_guest(self, peer: Address) -> AgentSession | None:
        """Who a new connection on the agents' side becomes, unless it is one too many."""
        refused = self._hub.link_refusal(peer.host)
        if refused:
            self._hub.events.emit(LinkRefused(str(peer), "server-full", refused))
            return None
        session = AgentSession(self._hub, peer)
        self._hub.admit_link(session, peer.host)
        return session

    async def shut_down(self) -> None:
        """Accept nothing, tell the agents, and let running exchanges finish within the grace period."""
        hub = self._hub
        hub.is_draining = True
        self._stop_accepting()
        hub.events.emit(ShuttingDown(hub.limits.grace_seconds))
        now = hub.clock.now()
        for session in list(hub.sessions.values()):
            session.drain(hub.limits.grace_seconds, now)
        for visit in list(hub.visits):
            visit.drain()
        with anyio.move_on_after(hub.limits.grace_seconds):
            await hub.no_visits()

    async def hang_up(self) -> None:
        """End everything now, and return when no socket and no task is left; the last words get a moment to leave."""
        hub = self._hub
        self._stop_accepting()
        for visit in list(hub.visits):
            visit.cut()
        for session in list(hub.sessions.values()):
            session.close("the server shut down")
        if self._agents is not None:
            await self._agents.hang_up()
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await hub.no_connections()
        for connection in list(hub.connections):
            connection.abort_session()
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await hub.no_connections()

    def _stop_accepting(self) -> None:
        if self._public is not None:
            self._public.close()
        if self._agents is not None:
            self._agents.stop()


async def serve(settings: ServerSettings, events: EventSink, stop: asyncio.Event) -> Outcome[None, ServerEnd]:
    """Serve until `stop` is set, then drain and return; `ServerReady` (with the real ports) tells when it accepts.

    Cancelled, at any moment, it ends at once. Either way no socket, task or timer of it is left behind.
    """
    clock = SystemClock()
    key = signing_key(settings.state)
    if not isinstance(key, Success):
        return Failure(StateUnusable(str(settings.state), describe(error_of(key))))
    files = _certificate_files(settings, clock)
    if not isinstance(files, Success):
        return files
    context = server_context(*value_of(files))
    if not isinstance(context, Success):
        return Failure(StateUnusable(error_of(context).path, error_of(context).detail))
    if settings.keylog is not None:
        logged = log_keys(value_of(context), settings.keylog)
        if not isinstance(logged, Success):
            return Failure(StateUnusable(error_of(logged).path, error_of(logged).detail))
        events.emit(Warned(warning_of(settings.keylog)))
    public = public_key_of(value_of(key).private) or b""
    keys: dict[bytes, bytes] = {key_id_of(public): public}
    possible = connections_possible()
    if possible < _CONNECTIONS_USEFUL:
        events.emit(Warned(f"the system lets this process hold {possible} connections; raise its open file limit"))
    loop = asyncio.get_running_loop()
    hub = Hub(settings.domain, keys, settings.limits, clock, SystemEntropy(), events, loop, possible)
    server = Server(hub)
    try:
        started = await server.start(settings, value_of(context))
        if not isinstance(started, Success):
            return started
        await _tend(settings, clock, value_of(context), events, stop)
        await server.shut_down()
        return Success(None)
    finally:
        with anyio.CancelScope(shield=True):
            await server.hang_up()


async def _tend(
    settings: ServerSettings, clock: SystemClock, context: ssl.SSLContext, events: EventSink, stop: asyncio.Event
) -> None:
    """Wait for `stop`; once a day, look whether the certificate is due, for a development leaf lives 90 days."""
    while not stop.is_set():
        with anyio.move_on_after(_CERTIFICATE_LOOK_SECONDS):
            await stop.wait()
        if stop.is_set():
            return
        files = _certificate_files(settings, clock)
        renewed = load_certificate(context, *value_of(files)) if isinstance(files, Success) else files
        if not isinstance(renewed, Success):
            events.emit(Warned(f"the certificate could not be renewed: {error_of(renewed).detail}"))


def _certificate_files(settings: ServerSettings, clock: SystemClock) -> Outcome[tuple[Path, Path | None], ServerEnd]:
    """The operator's certificate, or the one of the development authority in the state directory."""
    if settings.certificate is not None:
        return Success((settings.certificate, settings.key))
    names = names_served(settings.domain, settings.agents.host)
    identity = server_identity(settings.state, names, clock.unix())
    if not isinstance(identity, Success):
        return Failure(StateUnusable(str(settings.state), describe(error_of(identity))))
    return Success((value_of(identity).chain, None))


def _address_of(server: asyncio.Server, asked: Address) -> Address:
    """Where a listener really listens: a port of 0 was the system's to choose."""
    for sock in server.sockets:
        name: object = sock.getsockname()
        if isinstance(name, tuple):
            return Address(asked.host, int(name[1]))
    return asked
