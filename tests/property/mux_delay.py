"""Two sessions on a path that delays everything by the same time and limits nothing; time is a number."""

from collections import deque
from dataclasses import dataclass, field

from mux_support import PLENTY, START, client, server

from tunnel.core.base.ids import Instant, StreamId
from tunnel.core.base.limits import DEFAULT_LIMITS, Limits
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.mux.events import StreamData, StreamOpened
from tunnel.core.mux.session import Session

READ = 64 * 1024


@dataclass
class Far:
    """A client that writes and a server that reads, `one_way` seconds apart; reads and writes take no time at all."""

    one_way: float
    limits: Limits = DEFAULT_LIMITS
    now: Instant = START
    ends: tuple[Session, Session] = field(init=False)
    sent: tuple[deque[tuple[float, bytes]], deque[tuple[float, bytes]]] = field(init=False)
    got: dict[StreamId, int] = field(default_factory=dict)
    held: dict[StreamId, int] = field(default_factory=dict)
    stalled: set[StreamId] = field(default_factory=set)
    """Streams whose reader takes nothing now."""

    def __post_init__(self) -> None:
        self.ends = (client(self.limits), server(self.limits))
        self.sent = (deque(), deque())

    def meet(self) -> None:
        """Let both ends ask for the round trip, as a link does when it is up."""
        for session in self.ends:
            session.ping(self.now)
        self.go_on(2.5 * self.one_way)

    def write(self) -> None:
        """Put all output of both ends on the path."""
        for end in (0, 1):
            out = self.ends[end].poll_output(PLENTY)
            self.ends[end].take_events()
            if out:
                self.sent[end].append((self.now + self.one_way, out))

    def deliver(self) -> None:
        """Take what is due off the path, in reads of 64 KiB; the server's reader takes it at once, unless it stalls."""
        for end in (0, 1):
            path = self.sent[1 - end]
            while path and path[0][0] <= self.now:
                wire = path.popleft()[1]
                for at in range(0, len(wire), READ):
                    self.read(end, wire[at : at + READ])

    def read(self, end: int, wire: bytes) -> None:
        """One read of one end."""
        outcome = self.ends[end].receive(wire, self.now)
        assert isinstance(outcome, Success), error_of(outcome)
        for event in value_of(outcome):
            if isinstance(event, StreamOpened):
                self.got[event.stream] = self.held[event.stream] = 0
            elif isinstance(event, StreamData):
                self.held[event.stream] += len(event.data)
                if event.stream not in self.stalled:
                    self.take(event.stream, len(event.data))

    def take(self, stream: StreamId, count: int) -> None:
        """The server's reader takes some of what is held."""
        self.held[stream] -= count
        self.got[stream] += count
        self.ends[1].return_credit(stream, count, self.now)

    def go_on(self, seconds: float) -> None:
        """Let time pass from one arrival to the next."""
        end = self.now + seconds
        while True:
            self.write()
            dues = [path[0][0] for path in self.sent if path]
            if not dues or min(dues) > end:
                break
            self.now = Instant(min(dues))
            self.deliver()
        self.now = Instant(end)


def carried(limits: Limits, seconds: float, one_way: float = 0.05) -> Far:
    """One stream with more to send than there is time for."""
    far = Far(one_way, limits)
    far.meet()
    opened = far.ends[0].open_stream()
    assert isinstance(opened, Success)
    stream = value_of(opened)
    piece = bytes(1 << 20)
    until = far.now + seconds
    while far.now < until:
        while far.ends[0].queued(stream) < 32 << 20:
            far.ends[0].send(stream, piece)
        far.go_on(one_way)
    return far
