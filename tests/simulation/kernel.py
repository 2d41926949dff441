"""A network in memory: hosts, TCP connections and their buffers, with virtual time and every whim drawn from a seed.

What a system call may do is decided here; what a program does about it is not: above this stand asyncio's own selector
loop and the unmodified product. Order within one direction of a connection is kept, nothing else is promised.
"""

import errno
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, final
from zlib import crc32

from tests.simulation.end import End
from typing_extensions import override

HOST: Final[ContextVar[str]] = ContextVar("HOST", default="10.9.9.9")
"""On which machine the code that runs now stands; tasks and callbacks inherit it."""

_LOG_LINES: Final = 4000
_SYN_RETRY_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 127.0
"""What Linux waits for an answer to a SYN, six retries."""
EPHEMERAL: Final = 40_000


@final
class Stuck(Exception):  # noqa: N818 - a finding, told like the other findings
    """Nothing is ready, nothing is in flight and no timer is set, yet somebody waits: a hang."""

    @override
    def __str__(self) -> str:
        return "nothing is ready, nothing flies and no timer is set"


@final
class Endless(Exception):  # noqa: N818 - likewise
    """The loop turns and turns while no time passes, or far beyond all deadlines: turns, seconds."""


@final
@dataclass(frozen=True, slots=True)
class Weather:
    """How the network treats connections that nobody harms; seconds and bytes."""

    latency: float = 0.002
    jitter: float = 0.001
    chop: int = 65536
    """Pieces that arrive are at most this long, at first."""
    buffer: int = 65536
    """Of each socket and direction."""
    record: int = 16_384
    """TLS records are at most this long, at first."""
    is_partial: bool = False
    """Reads and writes take less than they could."""


@final
class Listener:
    """A listening address: those who wait to be accepted, and who accepts."""

    def __init__(self, host: str, port: int, backlog: int, on_change: Callable[[], None]) -> None:
        self.host: Final = host
        self.port: Final = port
        self.backlog: Final = backlog
        self.on_change: Final = on_change
        self.waiting: Final[deque[End]] = deque()


