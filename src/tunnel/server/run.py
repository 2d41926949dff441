"""The running server: two listeners, the hub between them, and an orderly end."""

import asyncio
import socket
from typing import Final, final

import anyio

from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.directory.month import month_of
from tunnel.core.route.ports import Ports
from tunnel.core.token.codec import key_id_of
from tunnel.drive.address import Address
from tunnel.drive.callbacks import Callbacks
from tunnel.drive.clock import SystemClock, SystemEntropy
from tunnel.drive.descriptors import connections_possible
from tunnel.drive.feed import FEED, feeding
from tunnel.drive.handover import Handovers
from tunnel.drive.keylog import warning_of
from tunnel.drive.listener import Listener, address_of, places_beside
from tunnel.observe.events import EventSink, ServerReady, ShuttingDown, Warned
from tunnel.ports import Clock
from tunnel.server.certificates import Certificates, read_certificates
from tunnel.server.doors import Doors, open_doors
from tunnel.server.end import CannotListen, ServerEnd, StateUnusable
from tunnel.server.entrance import Porch
from tunnel.server.feed import HubFeed
from tunnel.server.gate import Gate
from tunnel.server.hub import Hub
from tunnel.server.ledger import Books, keeping_books
from tunnel.server.member import Mandate, Member
from tunnel.server.merged_feed import feed_beside
from tunnel.server.moving import ask_to_move
from tunnel.server.public import PublicConnection
from tunnel.server.settings import NO_PORTS, CertificateFiles, ServerSettings
from tunnel.server.state import describe, names_served, server_identity, signing_key
from tunnel.server.tcp_ports import PortListeners, TcpPorts
from tunnel.server.upstream import Introduced, Upstreams
from tunnel.server.urls import Urls
from tunnel.server.worker_ports import WorkerPorts

_CONNECTIONS_USEFUL: Final = 4096
"""Fewer than this is a system's default for programs that are no servers; worth a word to the operator."""
_LOOK_SECONDS: Final = 5.0
"""Between two looks at the files of certificates and at the directory; a look is one `stat` of each."""
_RENEWAL_LOOK_SECONDS: Final = 86_400.0
_LAST_WORDS_SECONDS: Final = 0.2
"""What the very last bytes have to leave the sockets, once nobody waits for an answer any more."""


@final
class Server:
    """The two listeners of one hub. Finished once `hang_up` has returned."""

    def __init__(self, hub: Hub) -> None:
        self._hub: Final = hub
        self._handovers: Final = Handovers(hub.loop)
        self._listeners: Final[list[Listener]] = []
        self._ports: TcpPorts | WorkerPorts | None = None

    def start(
        self, settings: ServerSettings, certificates: Certificates, doors: Doors, given: WorkerPorts | None = None
    ) -> Outcome[None, CannotListen]:
        """Accept at both doors, which belong to this server from here on; not at sockets that do not know where."""
        hub = self._hub
        try:
            public = address_of(doors.public, settings.public.host)
            agents = address_of(doors.agents, settings.agents.host)
            places = places_beside(doors.public)
        except OSError as cause:
            return Failure(CannotListen(str(settings.public), cause.strerror or str(cause)))
        listeners = PortListeners(hub, self._handovers, settings.proxy_from)
        if given is None:
            wide = settings.tcp_ports or NO_PORTS
            hub.ports = self._ports = TcpPorts(hub, listeners, places, Ports(settings.limits, wide.low, wide.high))
        else:
            self._ports = given
            given.serve(listeners)
        trusted = certificates if settings.certificates else None
        hub.urls = Urls(settings.domain, public.port, agents.port, trusted, redirects=settings.redirects_http)
        porch = Upstreams(hub, settings.proxy_from, Porch(hub, self._handovers, certificates))
        self._listeners.append(Listener(doors.agents, porch))
        entry = Upstreams(hub, settings.proxy_from, _PublicDoor(hub, self._handovers))
        self._listeners.append(Listener(doors.public, entry))
        hub.events.emit(ServerReady(hub.urls.pattern(), str(public), str(agents), hub.urls.https_pattern()))
        return Success(None)

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

    async def hand_on(self) -> None:
        """Accept nothing, and let agents move to other workers while their links here serve on.

        Returns when no visitor is left and every agent has moved, or the grace period is over.
        """
        hub = self._hub
        hub.is_draining = hub.is_moving = True
        self._stop_accepting()
        hub.events.emit(ShuttingDown(hub.limits.grace_seconds))
        with anyio.move_on_after(hub.limits.grace_seconds):
            for visit in list(hub.visits):
                visit.last_call()
            await ask_to_move(list(hub.sessions.values()), hub.limits)
            await self._handovers.none_left()
            # Visitors that rest may have a request on its way, and other workers may not have heard of a move yet.
            await anyio.sleep(hub.limits.rest_seconds)
            for visit in list(hub.visits):
                visit.drain()
            await hub.all_moved()

    async def hang_up(self) -> None:
        """End everything now, and return when no socket and no task is left; the last words get a moment to leave."""
        hub = self._hub
        self._stop_accepting()
        for visit in list(hub.visits):
            visit.cut()
        for session in list(hub.sessions.values()):
            session.close("the server shut down")
        for guest in list(hub.guests):
            guest.abort_session()
        await self._handovers.hang_up()
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await hub.no_connections()
        for connection in list(hub.connections):
            connection.abort_session()
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await hub.no_connections()

    def _stop_accepting(self) -> None:
        for listener in self._listeners:
            listener.stop()
        if self._ports is not None:
            self._ports.stop()


