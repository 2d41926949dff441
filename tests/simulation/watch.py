"""What must hold, checked all along and at the end; each breach is a sentence."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

from tests.simulation.accounts import Accounts
from tests.simulation.exchange import Exchange
from tests.simulation.kernel import Kernel

from tunnel.core.base.ids import StreamId
from tunnel.core.base.limits import READ_BYTES, Limits
from tunnel.core.base.outcome import Success
from tunnel.core.base.problem import (
    ADDRESS_DENIED,
    AGENT_OFFLINE,
    BYTES_USED_UP,
    LINK_BUSY,
    NOT_PERMITTED,
    REQUESTS_USED_UP,
    SERVER_FULL,
    TOO_MANY_CONNECTIONS,
    account_rate_limited,
)
from tunnel.core.mux.events import Event as MuxEvent
from tunnel.core.mux.events import StreamData, StreamEnded, StreamReset
from tunnel.core.mux.session import Session
from tunnel.drive.address import Address
from tunnel.drive.link import Link
from tunnel.observe.events import (
    ConnectionDone,
    Event,
    ExchangeDone,
    NameGranted,
    NameReleased,
    ServerReady,
    SessionEnded,
    SessionOpened,
)
from tunnel.server.hub import Hub
from tunnel.server.raw import RawConnection

_FINDINGS_MAX: Final = 20
_NEVER_HAD_AGENT: Final = frozenset(
    problem.code
    for problem in (
        AGENT_OFFLINE,
        SERVER_FULL,
        TOO_MANY_CONNECTIONS,
        ADDRESS_DENIED,
        REQUESTS_USED_UP,
        BYTES_USED_UP,
        LINK_BUSY,
        NOT_PERMITTED,
        account_rate_limited(1),
    )
)
"""Outcomes of raw connections that were turned away before a stream was opened for them."""
_LOOK_EVERY: Final = 64
"""Turns between two looks at all limits."""


@final
class Watch:
    """Collects findings of one run."""

    def __init__(
        self, kernel: Kernel, limits: Limits, agent_of: Callable[[str], int], *, is_pooled: bool = False
    ) -> None:
        self._kernel: Final = kernel
        self.limits: Final = limits
        self._agent_of: Final = agent_of
        self._is_pooled: Final = is_pooled
        self.findings: Final[list[str]] = []
        self.exchanges: Final[dict[int, Exchange]] = {}
        self.hubs: Final[list[Hub]] = []
        self.ledgers: Final[dict[int, Ledger]] = {}
        self._agents: Final[dict[int, int]] = {}
        self._holders: Final[dict[str, int]] = {}
        self._fences: Final[dict[tuple[int, str], float]] = {}
        self.ended_at: Final[dict[int, float]] = {}
        """When the server said that a link is over, by its session."""
        self.accounts: Final = Accounts(kernel, self.found)
        self.state = ""
        """The server's state directory, whose name is another in every run."""
        self.granted: Final[set[tuple[int, str]]] = set()
        """Which agents ever had which names."""
        self.released_at: Final[dict[tuple[int, str], float]] = {}
        """When the server said that a session answers for a name no more."""
        self.raw: Final[dict[str, Tally]] = {}
        """Raw connections, by the host that they came from."""
        self.exchanges_max = 0
        """Of one name at the same time, where the world has such a limit."""
        self._turns = 0
        self.is_up: Final = asyncio.Event()
        """The server accepts."""

    def found(self, finding: str) -> None:
        """Note a breach."""
        self._kernel.say(f"FOUND {finding}")
        if len(self.findings) < _FINDINGS_MAX:
            self.findings.append(f"at {self._kernel.now:.3f}: {finding}")

    def fenced_at(self, agent: int, name: str) -> float:
        """When an agent lost a name to another, or what it had was taken away; never, if it was not."""
        return min(self._fences.get((agent, name), float("inf")), self.accounts.closed_at(agent))

    def exchange_of(self, number: int) -> Exchange | None:
        """The planned exchange with this number."""
        return self.exchanges.get(number)

    def emit(self, event: Event) -> None:
        """Hear what the server says of itself."""
        if not isinstance(event, ExchangeDone):
            self._kernel.say(f"server {type(event).__name__} {_plain(event, self.state)}")
        if isinstance(event, ServerReady):
            self.is_up.set()
        elif isinstance(event, SessionOpened):
            self._agents[event.session] = self._agent_of(event.peer.rpartition(":")[0])
            self.accounts.on_opened(event)
        elif isinstance(event, NameGranted):
            self._note_grant(event)
        elif isinstance(event, SessionEnded):
            self.ended_at[event.session] = self._kernel.now
        elif isinstance(event, NameReleased):
            self.released_at.setdefault((event.session, event.name), self._kernel.now)
        elif isinstance(event, ConnectionDone):
            self._note_connection(event)
        elif isinstance(event, ExchangeDone):
            self._note_done(event)

    def agent_of(self, session: int) -> int:
        """Which agent opened a session, -1 when that is not known."""
        return self._agents.get(session, -1)

    def _note_connection(self, event: ConnectionDone) -> None:
        tally = self.raw.setdefault(event.peer, Tally())
        tally.done += 1
        tally.bytes_up += event.bytes_up
        tally.bytes_down += event.bytes_down
        self.accounts.on_connection(event, had_agent=event.outcome not in _NEVER_HAD_AGENT)

    def _note_grant(self, event: NameGranted) -> None:
        self.released_at.pop((event.session, event.name), None)
        agent = self._agents.get(event.session, -1)
        self.granted.add((agent, event.name))
        self.accounts.on_granted(event, agent, self.hubs)
        before = self._holders.get(event.name, agent)
        self._holders[event.name] = agent
        self._fences.pop((agent, event.name), None)
        if before != agent and not self._is_pooled:
            self._fences[before, event.name] = self._kernel.now

    def _note_done(self, event: ExchangeDone) -> None:
        self._kernel.say(f"server {event.method} {event.target} {event.status} {event.outcome}")
        self.accounts.on_exchange(event)
        if not event.target and event.status >= 400:
            return  # a head that never became whole is refused, and began no exchange
        exchange = self.exchanges.get(int(event.target.rpartition("/")[2] or "-1"))
        if exchange is None:
            self.found(f"the server reports an exchange that nobody began: {event}")
        else:
            exchange.outcomes.append(event.outcome)
            exchange.session = event.session
            if len(exchange.outcomes) > 1:
                self.found(f"two outcomes: {exchange.story()}")

    # All along.

    def look(self) -> None:
        """Called once a turn of the loop."""
        self._turns += 1
        if self._turns % _LOOK_EVERY:
            return
        limits = self.limits
        for hub in self.hubs:
            if len(hub.visits) > limits.connections_max or hub.links > limits.links_max:
                self.found(f"more connections than may be: {len(hub.visits)} visitors, {hub.links} agents")
            self._look_at_limits(hub)
            if not hub.connections >= hub.visits:
                self.found("a visitor is counted that has no connection")
        for ledger in self.ledgers.values():
            ledger.look(self.found)
        self.accounts.look(self.hubs)
        for host, tally in self.raw.items():
            if tally.done > tally.begun:
                self.found(f"{tally.done} outcomes of {tally.begun} raw connections from {host}")

    def _look_at_limits(self, hub: Hub) -> None:
        running: Counter[str] = Counter()
        for lease in hub.table.leases() if self.exchanges_max else ():
            running[lease.name] += lease.outstanding
        for name, count in running.items():
            if count > self.exchanges_max:
                self.found(f"{count} exchanges of {name} at the same time, and {self.exchanges_max} may be")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hear of each hub and each link that is made inside, and of what passes their sessions."""
        watch = self
        originals = [(owner, name, getattr(owner, name)) for owner, name in _WATCHED]
        hub_made, link_made, taken, returned, send, reset, raw_begun = (original for _, _, original in originals)

        def on_hub(self: Hub, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
            hub_made(self, *args, **kwargs)
            watch.hubs.append(self)

        def on_link(self: Link, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
            link_made(self, *args, **kwargs)
            session: Session = getattr(self, "_session")  # noqa: B009 - the one look behind its doors
            watch.ledgers[id(session)] = Ledger(self, session, watch.limits)

        def on_taken(self: Session) -> list[MuxEvent]:
            events: list[MuxEvent] = taken(self)
            watch.ledgers[id(self)].on_events(events)
            return events

        def on_returned(self: Session, stream: int, count: int, *args: Any) -> Any:  # noqa: ANN401 - passed on
            watch.ledgers[id(self)].on_returned(stream, count, watch.found)
            return returned(self, stream, count, *args)

        def on_send(self: Session, stream: int, data: bytes) -> Any:  # noqa: ANN401 - passed on
            answer = send(self, stream, data)
            if isinstance(answer, Success):
                watch.ledgers[id(self)].on_sent(stream, len(data))
            return answer

        def on_reset(self: Session, stream: int) -> None:
            watch.ledgers[id(self)].resets.add(stream)
            reset(self, stream)

        wrapped = (on_hub, on_link, on_taken, on_returned, on_send, on_reset, self._raw_counted(raw_begun))
        for (owner, name, _), value in zip(originals, wrapped, strict=True):
            setattr(owner, name, value)
        try:
            yield
        finally:
            for owner, name, value in originals:
                setattr(owner, name, value)

    def _raw_counted(self, begun: Callable[..., None]) -> Callable[..., None]:
        def on_raw(raw: RawConnection, transport: Any) -> None:  # noqa: ANN401 - passed on
            begun(raw, transport)
            peer: Address = getattr(raw, "_peer")  # noqa: B009 - likewise
            self.raw.setdefault(peer.host, Tally()).begun += 1

        return on_raw

    def balance(self) -> None:
        """At rest: what one end of each link sent is what the other was told, but for streams that were reset."""
        known = {ledger.addresses(): ledger for ledger in self.ledgers.values()}
        for ends, ledger in known.items():
            other = known.get((ends[1], ends[0]))
            if other is not None and all(ends):
                ledger.balance(other, self.found)


_WATCHED: Final[tuple[tuple[type, str], ...]] = (
    (Hub, "__init__"),
    (Link, "__init__"),
    (Session, "take_events"),
    (Session, "return_credit"),
    (Session, "send"),
    (Session, "reset"),
    (RawConnection, "on_connected"),
)


@final
@dataclass(slots=True)
class Tally:
    """Raw connections of one host: how many began, how many have had their outcome, and what was counted of them."""

    begun: int = 0
    done: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


@final
class Ledger:
    """What passed one end of one link, per stream."""

    def __init__(self, link: Link, session: Session, limits: Limits) -> None:
        self._link: Final = link
        self._session: Final = session
        self._limits: Final = limits
        self.sent: Final[dict[int, int]] = {}
        self.told: Final[dict[int, int]] = {}
        self.returned: Final[dict[int, int]] = {}
        self.resets: Final[set[int]] = set()
        self.ended: Final[set[int]] = set()
        self._ends: tuple[object, object] = ("", "")

    def on_events(self, events: list[MuxEvent]) -> None:
        """The session told its owner something."""
        for event in events:
            if isinstance(event, StreamData):
                self.told[event.stream] = self.told.get(event.stream, 0) + len(event.data)
            elif isinstance(event, StreamReset):
                self.resets.add(event.stream)
            elif isinstance(event, StreamEnded):
                self.ended.add(event.stream)

    def on_sent(self, stream: int, count: int) -> None:
        """Its owner queued bytes."""
        self.sent[stream] = self.sent.get(stream, 0) + count

    def on_returned(self, stream: int, count: int, found: Callable[[str], None]) -> None:
        """Its owner gave credit back."""
        self.returned[stream] = self.returned.get(stream, 0) + count
        if self.returned[stream] > self.told.get(stream, 0):
            found(f"stream {stream}: {self.returned[stream]} bytes given back of {self.told.get(stream, 0)} received")

    def look(self, found: Callable[[str], None]) -> None:
        """The limits of one session."""
        if self._session.live_streams > self._limits.streams_per_session_max:
            found(f"{self._session.live_streams} streams on one link")
        if self._session.unread > self._limits.session_buffer_bytes_max:
            found(f"{self._session.unread} bytes unread on one link")
        for stream in self.sent:
            queued = self._session.queued(StreamId(stream))
            if queued > self._limits.stream_queue_bytes + 2 * READ_BYTES:
                found(f"{queued} bytes queued on stream {stream}")

    def addresses(self) -> tuple[object, object]:
        """Both ends of the connection under it; empty before there is one."""
        transport: Any = getattr(self._link, "_transport", None)
        if transport is not None:
            self._ends = (transport.get_extra_info("sockname"), transport.get_extra_info("peername"))
        return self._ends

    def balance(self, other: "Ledger", found: Callable[[str], None]) -> None:
        """What we sent is what the other was told."""
        for stream, sent in self.sent.items():
            told = other.told.get(stream, 0)
            on_the_way = sent - self._session.queued(StreamId(stream)) - told
            is_broken = stream in self.resets or stream in other.resets
            if on_the_way < 0:
                found(f"stream {stream}: told {told} bytes of {sent} that were sent")
            elif on_the_way and not is_broken and stream in other.ended:
                found(f"stream {stream}: {on_the_way} bytes of {sent} never came, and it ended well")


def _plain(event: Event, state: str) -> str:
    text = str(event).replace(state or "nowhere", "STATE")
    return text[text.find("(") :][:160]
