"""Crossings inward: the streams of another worker's visitors, each joined to a stream of one of our agents.

What crosses is the agent's stream as it is, with credit returned only as bytes leave, so a slow visitor of one worker
stops its own stream at an agent of another. The other end is in `outward.py`.
"""

from typing import Final, Protocol, final

from tunnel.core.base.ids import EndpointId, Epoch, Instant, StreamId
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.problem import Problem
from tunnel.core.cluster.crossing import CROSSED, Crossing, CrossingReader, refusal_bytes
from tunnel.core.link.preface import StreamPreface
from tunnel.core.mux.session import Role
from tunnel.core.route.table import Lease
from tunnel.drive.guard import guarded
from tunnel.drive.link import Link, StreamHandler
from tunnel.server.hub import Hub


class Leases(Protocol):
    """The leases in force, as far as this worker was told."""

    def lease(self, epoch: Epoch) -> Lease | None:
        """The one under this epoch."""

    def successor(self, epoch: Epoch, now: Instant) -> Lease | None:
        """Who has the name of one that moved."""

    def is_coming(self, epoch: Epoch) -> bool:
        """Whether it is yet to be announced here."""

    def refusal(self, epoch: Epoch, now: Instant) -> Problem:
        """What is said of one that is over."""


class Directory(Protocol):
    """Where a crossing finds its agent."""

    @property
    def replica(self) -> Leases:
        """The leases."""

    @property
    def waiting(self) -> "list[CrossingPipe]":
        """Those whose lease is yet to be announced here; each is to `try_again` when there is news."""


@final
class InwardLink:
    """The connection of another worker to us, for its visitors and our agents. Finished when the link is gone."""

    def __init__(self, hub: Hub, directory: Directory) -> None:
        self._hub: Final = hub
        self._directory: Final = directory
        self.link: Final = Link(Role.SERVER, hub.crossing_limits, self, hub.loop, hub.buffer)
        hub.connections.add(self)

    def on_link_up(self, link: Link, now: Instant) -> None:
        """The socket's directory lets nobody in but processes of our own user."""

    def on_stream_opened(self, stream: StreamId, now: Instant) -> StreamHandler | None:
        """A visitor of the other worker."""
        return CrossingPipe(self._hub, self._directory, self.link, stream)

    def on_peer_leaving(self, now: Instant) -> None:
        """The other worker is about to end."""

    def on_link_closed(self, reason: str, now: Instant) -> None:
        """The pipes are told next."""

    def on_link_gone(self) -> None:
        """Nothing is left of it."""
        self._hub.dismiss_link(self)

    def abort_session(self) -> None:
        """End it at once."""
        self.link.abort_session()


@final
class _Half:
    """One of the two streams of a pipe: reads it, and writes what it reads to the other."""

    def __init__(self, pipe: "CrossingPipe", link: Link, stream: StreamId) -> None:
        self._pipe: Final = pipe
        self.link = link
        self.stream = stream
        self.owed = 0
        """Bytes that were read here and have not left on the other side."""
        self.has_ended = False

    @guarded
    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """Bytes for the other side."""
        self._pipe.pass_on(self, data)

    @guarded
    def on_stream_end(self, now: Instant) -> None:
        """This side has said all it has to say."""
        self.has_ended = True
        self._pipe.on_half_ended(self)

    @guarded
    def on_stream_reset(self, now: Instant) -> None:
        """This side broke: so does the other, behind what was said before."""
        self._pipe.on_half_broken(self)

    @guarded
    def on_stream_writable(self, now: Instant) -> None:
        """This side takes more: the other may send on."""
        self._pipe.on_half_flowing(self)

    def holds(self, lease: Lease) -> bool:
        """Whether the pipe was opened under `lease`."""
        return self._pipe.lease is lease

    def on_fenced(self, now: Instant) -> None:
        """The lease is over: not one byte more passes."""
        self._pipe.on_fenced()

    def on_agent_leaving(self, now: Instant) -> None:
        """Nothing: the visitor's own worker hears it from the supervisor, and knows whether an exchange runs."""

    def abort_session(self) -> None:
        """Break both sides."""
        self._pipe.abort_session()

    def return_credit(self) -> None:
        """What was read here has left."""
        if self.owed:
            self.link.return_credit(self.stream, self.owed)
            self.owed = 0