@final
class _PublicDoor:
    """Takes visitors in."""

    def __init__(self, hub: Hub, handovers: Handovers) -> None:
        self._hub: Final = hub
        self._handovers: Final = handovers

    def receive(self, accepted: socket.socket, peer: Address, told: Introduced | None = None) -> None:
        """A visitor, who is counted once it has a transport that could tell it that it is one too many."""
        hub = self._hub
        self._handovers.hand_over(
            accepted, lambda: Callbacks(PublicConnection(hub, "http", peer, told=told)), None, self, 0.0
        )

    def on_handed_over(self, detail: str) -> None:
        """Nothing: a visitor that left before it was here is nobody's concern."""


async def serve(
    settings: ServerSettings,
    events: EventSink,
    stop: asyncio.Event,
    given: Doors | None = None,
    mandate: Mandate | None = None,
) -> Outcome[None, ServerEnd]:
    """Serve until `stop` is set, then drain and return; `ServerReady` (with the real ports) tells when it accepts.

    Doors that are given are served in place of those of the settings, and closed at the end. Cancelled, at any moment,
    it ends at once. However it ends, no socket, task or timer of it is left behind. With a mandate it is one worker of
    several: it accepts once its supervisor says so, and sets `stop` itself when that lets it go or is gone.
    """
    async with keeping_books(settings, events, speaks_for_all=mandate is None) as books:
        return await _serve(settings, books, stop, given, mandate)


async def _serve(
    settings: ServerSettings, books: Books, stop: asyncio.Event, given: Doors | None, mandate: Mandate | None
) -> Outcome[None, ServerEnd]:
    doors = given or Doors([], [])
    try:
        prepared = _prepare(settings, books.events)
        if not isinstance(prepared, Success):
            return prepared
        hub, certificates = value_of(prepared)
        hub.usage = books.usage
        if given is None:
            opened = await open_doors(settings)
            if not isinstance(opened, Success):
                return opened
            doors = value_of(opened)
        server = Server(hub)
        if mandate is not None:
            hub.table.tolls.share_among(mandate.of)
        gate = Gate(settings.state, hub, hub.clock, hub.events)
        gate.begin()
        member = None if mandate is None else Member(hub, mandate, stop, gate)
        place, name = (settings.state, FEED) if mandate is None else feed_beside(mandate.crossing)
        try:
            if member is None or await member.join():
                started = server.start(settings, certificates, doors, None if member is None else member.ports)
                if not isinstance(started, Success):
                    return started
                # Until nobody is left: who is revoked, or ended by an operator, is so while we end, too.
                async with feeding(place, name, HubFeed(hub, gate)) as fed, anyio.create_task_group() as group:
                    if not isinstance(fed, Success):
                        hub.events.emit(Warned(f"nobody can ask this server anything: {error_of(fed)}"))
                    group.start_soon(_tend, settings, hub, certificates, gate)
                    await stop.wait()
                    await _wind_down(server, member)
                    group.cancel_scope.cancel()
            else:
                await _wind_down(server, member)
            return Success(None)
        finally:
            with anyio.CancelScope(shield=True):
                await server.hang_up()
                if member is not None:
                    await member.leave()
    finally:
        doors.close()


