"""What all connections of one server share: the route table, the links, and the counts that admission looks at."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, final

from tunnel.core.base.ids import Instant, SessionId
from tunnel.core.base.limits import Limits
from tunnel.core.base.problem import SERVER_FULL, TOO_MANY_CONNECTIONS, Problem
from tunnel.core.directory.directory import UNTOLD, Directory
from tunnel.core.policy.door import Door
from tunnel.core.policy.rules import OPEN_TO_ALL, ServerPolicy
from tunnel.core.route.table import Lease, RouteTable
from tunnel.core.token.token import Token, TokenId, ids_of
from tunnel.drive.guard import Abortable
from tunnel.drive.reading import read_buffer
from tunnel.observe.events import EventSink
from tunnel.observe.metered import MeteredEvents
from tunnel.observe.metrics import Metrics
from tunnel.ports import Clock, Entropy
from tunnel.server.counting import NobodyCounts, UsageCounter
from tunnel.server.gate import judge_all
from tunnel.server.parties import Crossed, Elsewhere, Opener, Session, Visit
from tunnel.server.public_ports import NoPublicPorts, PublicPorts
from tunnel.server.recent import Newsroom, Recent
from tunnel.server.registry import LocalRegistry, Registry
from tunnel.server.urls import Urls

CROSSINGS_MAX: Final = 65_536
"""Streams on one connection between two workers: it stands for all agents of one and all visitors of the other."""
_TURNED_AWAY_MAX: Final = 64
"""Connections above the limit that are told so at the same time; more are dropped without a word."""
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz234567" * 8
"""For each byte that there is a letter, each of them for as many: five bits of randomness a letter."""


@final
class Hub:
    """The shared state of one server; it lives as long as its listeners.

    `connections` are all sockets accepted by either listener and not yet gone; of these `visits` are the visitors that
    were admitted, and `sessions` the agents whose token was verified.
    """

    def __init__(
        self,
        zone: str,
        keys: Mapping[bytes, bytes],
        limits: Limits,
        clock: Clock,
        entropy: Entropy,
        events: EventSink,
        loop: asyncio.AbstractEventLoop,
        connections_possible: int,
        rules: ServerPolicy = OPEN_TO_ALL,
    ) -> None:
        self.zone: Final = zone
        self.keys: Final = keys
        self.limits: Final = limits
        self.clock: Final = clock
        self.entropy: Final = entropy
        self.metrics: Final = Metrics()
        self.recent: Final = Recent()
        self.events: Final[EventSink] = MeteredEvents(self.metrics, Newsroom(self.recent, events))
        self.loop: Final = loop
        self.buffer: Final = read_buffer()
        self.table: Final = RouteTable(limits)
        self.door: Final = Door(rules, limits.addresses_tracked_max)
        self.sessions: Final[dict[SessionId, Session]] = {}
        self.ports: PublicPorts = NoPublicPorts()
        self.registry: Registry = LocalRegistry(self.table, self, clock, entropy)
        self.usage: UsageCounter = NobodyCounts()
        self.directory = UNTOLD
        """What is known of accounts (server/gate.py)."""
        self._sessions_of: Final[dict[TokenId, set[Session]]] = {}
        self.streams_elsewhere: Final[dict[TokenId, dict[int, int]]] = {}
        """Streams of visitors of a token that other workers of this server have told of."""
        self.elsewhere: Elsewhere | None = None
        """The other workers, in a server of several."""
        self.crossing_limits: Final = replace(limits, streams_per_session_max=CROSSINGS_MAX)
        self.crossings: Final[set[Crossed]] = set()
        """Visitors of other workers with a stream to one of our agents."""
        self.visits: Final[set[Visit]] = set()
        self.connections: Final[set[Abortable]] = set()
        self.links = 0
        """How many of the connections are those of agents."""
        self.requests_shown = True
        """Whether the sink wants to hear of each exchange."""
        self.guests: Final[set[Abortable]] = set()
        """Those of the connections that have not said yet whether they are agents or visitors."""
        self.is_draining = False
        self.is_moving = False
        """Draining while other workers go on."""
        self.urls = Urls(zone, 0, 0, None)
        """Where names answer; the true ones are known once the doors have their ports."""
        self._connections_possible: Final = connections_possible
        self._visits_of: Final[Counter[str]] = Counter()
        self._strangers_of: Final[Counter[str]] = Counter()
        self._something_left: Final = asyncio.Event()

    # For a server that shuts down.

    async def no_visits(self) -> None:
        """Return once no public connection is left."""
        while self.visits or self.crossings:
            self._something_left.clear()
            await self._something_left.wait()

    async def all_moved(self) -> None:
        """Return once nobody is on the way in, no visitor is left and no agent holds a name over one of our links."""
        while (
            self.visits or self.crossings or self.guests or any(session.is_needed for session in self.sessions.values())
        ):
            self._something_left.clear()
            await self._something_left.wait()

    async def no_connections(self) -> None:
        """Return once no socket is left but the listeners'."""
        while self.connections:
            self._something_left.clear()
            await self._something_left.wait()

    # For one connection.

    def opener(self, lease: Lease) -> Opener | None:
        """Who opens streams under a lease."""
        session = self.sessions.get(lease.session)
        if session is None and self.elsewhere is not None:
            return self.elsewhere.opener(lease)
        return session

    def leave_crossing(self, crossing: Crossed) -> None:
        """Count a visitor of another worker out, once."""
        self.crossings.discard(crossing)
        self._something_left.set()

    def on_session_moved(self) -> None:
        """An agent needs one of our links no more."""
        self._something_left.set()

    def next_id_prefix(self) -> str:
        """Sixteen characters that no other connection's request IDs begin with."""
        return self.entropy.random_bytes(16).translate(_LETTERS).decode("ascii")

    def admit(self, visit: Visit, address: str) -> Problem | None:
        """Count a new public connection in, or say why it is one too many."""
        self.connections.add(visit)
        if len(self.visits) >= self.limits.connections_max or len(self.connections) > self._connections_possible:
            self.metrics.note_turned_away(SERVER_FULL.code)
            return SERVER_FULL
        if self._visits_of[address] >= self.limits.connections_per_address_max:
            self.metrics.note_turned_away(TOO_MANY_CONNECTIONS.code)
            return TOO_MANY_CONNECTIONS
        self._visits_of[address] += 1
        self.visits.add(visit)
        return None

    def can_turn_away(self) -> bool:
        """Whether there is room to tell one that was not admitted why."""
        return len(self.connections) - len(self.visits) - len(self.guests) - self.links <= _TURNED_AWAY_MAX

    def dismiss(self, visit: Visit, address: str) -> None:
        """Count a public connection out, once."""
        self.connections.discard(visit)
        if visit in self.visits:
            self.visits.discard(visit)
            _decrease(self._visits_of, address)
        self._something_left.set()

    @property
    def is_out_of_room(self) -> bool:
        """Whether one more connection, of whomever, is one too many."""
        return len(self.connections) >= self._connections_possible

    def guest_refusal(self, address: str) -> str:
        """Why one more connection to the TLS port is one too many; "" when it is not."""
        if len(self.connections) >= self._connections_possible:
            return "the server holds as many connections as it may"
        if self._strangers_of[address] >= self.limits.handshakes_per_address_max:
            return "too many handshakes from this address are not finished"
        return ""

    def admit_guest(self, guest: Abortable, address: str) -> None:
        """Count a connection to the TLS port in, until it has said what it is and its handshake is done."""
        self._strangers_of[address] += 1
        self.guests.add(guest)
        self.connections.add(guest)

    def dismiss_guest(self, guest: Abortable, address: str) -> None:
        """Count it out, once."""
        if guest in self.guests:
            _decrease(self._strangers_of, address)
            self.guests.discard(guest)
            self.connections.discard(guest)
        self._something_left.set()

    def link_refusal(self, address: str) -> str:
        """Why one more agent's connection is one too many; "" when it is not."""
        if self.links >= self.limits.links_max or len(self.connections) >= self._connections_possible:
            return "the server holds as many links as it may"
        if self._strangers_of[address] >= self.limits.handshakes_per_address_max:
            return "too many handshakes from this address are not finished"
        return ""

    def admit_link(self, link: Abortable, address: str) -> None:
        """Count a new agent's connection in, as a stranger for now."""
        self._strangers_of[address] += 1
        self.links += 1
        self.connections.add(link)

    def recognise(self, address: str) -> None:
        """An admitted agent has shown a valid token, or is gone without: no stranger any more. Once for each."""
        _decrease(self._strangers_of, address)

    def begin(self, number: SessionId, session: Session, token: Token) -> None:
        """Let visitors find a session."""
        self.sessions[number] = session
        for token_id in ids_of(token):
            self._sessions_of.setdefault(token_id, set()).add(session)

    def end(self, number: SessionId, token: Token) -> bool:
        """Let no visitor find it any more; whether it was there."""
        session = self.sessions.pop(number, None)
        self._something_left.set()
        if session is None:
            return False
        for token_id in ids_of(token):
            others = self._sessions_of[token_id]
            others.discard(session)
            if not others:
                del self._sessions_of[token_id]
        return True

    def learn(self, directory: Directory, now: Instant) -> None:
        """Decide by this directory from now on, and end at once what it does not allow any more."""
        self.directory = directory
        self.table.tolls.learn(directory, self.table.accounts())
        self.registry.learn(directory)
        judge_all(self.sessions.values(), directory, now)

    def holder(self, number: SessionId) -> Session | None:
        """The session, while it lives."""
        return self.sessions.get(number)

    def is_full(self, token: Token) -> bool:
        """Whether the token, or one that it was narrowed from, has as many streams of visitors open as it may."""
        if self._visitors_of(token.token_id) >= token.streams_max:
            return True
        return any(self._visitors_of(bound.token_id) >= bound.streams_max for bound in token.ancestors)

    def _visitors_of(self, token: TokenId) -> int:
        """Streams of visitors open now over all sessions of one token and of those narrowed from it."""
        here = sum(session.visitors for session in self._sessions_of.get(token, ()))
        return here + sum(self.streams_elsewhere.get(token, {}).values()) if self.streams_elsewhere else here

    def streams_here(self) -> dict[TokenId, int]:
        """Streams of visitors of each token at this process, where there are any."""
        counts = {token: sum(each.visitors for each in sessions) for token, sessions in self._sessions_of.items()}
        return {token: count for token, count in counts.items() if count > 0}

    def dismiss_link(self, link: Abortable) -> None:
        """Count an agent's connection out, once."""
        if link in self.connections:
            self.connections.discard(link)
            self.links -= 1
        self._something_left.set()


def _decrease(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
