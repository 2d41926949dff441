"""What the data plane answers over the feed, read into records: what is not as expected is left out, never guessed.

The two processes are of one version but may be of two for the moment of an upgrade; so a page reads what it knows.
"""

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
    """One agent's session; `account` and `token` in hexadecimal, `since` 0 when it was not told."""

    session: str
    account: str
    token: str
    peer: str
    host: str
    since: UnixSeconds
    links: int
    streams: int
    names: tuple[str, ...]
    is_draining: bool


@final
@dataclass(frozen=True, slots=True)
class LiveEndpoint:
    """One name that is answered for; `until` 0: with no end."""

    name: str
    kind: str
    account: str
    session: str
    peer: str
    since: UnixSeconds
    epoch: int
    url: str
    members: int
    until: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange that ended: what of it is metadata. Times in milliseconds; a hop's is 0 where it was not reached."""

    request: str
    at: UnixSeconds
    method: str
    target: str
    status: int
    outcome: str
    total: float
    edge: float
    link: float
    local: float
    body: float
    bytes_up: int
    bytes_down: int
    peer: str


async def live_sessions(feed: Feed) -> Outcome[tuple[LiveSession, ...], str]:
    """All sessions of the data plane, as it lists them."""
    told = await feed.ask("sessions")
    if not isinstance(told, Success):
        return told
    return Success(tuple(
        LiveSession(
            _text(row, "session"),
            _text(row, "account"),
            _text(row, "token"),
            _text(row, "peer"),
            _text(row, "host"),
            UnixSeconds(_number(row, "since")),
            _number(row, "links"),
            _number(row, "streams"),
            tuple(str(name) for name in _list(row, "names")),
            row.get("is_draining") is True,
        )
        for row in _rows(value_of(told), "sessions")
    ))  # fmt: skip


async def live_endpoints(feed: Feed) -> Outcome[tuple[LiveEndpoint, ...], str]:
    """All endpoints, by name."""
    told = await feed.ask("endpoints")
    if not isinstance(told, Success):
        return told
    found = [
        LiveEndpoint(
            _text(row, "name"),
            _text(row, "kind"),
            _text(row, "account"),
            _text(row, "session"),
            _text(row, "peer"),
            UnixSeconds(_number(row, "since")),
            _number(row, "epoch"),
            _text(row, "url"),
            _number(row, "members"),
            UnixSeconds(_number(row, "until")),
        )
        for row in _rows(value_of(told), "endpoints")
    ]
    return Success(tuple(sorted(found, key=lambda each: (each.name, each.session))))


async def recent_exchanges(feed: Feed, name: str) -> Outcome[tuple[Exchange, ...], str]:
    """The last exchanges of a name, newest first."""
    told = await feed.ask("recent", name=name)
    if not isinstance(told, Success):
        return told
    found = [_exchange(row) for row in _rows(value_of(told), "exchanges")]
    return Success(tuple(sorted(found, key=lambda each: each.at, reverse=True)))


async def reading_of(feed: Feed, at: Instant) -> Outcome[Reading, str]:
    """All counters of the data plane now."""
    told = await feed.ask("metrics")
    if not isinstance(told, Success):
        return told
    counters, histograms = _table(value_of(told), "counters"), _table(value_of(told), "histograms")
    latency = _table(histograms, "exchange_seconds")
    bounds = tuple(each for each in map(_float, _list(latency, "le")) if each is not None)
    counts = tuple(count for count in _list(latency, "counts") if isinstance(count, int))
    if not bounds or len(counts) < len(bounds):
        return Failure("the metrics hold no latencies")
    outcomes = {name: count for name, count in _table(counters, "exchanges").items() if isinstance(count, int)}
    sizes = _table(counters, "bytes")
    return Success(Reading(at, outcomes, _number(sizes, "up"), _number(sizes, "down"), bounds, counts))


def _exchange(row: Mapping[str, object]) -> Exchange:
    return Exchange(
        _text(row, "request_id"),
        UnixSeconds(_number(row, "at")),
        _text(row, "method"),
        _text(row, "target"),
        _number(row, "status"),
        _text(row, "outcome"),
        _float(row.get("ms")) or 0.0,
        _float(row.get("edge_ms")) or 0.0,
        _float(row.get("link_ms")) or 0.0,
        _float(row.get("local_ms")) or 0.0,
        _float(row.get("body_ms")) or 0.0,
        _number(row, "bytes_up"),
        _number(row, "bytes_down"),
        _text(row, "peer"),
    )


def _rows(told: Mapping[str, object], name: str) -> list[dict[str, object]]:
    return [row for row in _list(told, name)[:ROWS_MAX] if isinstance(row, dict)]


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