async def _wind_down(server: Server, member: Member | None) -> None:
    """Let what runs finish, within the grace period."""
    if member is not None and member.is_retiring:
        await server.hand_on()
    else:
        await server.shut_down()


def _prepare(settings: ServerSettings, events: EventSink) -> Outcome[tuple[Hub, Certificates], ServerEnd]:
    """Everything that a server needs but its sockets."""
    clock = SystemClock()
    key = signing_key(settings.state)
    if not isinstance(key, Success):
        return Failure(StateUnusable(str(settings.state), describe(error_of(key))))
    files = settings.certificates
    if not files:
        own = _development_files(settings, clock)
        if not isinstance(own, Success):
            return own
        files = (value_of(own),)
    certificates = read_certificates(files, settings.keylog, clock.unix())
    if not isinstance(certificates, Success):
        return Failure(StateUnusable(error_of(certificates).path, error_of(certificates).detail))
    if settings.keylog is not None:
        events.emit(Warned(warning_of(settings.keylog)))
    public = public_key_of(value_of(key).private) or b""
    keys: dict[bytes, bytes] = {key_id_of(public): public}
    possible = connections_possible()
    if possible < _CONNECTIONS_USEFUL:
        events.emit(Warned(f"the system lets this process hold {possible} connections; raise its open file limit"))
    loop = asyncio.get_running_loop()
    hub = Hub(settings.domain, keys, settings.limits, clock, SystemEntropy(), events, loop, possible, settings.policy)
    hub.table.tolls.begin_month(month_of(clock.unix()))
    hub.requests_shown = settings.requests_shown
    return Success((hub, value_of(certificates)))


async def _tend(settings: ServerSettings, hub: Hub, certificates: Certificates, gate: Gate) -> None:
    """Look again and again whether certificates or the directory changed; once a day, renew our own."""
    renew_at = hub.clock.now() + _RENEWAL_LOOK_SECONDS
    while True:
        await anyio.sleep(_LOOK_SECONDS)
        gate.look_again()
        hub.table.tolls.begin_month(month_of(hub.clock.unix()))
        if not settings.certificates and hub.clock.now() >= renew_at:
            renew_at = hub.clock.now() + _RENEWAL_LOOK_SECONDS
            renewed = _development_files(settings, hub.clock)
            if not isinstance(renewed, Success):
                hub.events.emit(Warned(f"the certificate could not be renewed: {error_of(renewed).detail}"))
        for unusable in certificates.read_changed(hub.clock.unix()):
            hub.events.emit(Warned(f"{unusable.path} changed, and the old certificate stays: {unusable.detail}"))


def _development_files(settings: ServerSettings, clock: Clock) -> Outcome[CertificateFiles, StateUnusable]:
    """The certificate of the development authority in the state directory, made or renewed where that is due."""
    names = [*names_served(settings.domain, settings.agents.host), *settings.certificate_names]
    identity = server_identity(settings.state, names, clock.unix())
    if not isinstance(identity, Success):
        return Failure(StateUnusable(str(settings.state), describe(error_of(identity))))
    return Success(CertificateFiles(value_of(identity).chain))