@final
class CrossingPipe:
    """Joins a crossing to a stream of one of our agents. Finished when both have ended or one broke."""

    def __init__(self, hub: Hub, directory: Directory, link: Link, stream: StreamId) -> None:
        self._hub: Final = hub
        self._directory: Final = directory
        self._reader: Final = CrossingReader()
        self._near: Final = _Half(self, link, stream)
        self._far: _Half | None = None
        self._crossing: Crossing | None = None
        self._early = b""
        """What came before the agent's stream was open; no credit is returned for it until then."""
        self.lease: Lease | None = None
        self._is_over = False
        hub.crossings.add(self)

    # The crossing's own stream, until the agent's is open.

    @guarded
    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """The preface, then the visitor's bytes."""
        if self._far is not None:
            self.pass_on(self._near, data)
        elif self._crossing is not None:
            self._early += data
        else:
            self._read(data, now)

    @guarded
    def on_stream_end(self, now: Instant) -> None:
        """The visitor's side has ended."""
        self._near.on_stream_end(now)

    @guarded
    def on_stream_reset(self, now: Instant) -> None:
        """The visitor's worker gave it up, or is gone."""
        self._near.on_stream_reset(now)

    @guarded
    def on_stream_writable(self, now: Instant) -> None:
        """The visitor's worker takes more."""
        self._near.on_stream_writable(now)

    def try_again(self, now: Instant) -> None:
        """There is news of leases."""
        if not self._is_over and self._crossing is not None:
            self._open(self._crossing, now)

    # The two halves.

    def pass_on(self, half: _Half, data: bytes) -> None:
        """Bytes of one side to the other; credit only once there is room for more."""
        other = self._other(half)
        if other is None:
            return
        half.owed += len(data)
        if other.link.send(other.stream, data) <= self._hub.limits.stream_queue_bytes:
            half.return_credit()

    def on_half_flowing(self, half: _Half) -> None:
        """One side takes more: let the other send."""
        other = self._other(half)
        if other is not None:
            other.return_credit()

    def on_half_ended(self, half: _Half) -> None:
        """One side ended; the pipe is over with the second."""
        other = self._other(half)
        if other is None:
            return  # it waits for its lease, and ends the other side when that is open
        other.link.end(other.stream)
        if half.has_ended and other.has_ended:
            self._over()
            half.link.leave(half.stream, reset=False)
            other.link.leave(other.stream, reset=False)

    def on_half_broken(self, half: _Half) -> None:
        """One side broke."""
        other = self._other(half)
        if self._over() and other is not None:
            other.link.break_off(other.stream)

    # The server.

    def cut(self) -> None:
        """Break it now."""
        self.abort_session()

    def on_fenced(self) -> None:
        """The lease is another's now, or its time is over.

        Then the visitor's own worker ends its side, when it hears that from the supervisor: it knows then what to say.
        A crossing that broke before would be a link that was lost.
        """
        far = self._far
        if self.lease is None or far is None or not self.lease.has_lapsed:
            self.abort_session()
            return
        self._far = None
        far.link.leave(far.stream, reset=True)

    def abort_session(self) -> None:
        """Break both sides now."""
        if self._over():
            self._near.link.leave(self._near.stream, reset=True)
            if self._far is not None:
                self._far.link.leave(self._far.stream, reset=True)

    # Helpers.

    def _read(self, data: bytes, now: Instant) -> None:
        read = self._reader.receive(data)
        if not isinstance(read, Success):
            self.abort_session()
            return
        self._crossing = value_of(read)
        if self._crossing is None:
            self._near.link.return_credit(self._near.stream, len(data))
            return
        self._early = self._reader.take_rest()
        self._near.link.return_credit(self._near.stream, len(data) - len(self._early))
        self._open(self._crossing, now)

    def _open(self, crossing: Crossing, now: Instant) -> None:
        leases = self._directory.replica
        lease = leases.lease(crossing.epoch) or leases.successor(crossing.epoch, now)
        if lease is None and leases.is_coming(crossing.epoch):
            self._directory.waiting.append(self)
            return
        opener = None if lease is None else self._hub.opener(lease)
        if lease is None or opener is None:
            self._refuse(leases.refusal(crossing.epoch, now))
            return
        self.lease = lease
        given = crossing.preface
        preface = StreamPreface(
            EndpointId(lease.endpoint), given.address, given.port, given.public_address, given.public_port
        )
        far = _Half(self, self._near.link, StreamId(0))
        opened = opener.open_for(lease, preface, far)
        if not isinstance(opened, Success):
            self._refuse(error_of(opened))
            return
        far.link, far.stream = value_of(opened).link, value_of(opened).stream
        self._far = far
        self._near.link.send(self._near.stream, CROSSED)
        early, self._early = self._early, b""
        if early:
            self.pass_on(self._near, early)
        if self._near.has_ended:
            far.link.end(far.stream)

    def _refuse(self, problem: Problem) -> None:
        if self._over():
            self._near.link.send(self._near.stream, refusal_bytes(problem))
            self._near.link.leave(self._near.stream, reset=False)

    def _other(self, half: _Half) -> _Half | None:
        return self._far if half is self._near else self._near

    def _over(self) -> bool:
        """Whether it was not over before."""
        if self._is_over:
            return False
        self._is_over = True
        self._hub.leave_crossing(self)
        return True
