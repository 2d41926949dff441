"""Crossings outward: the streams of our visitors on their way to the agents of another worker.

A crossing is a visitor's stream between two workers, over one Unix connection per pair and direction. The edge stays
where the visitor's socket is; the other end is in `inward.py`.
"""

from typing import Final, Protocol, final

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.problem import AGENT_OFFLINE, LINK_BUSY, Problem
from tunnel.core.cluster.crossing import Crossing, encode_crossing, problem_of_answer
from tunnel.core.link.preface import StreamPreface
from tunnel.core.mux.errors import StreamLimitReached
from tunnel.core.mux.session import Role
from tunnel.core.route.table import Lease
from tunnel.drive.guard import guarded
from tunnel.drive.link import Link, StreamHandler
from tunnel.server.hub import Hub
from tunnel.server.parties import Refusable, Tenant, VisitorStream


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
