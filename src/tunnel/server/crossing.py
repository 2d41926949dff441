"""Crossings: a visitor's stream on its way between two workers, over one Unix connection per pair and direction.

The edge stays where the visitor's socket is. What crosses is the agent's stream as it is, with credit returned only as
bytes leave, so a slow visitor of one worker stops its own stream at an agent of another.
"""

from typing import Final, Protocol, final

from tunnel.core.base.ids import EndpointId, Epoch, Instant, StreamId
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.problem import AGENT_OFFLINE, LINK_BUSY, Problem
from tunnel.core.cluster.crossing import (
    CROSSED,
    Crossing,
    CrossingReader,
    encode_crossing,
    problem_of_answer,
    refusal_bytes,
)
from tunnel.core.link.preface import StreamPreface
from tunnel.core.mux.errors import StreamLimitReached
from tunnel.core.mux.session import Role
from tunnel.core.route.table import Lease
from tunnel.drive.guard import guarded
from tunnel.drive.link import Link, StreamHandler
from tunnel.server.hub import Hub, Refusable, Tenant, VisitorStream


class Leases(Protocol):
    """The leases in force, as far as this worker was told."""

    def lease(self, epoch: Epoch) -> Lease | None:
        """The one under this epoch."""

    def successor(self, epoch: Epoch, now: Instant) -> Lease | None:
        """Who has the name of one that moved."""

    def is_coming(self, epoch: Epoch) -> bool:
        """Whether it is yet to be announced here."""


class Directory(Protocol):
    """Where a crossing finds its agent."""

    @property
    def replica(self) -> Leases:
        """The leases."""

    @property
    def waiting(self) -> "list[CrossingPipe]":
        """Those whose lease is yet to be announced here; each is to `try_again` when there is news."""


class LinkWatcher(Protocol):
    """Who wants to know of the end of a connection between workers."""

    def on_crossing_closed(self) -> None:
        """Nothing passes any more; the streams are told next."""


@final
class _CrossedHandler:
    """Reads a crossing for a visitor: takes the one byte of answer out, hands on all else."""

    def __init__(self, inner: StreamHandler, link: Link, lease: Lease) -> None:
        self._inner: Final = inner
        self._link: Final = link
        self._lease: Final = lease
        self._is_open = False
        self.stream = StreamId(0)

    @guarded
    def on_stream_data(self, data: bytes, now: Instant) -> None:
        """Bytes of the agent's stream, behind the answer."""
        if self._is_open:
            self._inner.on_stream_data(data, now)
            return
        self._is_open = True
        self._link.return_credit(self.stream, 1)
        problem = problem_of_answer(data[:1])
        if problem is None:
            if len(data) > 1:
                self._inner.on_stream_data(data[1:], now)
        elif isinstance(self._inner, Refusable):
            self._link.leave(self.stream, reset=True)
            self._inner.on_stream_refused(problem, now)
        else:
            self._link.leave(self.stream, reset=True)
            self._inner.on_stream_reset(now)

    @guarded
    def on_stream_end(self, now: Instant) -> None:
        """The local service ended its side."""
        self._inner.on_stream_end(now)

    @guarded
    def on_stream_reset(self, now: Instant) -> None:
        """It broke, there or between the workers."""
        self._inner.on_stream_reset(now)

    @guarded
    def on_stream_writable(self, now: Instant) -> None:
        """The crossing takes data again."""
        self._inner.on_stream_writable(now)

    def holds(self, lease: Lease) -> bool:
        """Whether it was opened under `lease`."""
        return self._lease is lease

    def on_fenced(self, now: Instant) -> None:
        """The lease is another's now."""
        if isinstance(self._inner, Tenant):
            self._inner.on_fenced(now)

    def on_agent_leaving(self, now: Instant) -> None:
        """The agent takes no new stream on that link."""
        if isinstance(self._inner, Tenant):
            self._inner.on_agent_leaving(now)

    def abort_session(self) -> None:
        """Break the stream for its reader."""
        self._link.leave(self.stream, reset=True)


@final
class OutwardLink:
    """Our connection to another worker, for our visitors and its agents. Finished when the link is gone."""

    def __init__(self, hub: Hub, watcher: LinkWatcher) -> None:
        self._watcher: Final = watcher
        self.link: Final = Link(Role.CLIENT, hub.crossing_limits, self, hub.loop, hub.buffer)

    @property
    def visitors(self) -> int:
        """Streams of our visitors open now."""
        return self.link.live_streams

    def open_for(self, lease: Lease, preface: StreamPreface, handler: StreamHandler) -> Outcome[VisitorStream, Problem]:
        """A crossing for one visitor; whether the agent may be reached is answered later, to the handler."""
        crossed = _CrossedHandler(handler, self.link, lease)
        opened = self.link.open_stream(crossed)
        if not isinstance(opened, Success):
            return Failure(LINK_BUSY if isinstance(error_of(opened), StreamLimitReached) else AGENT_OFFLINE)
        crossed.stream = value_of(opened)
        self.link.send(crossed.stream, encode_crossing(Crossing(lease.epoch, preface)))
        return Success(VisitorStream(self.link, crossed.stream))

    def tenants(self, lease: Lease) -> list[Tenant]:
        """Who crosses here under a lease."""
        return [each for each in self.link.handlers() if isinstance(each, Tenant) and each.holds(lease)]

    def on_link_up(self, link: Link, now: Instant) -> None:
        """Nothing more is needed."""

    def on_stream_opened(self, stream: StreamId, now: Instant) -> StreamHandler | None:
        """The other worker has a connection of its own for its visitors."""
        return None

    def on_peer_leaving(self, now: Instant) -> None:
        """It is about to end."""

    def on_link_closed(self, reason: str, now: Instant) -> None:
        """The other worker is not there, or not any more."""
        self._watcher.on_crossing_closed()

    def on_link_gone(self) -> None:
        """Nothing is left of it."""


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
        """The lease is another's now: not one byte more passes."""
        self._pipe.abort_session()

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
            self._refuse(AGENT_OFFLINE)
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
