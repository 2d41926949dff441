"""The last exchanges of each name, as metadata, and the news for whoever listens to the feed."""

import dataclasses
import json
from collections import OrderedDict, deque
from time import time
from typing import Final, TypeAlias, final

from tunnel.core.relay.actions import Report
from tunnel.drive.feed import Subscription
from tunnel.observe.events import Event, EventSink, ExchangeDone

RECENT_MAX: Final = 50
"""Exchanges kept for a name."""
NAMES_MAX: Final = 1_000
"""Names that exchanges are kept of, those first used last: some 50 MB when all rings are full of the longest."""
TARGET_BYTES_MAX: Final = 512
"""Of a target no more is kept: it is as long as a visitor likes."""

_Kept: TypeAlias = tuple[Report, str, float]
"""What ended, whose request it was, and when, in seconds since 1970."""


@final
class Recent:
    """Lives as long as its server. Bodies, header fields and queries are in none of it."""

    def __init__(self) -> None:
        self._rings: Final[OrderedDict[str, deque[_Kept]]] = OrderedDict()
        self._subscriptions: Final[set[Subscription]] = set()

    def note(self, report: Report, peer: str) -> None:
        """One exchange that reached an agent has ended."""
        ring = self._rings.get(report.name)
        if ring is None:
            ring = self._ring(report.name)
        kept = (report if len(report.target) <= TARGET_BYTES_MAX else _shortened(report), peer, time())
        ring.append(kept)
        if self._subscriptions:
            self._tell({"event": "exchange", **facts_of(kept)})

    def of(self, name: str, count: int = RECENT_MAX) -> list[dict[str, object]]:
        """The last exchanges of a name, the newest first."""
        return [facts_of(kept) for kept in reversed(list(self._rings.get(name, ()))[-count:])]

    def on_event(self, event: Event) -> None:
        """Something else happened."""
        if self._subscriptions and not isinstance(event, ExchangeDone):
            self._tell({"event": type(event).__name__, **dataclasses.asdict(event)})

    def subscribe(self) -> Subscription:
        """News from now on."""
        subscription = Subscription()
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """No more."""
        self._subscriptions.discard(subscription)

    def pass_on(self, line: str) -> None:
        """A piece of news of another process."""
        for subscription in self._subscriptions:
            subscription.put(line)

    def _tell(self, piece: dict[str, object]) -> None:
        self.pass_on(json.dumps(piece))

    def _ring(self, name: str) -> deque[_Kept]:
        while len(self._rings) >= NAMES_MAX:
            self._rings.popitem(last=False)
        ring: deque[_Kept] = deque(maxlen=RECENT_MAX)
        self._rings[name] = ring
        return ring


@final
class Newsroom:
    """A sink that lets the feed hear what the next one is told."""

    def __init__(self, recent: Recent, next_sink: EventSink) -> None:
        self._recent: Final = recent
        self._next: Final = next_sink

    def emit(self, event: Event) -> None:
        """Tell both."""
        self._recent.on_event(event)
        self._next.emit(event)


def facts_of(kept: _Kept) -> dict[str, object]:
    """One exchange in words; of its target the path alone, as queries hold secrets."""
    report, peer, at = kept
    return {
        "at": round(at - report.seconds, 3),
        "request_id": report.request_id,
        "name": report.name,
        "method": report.method[:32].decode("latin-1"),
        "path": report.target.partition(b"?")[0].decode("latin-1"),
        "status": report.status,
        "outcome": report.outcome,
        "milliseconds": round(report.seconds * 1000, 3),
        "hops": {
            "edge": round(report.hops.edge * 1000, 3),
            "link": round(report.hops.link * 1000, 3),
            "local": round(report.hops.local * 1000, 3),
            "body": round(report.hops.body * 1000, 3),
        },
        "bytes_up": report.bytes_up,
        "bytes_down": report.bytes_down,
        "session": report.session,
        "peer": peer,
    }


def _shortened(report: Report) -> Report:
    """The same with as much of its target as is kept."""
    return Report(
        report.request_id,
        report.name,
        report.method,
        report.target[:TARGET_BYTES_MAX],
        report.status,
        report.seconds,
        report.outcome,
        report.bytes_up,
        report.bytes_down,
        report.session,
        report.account,
        report.hops,
    )
