"""The TLS port: one for agents and visitors, told apart by what each asks for in its first message (ADR 0039).

An *entrance* is a connection from accept to the moment it is known who it is for. It is looked at, not read: whoever
goes on with it finds every byte in place, and TLS ends where it belongs.
"""

import socket
import ssl
from contextlib import suppress
from typing import Final, assert_never, final

from tunnel.core.base.ids import Instant, Label
from tunnel.core.base.limits import READ_BYTES
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.problem import TLS_EXPECTED, Problem
from tunnel.core.relay.arrival import (
    DECODE_ERROR,
    UNRECOGNIZED_NAME,
    ForAgents,
    ForEdge,
    ForNobody,
    ForOwner,
    arrival_of,
)
from tunnel.core.tls.errors import HelloError, NotTls, OtherProtocol, describe
from tunnel.core.tls.hello import ClientHello, HelloPart, read_hello
from tunnel.core.token.token import EndpointKind
from tunnel.drive.address import Address
from tunnel.drive.alarm import Alarm
from tunnel.drive.callbacks import Callbacks
from tunnel.drive.handover import Handovers
from tunnel.drive.peek import Peek
from tunnel.observe.events import LinkRefused
from tunnel.server.certificates import Certificates
from tunnel.server.hub import Hub
from tunnel.server.public import PublicConnection
from tunnel.server.raw import RawConnection
from tunnel.server.session import AgentSession
from tunnel.server.upstream import Introduced

_LAST_SECONDS: Final = 0.001
"""What a handshake gets whose deadline has passed since its hello came: it fails as one that is too slow."""


@final
class Porch:
    """What all entrances of the TLS port share; takes new connections in."""

    def __init__(self, hub: Hub, handovers: Handovers, certificates: Certificates) -> None:
        self.hub: Final = hub
        self.handovers: Final = handovers
        self.certificates: Final = certificates

    def receive(self, accepted: socket.socket, peer: Address, told: Introduced | None = None) -> None:
        """Anybody, unless there are too many of whom nobody knows who they are."""
        refused = self.hub.guest_refusal(peer.host)
        if refused:
            accepted.close()
            self.hub.events.emit(LinkRefused(str(peer), "server-full", refused))
            return
        Entrance(self, accepted, peer, told)


