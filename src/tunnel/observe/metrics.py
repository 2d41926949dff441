"""What one process of the data plane counts: plain numbers, changed in one thread and read when asked (ADR 0059)."""

from bisect import bisect_left
from typing import Final, final

from tunnel.core.relay.actions import Report

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: from what a local service needs that answers from memory to what a person waits for at most."""
_FIRST: Final = 0.001


@final
class Histogram:
    """How many durations fell between which bounds; the last count is for those beyond all of them."""

    def __init__(self) -> None:
        self.counts: Final = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        """The sum of all durations."""

    def observe(self, seconds: float) -> None:
        """One more duration."""
        # A bound is the largest duration of its bucket, as Prometheus has it (`le`); most durations are in the first.
        self.counts[0 if seconds <= _FIRST else bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


@final
class Metrics:
    """The counters of one process, from its start on; none ever falls."""

    def __init__(self) -> None:
        self.exchanges: Final[dict[str, int]] = {}
        """By outcome: `ok`, or the stable code of what failed."""
        self.connections: Final[dict[str, dict[str, int]]] = {}
        """Raw connections, by kind (`tcp`, `tls`) and outcome."""
        self.turned_away: Final[dict[str, int]] = {}
        """Visitors that were not let in at all, by code."""
        self.agents_refused: Final[dict[str, int]] = {}
        self.sessions_opened = 0
        self.sessions_ended = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self.whole: Final = Histogram()
        self.edge: Final = Histogram()
        self.link: Final = Histogram()
        self.local: Final = Histogram()
        self.body: Final = Histogram()

    def note_exchange(self, done: Report) -> None:
        """One exchange reached its end. What never was one, as its head could not be read, has no durations."""
        outcome = done.outcome
        self.exchanges[outcome] = self.exchanges.get(outcome, 0) + 1
        self.bytes_up += done.bytes_up
        self.bytes_down += done.bytes_down
        if not done.method:
            return
        self.whole.observe(done.seconds)
        hops = done.hops
        self.edge.observe(hops.edge)
        self.link.observe(hops.link)
        self.local.observe(hops.local)
        self.body.observe(hops.body)

    def note_connection(self, kind: str, outcome: str, bytes_up: int, bytes_down: int) -> None:
        """One raw connection reached its end."""
        self.bytes_up += bytes_up
        self.bytes_down += bytes_down
        _count(self.connections.setdefault(kind, {}), outcome)

    def note_turned_away(self, code: str) -> None:
        """A visitor was one too many."""
        _count(self.turned_away, code)

    def note_agent_refused(self, code: str) -> None:
        """An agent was not let in."""
        _count(self.agents_refused, code)


def _count(counts: dict[str, int], code: str) -> None:
    counts[code] = counts.get(code, 0) + 1
