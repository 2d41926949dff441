"""The overview: an operator sees the whole server as it is now, everybody else what their account did in a day."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from tunnel.api.board import Standing
from tunnel.api.pages import figures
from tunnel.api.pages.desk import Desk
from tunnel.api.pages.feed_view import Exchange, LiveEndpoint, live_endpoints, live_sessions, recent_exchanges
from tunnel.api.pages.plots import Plot, Series, bar_plot, line_plot
from tunnel.api.pages.traffic import Step, Traffic
from tunnel.api.pages.used import hour_text, usage_hours
from tunnel.api.pages.visit import Answer, Page, Visit, trouble_of
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.account import Account, Member
from tunnel.core.control.roles import Scope
from tunnel.core.control.usage import HOUR_SECONDS, UsageHour
from tunnel.store.errors import describe

_DAY_HOURS: Final = 24
_NAMES_ASKED_MAX: Final = 20
"""Endpoints whose last exchanges an account's overview looks at."""
_QUARTER: Final = ("15 min ago", "10 min", "5 min", "now")
_MILLI: Final = 1000


@final
@dataclass(frozen=True, slots=True)
class CodeCount:
    """How often exchanges ended in this way, and which hundredth of all that failed it is."""

    code: str
    count: int
    share: int


@final
@dataclass(frozen=True, slots=True)
class Figure:
    """One number that is read first."""

    label: str
    text: str
    about: str


@final
@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows; `trouble` says what could not be asked for."""

    figures: tuple[Figure, ...]
    plots: tuple[Plot, ...]
    errors: tuple[CodeCount, ...]
    failed: int
    ended: int
    window: str
    standings: tuple[Standing, ...]
    trouble: str
    others: tuple[Member, ...]


async def overview(desk: Desk, visit: Visit) -> Answer:
    """The page for whoever came."""
    if visit.account is None:
        return Page("overview.html", "Overview", await _of_server(desk))
    return await _of_account(desk, visit, visit.account)


async def _of_server(desk: Desk) -> Overview:
    sessions = await live_sessions(desk.plane.feed)
    endpoints = await live_endpoints(desk.plane.feed)
    health = await desk.plane.store.health()
    if isinstance(health, Success):
        known = value_of(health)
        store = Standing("store", is_ready=True, detail=f"{known.kind} {known.version}, migration {known.migration}")
    else:
        store = Standing("store", is_ready=False, detail=describe(error_of(health)))
    is_there = isinstance(sessions, Success) and isinstance(endpoints, Success)
    detail = "answers over the feed" if is_there else "does not answer over the feed"
    plane = Standing("data plane", is_there, detail)
    traffic, last = desk.plane.traffic, desk.plane.traffic.last()
    figures_shown = (
        Figure("Sessions", figures.count(len(value_of(sessions))) if isinstance(sessions, Success) else "?", "agents"),
        Figure("Endpoints", figures.count(len(value_of(endpoints))) if isinstance(endpoints, Success) else "?", "live"),
        Figure("Requests", figures.rate(last.per_second) if last else "0", "a second"),
        Figure("Down", figures.size(round(last.bytes_down / last.seconds)) if last else "0 B", "a second, to visitors"),
        Figure("Up", figures.size(round(last.bytes_up / last.seconds)) if last else "0 B", "a second, from visitors"),
    )
    counts = dict(traffic.outcomes())
    return Overview(
        figures_shown,
        _server_plots(traffic),
        _errors(counts),
        sum(counts.values()) - counts.get("ok", 0),
        sum(counts.values()),
        "in the last 15 minutes",
        (plane, store, *desk.plane.board.standings()),
        "" if is_there else "The data plane does not answer, so that nothing here about it is current.",
        (),
    )


def _server_plots(traffic: Traffic) -> tuple[Plot, ...]:
    points = traffic.points()
    failed = Series("failed", "s-bad", tuple(_failed(point) for point in points))
    requests = Series("requests a second", "s-main", tuple(point.per_second if point else None for point in points))
    shares = (("p50", "s-low", 0.5), ("p95", "s-mid", 0.95), ("p99", "s-high", 0.99))
    latency = [
        Series(label, style, tuple(_milliseconds(point, share) for point in points)) for label, style, share in shares
    ]
    return (
        line_plot("traffic", "Traffic", (requests, failed), _QUARTER, figures.rate, filled=True),
        line_plot("latency", "Latency", latency, _QUARTER, figures.milliseconds),
    )


def _failed(step: Step | None) -> float | None:
    if step is None:
        return None
    return (sum(step.outcomes.values()) - step.outcomes.get("ok", 0)) / step.seconds


def _milliseconds(step: Step | None, share: float) -> float | None:
    found = step.percentile(share) if step is not None else None
    return None if found is None else found * _MILLI


def _errors(counts: Mapping[str, int]) -> tuple[CodeCount, ...]:
    bad = [(code, count) for code, count in counts.items() if code != "ok" and count]
    whole = sum(count for _, count in bad)
    ranked = sorted(bad, key=lambda pair: (-pair[1], pair[0]))
    return tuple(CodeCount(code, count, figures.percent(count, whole)) for code, count in ranked)


async def _of_account(desk: Desk, visit: Visit, account: Account) -> Answer:
    now, store = visit.now, desk.plane.store
    first = UnixSeconds(now - now % HOUR_SECONDS - (_DAY_HOURS - 1) * HOUR_SECONDS)
    usage = await usage_hours(store, account.account, first, UnixSeconds(now + 1))
    if not isinstance(usage, Success):
        return trouble_of(error_of(usage))
    hours = value_of(usage)
    endpoints, exchanges, trouble = await _live_of(desk, visit, account)
    counts = Counter(each.outcome for each in exchanges)
    memberships = await store.memberships(visit.viewer.identity) if not visit.viewer.key else Success(())
    if not isinstance(memberships, Success):
        return trouble_of(error_of(memberships))
    record = Overview(
        _account_figures(hours, endpoints),
        _account_plots(hours, exchanges, first),
        _errors(counts),
        counts.total() - counts["ok"],
        counts.total(),
        "among the last of each endpoint",
        (),
        trouble,
        tuple(member for member in value_of(memberships) if member.account != account.account),
    )
    return Page("overview.html", "Overview", record)


async def _live_of(
    desk: Desk, visit: Visit, account: Account
) -> tuple[tuple[LiveEndpoint, ...], tuple[Exchange, ...], str]:
    """The account's endpoints and their last exchanges; the sentence says what could not be asked for."""
    if not visit.viewer.may(Scope.SESSION_READ):
        return (), (), ""
    told = await live_endpoints(desk.plane.feed, account=account.account.hex())
    if not isinstance(told, Success):
        return (), (), "The data plane does not answer: live endpoints and latencies are not shown."
    own = tuple(each for each in value_of(told) if each.account == account.account.hex())
    # As on the page of an endpoint: a name may have been another account's an hour ago.
    sessions = {each.session for each in own}
    exchanges: list[Exchange] = []
    for name in sorted({each.name for each in own})[:_NAMES_ASKED_MAX]:
        recent = await recent_exchanges(desk.plane.feed, name)
        if isinstance(recent, Success):
            exchanges.extend(each for each in value_of(recent) if each.session in sessions)
    return own, tuple(sorted(exchanges, key=lambda each: each.at)), ""


