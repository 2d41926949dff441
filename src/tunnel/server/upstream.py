"""In front of a door: connections of trusted upstreams begin with a PROXY header, which says who they are from.

The header is looked at where it lies and then taken, not a byte more: TLS or HTTP goes on behind it undisturbed.
"""

import socket
from contextlib import suppress
from typing import Final, Protocol, final

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.policy.ip import Block, ip_of, ip_text, is_within
from tunnel.core.proxy.errors import describe
from tunnel.core.proxy.header import ProxyHeader
from tunnel.core.proxy.reader import BLOCK_BYTES_MAX, ProxyReader
from tunnel.drive.address import Address
from tunnel.drive.alarm import Alarm
from tunnel.drive.peek import Peek
from tunnel.observe.events import LinkRefused
from tunnel.server.hub import Hub


@final
class Introduced:
    """A visitor that an upstream has introduced: who it is, where it connected to, and whether by TLS."""

    def __init__(self, visitor: Address, public: Address, *, is_tls: bool) -> None:
        self.visitor: Final = visitor
        self.public: Final = public
        self.is_tls: Final = is_tls


class Door(Protocol):
    """Who takes a connection in once it is known who it is from."""

    def receive(self, accepted: socket.socket, peer: Address, told: Introduced | None = None) -> None:
        """A connection from `peer`, which is that of `told` if it was introduced."""


@final
class Upstreams:
    """Takes new connections in for a door. It lives as long as that."""

    def __init__(self, hub: Hub, trusted: tuple[Block, ...], door: Door) -> None:
        self._hub: Final = hub
        self._trusted: Final = trusted
        self._door: Final = door

    def receive(self, accepted: socket.socket, peer: Address) -> None:
        """Straight on, unless it comes from an upstream: that has to introduce it first (PROXY-TRUST-001)."""
        if not self._trusted or not is_within(ip_of(peer.host), self._trusted):
            self._door.receive(accepted, peer)
        elif self._hub.is_out_of_room:
            accepted.close()
        else:
            Introduction(self._hub, accepted, peer, self._door)


@final
class Introduction:
    """One connection of an upstream, until its header is there; finished when the door has it, or it is closed."""

    def __init__(self, hub: Hub, accepted: socket.socket, peer: Address, door: Door) -> None:
        self._hub: Final = hub
        self._sock: Final = accepted
        self._peer: Final = peer
        self._door: Final = door
        self._is_over = False
        hub.admit_guest(self, str(peer))
        self._alarm: Final = Alarm(hub.loop, self)
        self._alarm.set_by(Instant(hub.clock.now() + hub.limits.head_seconds_max))
        self._peek: Final = Peek(hub.loop, accepted, self, BLOCK_BYTES_MAX)

    def on_look(self, seen: bytes) -> None:
        """So much of the header is there."""
        reader = ProxyReader()
        read = reader.receive(seen)
        if not isinstance(read, Success):
            self._refuse(describe(error_of(read)))
            return
        header = value_of(read)
        if header is None:
            self._peek.await_bytes(len(seen) + 1)
            return
        self._leave()
        left = len(seen) - len(reader.take_rest())
        with suppress(OSError):  # it has just been seen there; whoever goes on with the socket finds what broke it
            while left and (taken := self._sock.recv(left)):
                left -= len(taken)
        told = _introduced(header)
        self._door.receive(self._sock, self._peer if told is None else told.visitor, told)

    def on_nothing_to_see(self) -> None:
        """It left without a word."""
        self.abort_session()

    def on_alarm(self, now: Instant) -> Instant:
        """The header did not come."""
        self._refuse(f"no PROXY header within {self._hub.limits.head_seconds_max:g} s")
        return Instant(now + self._hub.limits.head_seconds_max)

    def abort_session(self) -> None:
        """Close, unless the door has the socket by now."""
        if not self._is_over:
            self._leave()
            self._sock.close()

    def _refuse(self, detail: str) -> None:
        if not self._is_over:
            self.abort_session()
            self._hub.events.emit(LinkRefused(str(self._peer), "no-proxy-header", detail))

    def _leave(self) -> None:
        self._is_over = True
        self._peek.stop()
        self._alarm.cancel()
        self._hub.dismiss_guest(self, str(self._peer))


def _introduced(header: ProxyHeader) -> Introduced | None:
    """The visitor, its address in its one usual form; None when the header says nothing."""
    source, target = ip_of(header.source), ip_of(header.target)
    if source is None or target is None:
        return None
    public = Address(ip_text(target), header.target_port)
    return Introduced(Address(ip_text(source), header.source_port), public, is_tls=header.is_tls)