@final
class Kernel:
    """Time, the network and its record. Finished when its loop is closed."""

    def __init__(self, seed: str, weather: Weather, *, tells_content: bool = True) -> None:
        self.random: Final = random.Random(f"{seed}/network")
        self.weather: Final = weather
        self.now = 1000.0
        """The monotonic clock, in seconds."""
        self.unix_offset = 1_795_000_000.0
        """What the wall clock shows beyond it."""
        self.turns = 0
        self.listeners: Final[dict[tuple[str, int], Listener]] = {}
        self.ends: Final[dict[int, End]] = {}
        """Of all connections, until both sides are through with them."""
        self.names: Final[dict[str, str]] = {}
        self.deafened: Final[set[str]] = set()
        """Hosts of which a connection was made deaf, at its one side or its other."""
        self.paused = 0.0
        """For how long the machine stood still."""
        self.cut: Final[set[frozenset[str]]] = set()
        """Pairs of hosts between which nothing passes."""
        self.log: Final[deque[str]] = deque(maxlen=_LOG_LINES)
        self.digest = 0
        self.dropped = 0
        """Bytes that were written and will never be read."""
        self._tells_content: Final = tells_content
        self._due: Final[list[tuple[float, int, Callable[[], None]]]] = []
        self._serial: Final = itertools.count(1)
        self._ports: Final = itertools.count(EPHEMERAL)
        self._numbers: Final = itertools.count(1)

    # Time.

    def monotonic(self) -> float:
        """Seconds of the virtual monotonic clock."""
        return self.now

    def time(self) -> float:
        """Seconds since 1970 on the virtual wall clock."""
        return self.now + self.unix_offset

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Do something at a moment, or at once when it has passed; equal moments keep their order."""
        heapq.heappush(self._due, (when, next(self._serial), what))

    def next_due(self) -> float | None:
        """When something happens next by itself."""
        return self._due[0][0] if self._due else None

    def happen(self) -> None:
        """All that is due by now."""
        while self._due and self._due[0][0] <= self.now:
            heapq.heappop(self._due)[2]()

    # The record.

    def note(self, what: str, number: int, size: int = 0, content: bytes | bytearray | memoryview = b"") -> None:
        """One event of the network; the digest over all of them is what a seed repeats."""
        mark = crc32(content) if self._tells_content and content else 0
        line = f"{self.now:.6f} {what} {number} {size} {mark:08x}"
        self.digest = crc32(line.encode(), self.digest)
        self.log.append(line)

    def say(self, what: str) -> None:
        """Something worth reading between the events of the network."""
        line = f"{self.now:.6f} {what}"
        self.digest = crc32(line.encode(), self.digest)
        self.log.append(line)

    # Addresses.

    def free_port(self) -> int:
        """A port that nobody had before."""
        return next(self._ports)

    def address_of(self, host: str) -> str | None:
        """What a name resolves to; a numeric address is its own."""
        return host if host[:1].isdigit() or ":" in host else self.names.get(host)

    def listen(self, host: str, port: int, backlog: int, on_change: Callable[[], None]) -> Listener:
        """Take connections at an address from now on."""
        if (host, port) in self.listeners:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        made = Listener(host, port, backlog, on_change)
        self.listeners[host, port] = made
        return made

    def unlisten(self, listener: Listener) -> None:
        """Take none any more; those who wait are reset."""
        if self.listeners.get((listener.host, listener.port)) is listener:
            del self.listeners[listener.host, listener.port]
        while listener.waiting:
            listener.waiting.popleft().close(is_hard=True)

    # Connections.

    def connect(self, source: str, host: str, port: int, on_change: Callable[[], None]) -> End:
        """Begin a connection; the end says when it stands or why it does not."""
        end = End(self, next(self._numbers), (source, self.free_port()), (host, port), on_change)
        self.ends[end.number] = end
        self.note("connect", end.number, port)
        self._knock(end, self.now + _CONNECT_SECONDS)
        return end

    def connect_beside(self, source: str, place: str, on_change: Callable[[], None]) -> End:
        """A connection to a Unix socket, which stands at once; OSError when nobody listens there."""
        listener = self.listeners.get((place, 0))
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        if len(listener.waiting) >= listener.backlog:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        end = End(self, next(self._numbers), (source, 0), (place, 0), on_change)
        other = End(self, next(self._numbers), (place, 0), (source, 0), _nobody)
        for each in (end, other):
            self.ends[each.number] = each
            each.is_connected, each.tells_content = True, False  # paths have another name in every run
        end.join(other)
        self.note("beside", end.number, other.number)
        listener.waiting.append(other)
        listener.on_change()
        return end

    def _knock(self, end: End, deadline: float) -> None:
        self.at(self.now + end.delay(), lambda: self._on_knock(end, deadline))

    def _on_knock(self, end: End, deadline: float) -> None:
        if end.is_closed or end.error:
            return
        listener = self.listeners.get(end.peer_address)
        lost = self.is_cut(end)
        if lost or (listener is not None and len(listener.waiting) >= listener.backlog):
            if self.now >= deadline:
                end.fail(errno.ETIMEDOUT)
            else:
                self.at(self.now + _SYN_RETRY_SECONDS, lambda: self._on_knock(end, deadline))
        elif listener is None:
            self.note("refused", end.number)
            self.at(self.now + end.delay(), lambda: end.fail(errno.ECONNREFUSED))
        else:
            other = End(self, next(self._numbers), end.peer_address, end.address, _nobody)
            self.ends[other.number] = other
            end.join(other)
            other.is_connected = True
            listener.waiting.append(other)
            self.note("syn", other.number, end.number)
            listener.on_change()
            self.at(self.now + end.delay(), end.on_connected)

    def is_cut(self, end: End) -> bool:
        """Whether nothing passes between the two hosts of a connection."""
        return bool(self.cut) and frozenset((end.address[0], end.peer_address[0])) in self.cut

    def part(self, first: str, second: str) -> None:
        """Let nothing pass between two hosts."""
        self.cut.add(frozenset((first, second)))
        self.say(f"part {first} {second}")

    def heal(self, first: str, second: str) -> None:
        """Let everything pass again: what was sent meanwhile is sent again."""
        self.cut.discard(frozenset((first, second)))
        self.say(f"heal {first} {second}")
        for end in list(self.ends.values()):
            end.land()
            end.push()

    def between(self, first: str, second: str) -> list[End]:
        """The connections of two hosts that stand, one end of each: the one that dialled."""
        pair = {first, second}
        return [
            end
            for end in self.ends.values()
            if end.dialled and end.is_connected and not end.is_closed and {end.address[0], end.peer_address[0]} == pair
        ]


def _nobody() -> None:
    """Nobody holds this end yet."""