def _account_figures(hours: Iterable[UsageHour], endpoints: tuple[LiveEndpoint, ...]) -> tuple[Figure, ...]:
    rows = tuple(hours)
    return (
        Figure("Endpoints", figures.count(len({each.name for each in endpoints})), "live"),
        Figure("Requests", figures.count(sum(each.requests for each in rows)), "in 24 hours"),
        Figure("Down", figures.size(sum(each.bytes_down for each in rows)), "in 24 hours, to visitors"),
        Figure("Up", figures.size(sum(each.bytes_up for each in rows)), "in 24 hours, from visitors"),
    )


def _account_plots(hours: Iterable[UsageHour], exchanges: tuple[Exchange, ...], first: UnixSeconds) -> tuple[Plot, ...]:
    by_hour: Counter[int] = Counter()
    for each in hours:
        by_hour[each.hour] += each.requests
    starts = [first + number * HOUR_SECONDS for number in range(_DAY_HOURS)]
    values = [(hour_text(UnixSeconds(start)), float(by_hour[start])) for start in starts]
    columns = (*(hour_text(UnixSeconds(start)) for start in starts[::8]), "now")
    totals = Series("each exchange", "s-main", tuple(each.total for each in exchanges))
    return (
        bar_plot("traffic", "Requests by the hour", values, columns, _whole),
        line_plot("latency", "Latency", (totals,), ("oldest", "newest"), figures.milliseconds),
    )


def _whole(amount: float) -> str:
    return figures.count(round(amount))
