"""What all connections of one server share: the route table, the links, and the counts that admission looks at."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final, Protocol, final

from tunnel.core.base.ids import Instant, SessionId, StreamId
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Outcome
from tunnel.core.base.partial import base32_text
from tunnel.core.base.problem import SERVER_FULL, TOO_MANY_CONNECTIONS, Problem
from tunnel.core.link.preface import StreamPreface
from tunnel.core.route.table import Lease, RouteTable
from tunnel.drive.link import Link, StreamHandler
from tunnel.drive.reading import read_buffer
from tunnel.observe.events import EventSink
from tunnel.ports import Clock, Entropy


class OpenStream(Protocol):
    """A stream just opened for a visitor."""

    @property
    def link(self) -> Link:
        """The link that carries it."""

    @property
    def stream(self) -> StreamId:
        """Its number there."""


class Session(Protocol):
    """One agent's link, as the visitors' side sees it."""

    def open_for(self, lease: Lease, preface: StreamPreface, handler: StreamHandler) -> Outcome[OpenStream, Problem]:
        """A stream for one visitor, if the lease still permits it; the preface is queued already."""

    def fence(self, lease: Lease, detail: str, now: Instant) -> None:
        """The lease is another's now: its streams end, and the agent is told."""

    def drain(self, grace_seconds: float, now: Instant) -> None:
        """Tell the agent that this server goes."""

    def supersede(self) -> None:
        """The same agent process has a newer link: end this one."""

    def close(self, reason: str) -> None:
        """End the link."""

    def abort_session(self) -> None:
        """End the link at once."""


class Visit(Protocol):
    """One public connection, as the server that shuts down sees it."""

    def drain(self) -> None:
        """Close when idle, else after the running exchange."""

    def abort_session(self) -> None:
        """Close now."""


@final
class Hub:
    """The shared state of one server; it lives as long as its listeners."""

    def __init__(
        self,
        zone: str,
        keys: Mapping[bytes, bytes],
        limits: Limits,
        clock: Clock,
        entropy: Entropy,
        events: EventSink,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.zone: Final = zone
        self.keys: Final = keys
        self.limits: Final = limits
        self.clock: Final = clock
        self.entropy: Final = entropy
        self.events: Final = events
        self.loop: Final = loop
        self.buffer: Final = read_buffer()
        self.table: Final = RouteTable(limits)
        self.sessions: Final[dict[SessionId, Session]] = {}
        self.visits: Final[set[Visit]] = set()
        self.is_draining = False
        self.url_of_names = ""
        """The public URL with `NAME` where a name goes; known once the public listener has its port."""
        self._by_address: Final[Counter[str]] = Counter()
        self._sessions_begun = 0
        self._something_left: Final = asyncio.Event()

    async def no_visits(self) -> None:
        """Return once no public connection is left; for a server that shuts down."""
        while self.visits:
            self._something_left.clear()
            await self._something_left.wait()

    async def no_sessions(self) -> None:
        """Return once no agent is left; for a server that shuts down."""
        while self.sessions:
            self._something_left.clear()
            await self._something_left.wait()

    def note_left(self) -> None:
        """A visit or a session is gone."""
        self._something_left.set()

    def next_session(self) -> SessionId:
        """A number no session of this process had before."""
        self._sessions_begun += 1
        return SessionId(self._sessions_begun)

    def next_id_prefix(self) -> str:
        """Sixteen characters that no other connection's request IDs begin with."""
        return base32_text(self.entropy.random_bytes(10))

    def admit(self, visit: Visit, address: str) -> Problem | None:
        """Count a new public connection in, or say why it is one too many."""
        if len(self.visits) >= self.limits.connections_max:
            return SERVER_FULL
        if self._by_address[address] >= self.limits.connections_per_address_max:
            return TOO_MANY_CONNECTIONS
        self._by_address[address] += 1
        self.visits.add(visit)
        return None

    def dismiss(self, visit: Visit, address: str) -> None:
        """Count a public connection out, once."""
        if visit in self.visits:
            self.visits.discard(visit)
            self.note_left()
            self._by_address[address] -= 1
            if self._by_address[address] <= 0:
                del self._by_address[address]
