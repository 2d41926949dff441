"""What the data plane answers over the feed, read into records: what is not as expected is left out, never guessed.

The two processes are of one version but may be of two for the moment of an upgrade; so a page reads what it knows.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from tunnel.api.feeding import Feed
from tunnel.api.pages.traffic import Reading
from tunnel.core.base.ids import Instant, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of

ROWS_MAX: Final = 2000
"""Rows that a page reads of one answer; the feed bounds its answers as well."""


@final
@dataclass(frozen=True, slots=True)
class LiveSession:
    """One agent's session; `account` and `token` in hexadecimal. `silent` is how long it was not heard, in seconds."""

    session: int
    account: str
    token: str
    peer: str
    host: str
    since: UnixSeconds
    silent: float
    streams: int
    names: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class LiveEndpoint:
    """One name that is answered for by one session; `lapses` is when it is given up unless it is heard again."""

    name: str
    kind: str
    account: str
    session: int
    peer: str
    host: str
    since: UnixSeconds
    heartbeat: UnixSeconds
    lapses: UnixSeconds
    epoch: int
    outstanding: int
    is_healthy: bool


@final
@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange that ended: what of it is metadata. Times in milliseconds; a hop's is 0 where it was not reached."""

    request: str
    at: UnixSeconds
    method: str
    path: str
    status: int
    outcome: str
    total: float
    edge: float
    link: float
    local: float
    body: float
    bytes_up: int
    bytes_down: int
    session: int


async def live_sessions(feed: Feed, **wanted: str) -> Outcome[tuple[LiveSession, ...], str]:
    """The sessions of the data plane with all that is `wanted`: an `account`, the number of a `session`; "" is any."""
    told = await feed.ask("sessions")
    if not isinstance(told, Success):
        return told
    found = [
        LiveSession(
            _number(row, "session"),
            _text(row, "account"),
            _text(row, "token"),
            _text(row, "peer"),
            _text(row, "host"),
            UnixSeconds(_number(row, "since")),
            _float(row.get("heard_seconds")) or 0.0,
            _number(row, "streams"),
            tuple(sorted(str(name) for name in _list(row, "names"))),
        )
        for row in _rows(value_of(told), wanted)
    ]
    return Success(tuple(sorted(found, key=lambda each: each.session)))


async def live_endpoints(feed: Feed, **wanted: str) -> Outcome[tuple[LiveEndpoint, ...], str]:
    """The endpoints with all that is `wanted`: an `account`, a `name`; "" is any. By name."""
    told = await feed.ask("endpoints")
    if not isinstance(told, Success):
        return told
    found = [
        LiveEndpoint(
            _text(row, "name"),
            _text(row, "kind"),
            _text(row, "account"),
            _number(row, "session"),
            _text(row, "peer"),
            _text(row, "host"),
            UnixSeconds(_number(row, "since")),
            UnixSeconds(_number(row, "heartbeat")),
            UnixSeconds(_number(row, "lapses")),
            _number(row, "epoch"),
            _number(row, "outstanding"),
            row.get("healthy") is not False,
        )
        for row in _rows(value_of(told), wanted)
    ]
    return Success(tuple(sorted(found, key=lambda each: (each.name, each.session))))


async def recent_exchanges(feed: Feed, name: str) -> Outcome[tuple[Exchange, ...], str]:
    """The last exchanges of a name, newest first."""
    told = await feed.ask("recent", name=name)
    if not isinstance(told, Success):
        return told
    return Success(tuple(_exchange(row) for row in _rows(value_of(told))))


async def reading_of(feed: Feed, at: Instant) -> Outcome[Reading, str]:
    """All counters of the data plane now, added up over its processes."""
    told = await feed.ask("metrics")
    if not isinstance(told, Success):
        return told
    readings = [_reading(row, at) for row in _rows(value_of(told)) or [value_of(told)]]
    known = [reading for reading in readings if reading is not None]
    if not known or any(reading.bounds != known[0].bounds for reading in known):
        return Failure("the data plane tells no latencies")
    outcomes: Counter[str] = Counter()
    for reading in known:
        outcomes.update(reading.outcomes)
    return Success(
        Reading(
            at,
            outcomes,
            sum(reading.bytes_up for reading in known),
            sum(reading.bytes_down for reading in known),
            known[0].bounds,
            tuple(map(sum, zip(*(reading.latency for reading in known), strict=True))),
        )
    )


def _reading(told: Mapping[str, object], at: Instant) -> Reading | None:
    """The counters of one process; None when they are not as this program writes them."""
    counters, latency = _table(told, "counters"), _table(_table(told, "histograms"), "exchange_seconds")
    bounds = tuple(each for each in map(_float, _list(latency, "le")) if each is not None)
    counts = tuple(count for count in _list(latency, "counts") if isinstance(count, int))
    if not bounds or len(counts) != len(bounds) + 1:
        return None
    outcomes = {name: count for name, count in _table(counters, "exchanges").items() if isinstance(count, int)}
    sizes = _table(counters, "bytes")
    return Reading(at, outcomes, _number(sizes, "up"), _number(sizes, "down"), bounds, counts)


def _exchange(row: Mapping[str, object]) -> Exchange:
    hops = _table(row, "hops")
    return Exchange(
        _text(row, "request_id"),
        UnixSeconds(_number(row, "at")),
        _text(row, "method"),
        _text(row, "path"),
        _number(row, "status"),
        _text(row, "outcome"),
        _float(row.get("milliseconds")) or 0.0,
        _float(hops.get("edge")) or 0.0,
        _float(hops.get("link")) or 0.0,
        _float(hops.get("local")) or 0.0,
        _float(hops.get("body")) or 0.0,
        _number(row, "bytes_up"),
        _number(row, "bytes_down"),
        _number(row, "session"),
    )


def _rows(told: Mapping[str, object], wanted: Mapping[str, str] | None = None) -> list[dict[str, object]]:
    """Those that are wanted, and of them as many as a page reads: what others have takes nobody's place."""
    asked = [(name, value) for name, value in (wanted or {}).items() if value]
    found = [row for row in _list(told, "items") if isinstance(row, dict)]
    return [row for row in found if all(_text(row, name) == value for name, value in asked)][:ROWS_MAX]


def _list(told: Mapping[str, object], name: str) -> list[object]:
    found = told.get(name)
    return found if isinstance(found, list) else []


def _table(told: Mapping[str, object], name: str) -> dict[str, object]:
    found = told.get(name)
    return found if isinstance(found, dict) else {}


def _text(row: Mapping[str, object], name: str) -> str:
    found = row.get(name)
    return str(found) if isinstance(found, (str, int)) else ""


def _number(row: Mapping[str, object], name: str) -> int:
    found = row.get(name)
    return int(found) if isinstance(found, (int, float)) else 0


def _float(found: object) -> float | None:
    return float(found) if isinstance(found, (int, float)) else None