@final
class Entrance:
    """One connection to the TLS port; finished when it was handed over, or is closed."""

    def __init__(self, porch: Porch, accepted: socket.socket, peer: Address, told: Introduced | None) -> None:
        hub = porch.hub
        self._porch: Final = porch
        self._sock: Final = accepted
        self._peer: Final = peer
        self._told: Final = told
        self._began_at: Final = hub.clock.now()
        self._is_mine = True
        """The socket is ours to close; from the handover on it is not."""
        hub.admit_guest(self, peer.host)
        self._alarm: Final = Alarm(hub.loop, self)
        self._alarm.set_by(Instant(self._began_at + hub.limits.handshake_seconds_max))
        self._peek: Final = Peek(hub.loop, accepted, self, hub.limits.hello_bytes_max)

    # What it says first.

    def on_look(self, seen: bytes) -> None:
        """So much of the hello is there; a whole one says where the connection belongs."""
        read = read_hello(seen, self._porch.hub.limits.hello_bytes_max)
        if not isinstance(read, Success):
            self._turn_away(error_of(read))
            return
        hello = value_of(read)
        if isinstance(hello, HelloPart):
            self._peek.await_bytes(hello.needed)
        else:
            self._show_in(hello)

    def on_nothing_to_see(self) -> None:
        """It left before it had said what it wanted."""
        self._refuse("the connection was lost before its TLS hello")

    def on_alarm(self, now: Instant) -> Instant:
        """It took too long over its hello."""
        if self._is_mine:
            self._refuse(f"no TLS hello within {self._porch.hub.limits.handshake_seconds_max:g} s")
        return Instant(now + self._porch.hub.limits.handshake_seconds_max)

    def on_handed_over(self, detail: str) -> None:
        """A visitor has its connection, or none; it is counted as one or gone."""
        self._leave()

    def abort_session(self) -> None:
        """Close, unless the socket is another's by now."""
        self._peek.stop()
        if self._is_mine:
            self._is_mine = False
            self._sock.close()
            self._leave()

    # Where it goes.

    def _show_in(self, hello: ClientHello) -> None:
        hub = self._porch.hub
        arrival = arrival_of(hello, hub.table, hub.zone, hub.clock.now())
        match arrival:
            case ForAgents():
                self._become_agent(self._porch.certificates.for_agents(hello.server_name))
            case ForEdge():
                self._become_visitor(self._porch.certificates.for_visitors(hello.server_name), None)
            case ForOwner(name=name):
                self._become_raw(name)
            case ForNobody(alert=alert):
                self._say(alert)
                if alert == UNRECOGNIZED_NAME:
                    self._refuse("the agent that answers TLS for the name it asks for is offline", "agent-offline")
                else:
                    self._refuse("it offers protocols, but neither tunnel/1 nor http/1.1")
            case _:
                assert_never(arrival)

    def _become_agent(self, context: ssl.SSLContext) -> None:
        hub = self._porch.hub
        self._leave()  # before the count that it would stand in its own way in
        refused = hub.link_refusal(self._peer.host)
        if refused:
            self._refuse(refused, "server-full")
            return
        self._give_away()
        session = AgentSession(hub, self._peer, self._began_at)
        hub.admit_link(session, self._peer.host)
        self._porch.handovers.secure(self._sock, session.link, context, session, self._seconds_left())

    def _become_visitor(self, context: ssl.SSLContext | None, refusal: Problem | None) -> None:
        """A visitor counts as a guest until its handshake is done, and then by the rules for visitors."""
        hub = self._porch.hub
        scheme = "http" if context is None else "https"
        self._give_away()
        self._porch.handovers.hand_over(
            self._sock,
            lambda: Callbacks(PublicConnection(hub, scheme, self._peer, refusal, self._told)),
            context,
            self,
            self._seconds_left(),
        )

    def _become_raw(self, name: Label) -> None:
        """The hello is still in the socket, so the local service gets every byte, and we open none of them."""
        hub = self._porch.hub
        self._give_away()
        self._porch.handovers.hand_over(
            self._sock,
            lambda: Callbacks(RawConnection(hub, name, EndpointKind.TLS, self._told)),
            None,
            self,
            self._seconds_left(),
        )

    def _turn_away(self, error: HelloError) -> None:
        """What is not TLS gets an answer in its own language where there is one; what is, the alert for it."""
        if error == NotTls(OtherProtocol.HTTP):
            self._become_visitor(None, TLS_EXPECTED)
            return
        if not isinstance(error, NotTls):
            self._say(DECODE_ERROR)
        self._refuse(describe(error))

    def _say(self, alert: int) -> None:
        """A fatal alert in the clear, as before any ServerHello. The hello is taken first: unread, it would reset."""
        with suppress(OSError):
            self._sock.recv(READ_BYTES)
            self._sock.send(bytes((21, 3, 3, 0, 2, 2, alert)))
            self._sock.shutdown(socket.SHUT_WR)

    def _refuse(self, detail: str, code: str = "no-tls") -> None:
        self.abort_session()
        self._porch.hub.events.emit(LinkRefused(str(self._peer), code, detail))

    def _give_away(self) -> None:
        self._peek.stop()
        self._is_mine = False

    def _leave(self) -> None:
        self._alarm.cancel()
        self._porch.hub.dismiss_guest(self, self._peer.host)

    def _seconds_left(self) -> float:
        hub = self._porch.hub
        return max(self._began_at + hub.limits.handshake_seconds_max - hub.clock.now(), _LAST_SECONDS)
