"""Usage against quota: this month by limit, and the last two days by the hour and by name."""

from collections import Counter
from dataclasses import dataclass
from typing import Final, final

from tunnel.api.pages import figures
from tunnel.api.pages.desk import Desk
from tunnel.api.pages.plots import Plot, bar_plot
from tunnel.api.pages.visit import Answer, Moved, Page, Visit, trouble_of
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.core.control.account import Plan
from tunnel.core.control.page import PAGE_ROWS_MAX
from tunnel.core.control.page import Page as StorePage
from tunnel.core.control.usage import HOUR_SECONDS, UsageHour, UsageTotal
from tunnel.core.token.token import AccountId
from tunnel.store.errors import StoreError
from tunnel.store.port import UsageStore

_HOURS: Final = 48
_PAGES_MAX: Final = 20
"""Pages of usage that one page of ours reads: ten thousand rows, 200 names in 48 hours."""


@final
@dataclass(frozen=True, slots=True)
class Used:
    """One limit of the plan, what is used of it, and how many hundredths that is; no limit: 0 of them."""

    label: str
    used: str
    limit: str
    percent: int


@final
@dataclass(frozen=True, slots=True)
class NameUsed:
    """What one name was used in the time shown."""

    name: str
    requests: int
    bytes_up: int
    bytes_down: int
    connections: int


@final
@dataclass(frozen=True, slots=True)
class UsagePage:
    """What the page shows."""

    plan: str
    limits: tuple[Used, ...]
    plots: tuple[Plot, ...]
    names: tuple[NameUsed, ...]


async def usage(desk: Desk, visit: Visit) -> Answer:
    """The page of one account."""
    if visit.account is None:
        return Moved("/accounts")
    store, account, now = desk.plane.store, visit.account, visit.now
    plan, month = await store.plan(account.plan), await store.usage_month(account.account, now)
    if not isinstance(plan, Success):
        return trouble_of(error_of(plan))
    if not isinstance(month, Success):
        return trouble_of(error_of(month))
    names = await store.names(account.account, StorePage(limit=PAGE_ROWS_MAX))
    if not isinstance(names, Success):
        return trouble_of(error_of(names))
    first = UnixSeconds(now - now % HOUR_SECONDS - (_HOURS - 1) * HOUR_SECONDS)
    hours = await usage_hours(store, account.account, first, UnixSeconds(now + 1))
    if not isinstance(hours, Success):
        return trouble_of(error_of(hours))
    record = UsagePage(
        account.plan,
        limits_of(value_of(plan), value_of(month), len(value_of(names).items)),
        _plots(value_of(hours), first),
        by_name(value_of(hours)),
    )
    return Page("usage.html", "Usage", record)


async def usage_hours(
    store: UsageStore, account: AccountId, since: UnixSeconds, until: UnixSeconds
) -> Outcome[tuple[UsageHour, ...], StoreError]:
    """All hours in [since, until), up to a bound that a page could not show anyway."""
    found: list[UsageHour] = []
    after = ""
    for _ in range(_PAGES_MAX):
        told = await store.usage(account, since, until, StorePage(after, PAGE_ROWS_MAX))
        if not isinstance(told, Success):
            return told
        found.extend(value_of(told).items)
        following = value_of(told).next
        if following is None:
            break
        after = following
    return Success(tuple(found))


def limits_of(plan: Plan, month: UsageTotal, names: int) -> tuple[Used, ...]:
    """Each limit of the plan that is counted here, with what is used of it."""
    octets = month.bytes_up + month.bytes_down
    return (
        _used("Requests this month", figures.count, month.requests, plan.requests_month),
        _used("Bytes this month, both ways", figures.size, octets, plan.bytes_month),
        _used("Reserved names", figures.count, names, plan.names_max),
    )


def _used(label: str, words: figures.Words, used: int, limit: int) -> Used:
    said = words(limit) if limit else "no limit"
    return Used(label, words(used), said, figures.percent(used, limit) if limit else 0)


def hour_text(hour: UnixSeconds) -> str:
    """`09:00`, the hour of the day in UTC."""
    return figures.moment(hour)[11:16]


def _plots(hours: tuple[UsageHour, ...], first: UnixSeconds) -> tuple[Plot, ...]:
    requests: Counter[int] = Counter()
    octets: Counter[int] = Counter()
    for each in hours:
        requests[each.hour] += each.requests
        octets[each.hour] += each.bytes_up + each.bytes_down
    starts = [UnixSeconds(first + number * HOUR_SECONDS) for number in range(_HOURS)]
    columns = (*(hour_text(start) for start in starts[::16]), "now")
    return (
        bar_plot(
            "requests",
            "Requests by the hour",
            [(figures.moment(start)[:16], float(requests[start])) for start in starts],
            columns,
            _whole,
        ),
        bar_plot(
            "octets",
            "Bytes by the hour",
            [(figures.moment(start)[:16], float(octets[start])) for start in starts],
            columns,
            _size,
        ),
    )


def by_name(hours: tuple[UsageHour, ...]) -> tuple[NameUsed, ...]:
    """What each name was used, the most used first; in one pass, as nobody else is answered meanwhile."""
    found: dict[str, NameUsed] = {}
    for each in hours:
        before = found.get(each.name, NameUsed(each.name or "(all others)", 0, 0, 0, 0))
        found[each.name] = NameUsed(
            before.name,
            before.requests + each.requests,
            before.bytes_up + each.bytes_up,
            before.bytes_down + each.bytes_down,
            before.connections + each.connections,
        )
    return tuple(sorted(found.values(), key=lambda each: (-each.requests, each.name)))


def _whole(amount: float) -> str:
    return figures.count(round(amount))


def _size(amount: float) -> str:
    return figures.size(round(amount))
