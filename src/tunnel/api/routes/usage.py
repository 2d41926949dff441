"""What an account used, and the plans that bound it."""

from typing import Annotated

from fastapi import Path as FromPath
from fastapi import Query

from tunnel.api.calls import (
    COUNT_MAX,
    AccountInPath,
    AccountText,
    AskedPage,
    Count,
    Listing,
    Moment,
    Shape,
    ThisCall,
    account_id,
)
from tunnel.api.nouns import Noun
from tunnel.api.problems import ProblemAnswer
from tunnel.api.scoped import ANY_SCOPE
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.account import Plan
from tunnel.core.control.roles import Scope
from tunnel.core.control.usage import UsageHour

noun = Noun("usage")

Since = Annotated[int, Query(ge=0, le=COUNT_MAX, description="The first hour, in seconds since 1970.")]
Until = Annotated[int, Query(ge=0, le=COUNT_MAX, description="Hours that begin before this moment.")]
PlanInPath = Annotated[str, FromPath(pattern="^[a-z0-9][a-z0-9-]{0,39}$", description="The name of a plan.")]


class HourOut(Shape):
    """What visitors did with one name in the hour that begins at `hour`; bytes go up to the agent and down from it."""

    name: str
    hour: Moment
    requests: int
    bytes_up: int
    bytes_down: int
    connections: int


class UsagePage(Listing[HourOut]):
    """Hours, oldest first."""


class MonthOut(Shape):
    """What an account used since `since`, the first of this month in UTC, beside what its plan allows (0: no limit)."""

    account: AccountText
    since: Moment
    requests: int
    bytes_up: int
    bytes_down: int
    connections: int
    requests_month: int
    bytes_month: int


class PlanOut(Shape):
    """How much an account of this plan may use; 0 is no limit. A month is one of the calendar, in UTC."""

    plan: str
    names_max: int
    endpoints_max: int
    requests_month: int
    bytes_month: int
    requests_second: int


class PlanIn(Shape):
    """What a plan allows; 0, and what is left out, is no limit."""

    names_max: Count = 0
    endpoints_max: Count = 0
    requests_month: Count = 0
    bytes_month: Count = 0
    requests_second: Count = 0


class PlanList(Shape):
    """All plans, by name."""

    items: list[PlanOut]


@noun.reads("/accounts/{account}/usage", Scope.USAGE_READ, UsagePage)
async def list_usage(
    call: ThisCall, asked: AskedPage, since: Since = 0, until: Until = COUNT_MAX
) -> Listing[HourOut] | ProblemAnswer:
    """List what an account used, by hour and name."""
    begin, end = UnixSeconds(since), UnixSeconds(until)
    return call.listed(await call.store.usage(asked.account, begin, end, asked.page), _hour_out, UsagePage)


@noun.reads("/accounts/{account}/usage/month", Scope.USAGE_READ, MonthOut)
async def show_month(call: ThisCall, account: AccountInPath) -> MonthOut | ProblemAnswer:
    """Say what an account used this month, beside what its plan allows."""
    found = await call.store.account(account_id(account))
    if not isinstance(found, Success):
        return call.refused(error_of(found))
    plan = await call.store.plan(value_of(found).plan)
    if not isinstance(plan, Success):
        return call.refused(error_of(plan))
    used = await call.store.usage_month(account_id(account), call.now)
    if not isinstance(used, Success):
        return call.refused(error_of(used))
    total = value_of(used)
    return MonthOut(
        account=account,
        since=total.since,
        requests=total.requests,
        bytes_up=total.bytes_up,
        bytes_down=total.bytes_down,
        connections=total.connections,
        requests_month=value_of(plan).requests_month,
        bytes_month=value_of(plan).bytes_month,
    )


@noun.reads("/plans", ANY_SCOPE, PlanList)
async def list_plans(call: ThisCall) -> PlanList | ProblemAnswer:
    """List all plans."""
    found = await call.store.plans()
    if not isinstance(found, Success):
        return call.refused(error_of(found))
    return PlanList(items=[_out(each) for each in value_of(found)])


@noun.writes("PUT", "/plans/{plan}", Scope.OPERATE, PlanOut)
async def set_plan(call: ThisCall, plan: PlanInPath, asked: PlanIn) -> PlanOut | ProblemAnswer:
    """Make a plan, or change it for all accounts that have it."""
    wanted = Plan(
        plan,
        asked.names_max,
        asked.endpoints_max,
        asked.requests_month,
        asked.bytes_month,
        asked.requests_second,
    )
    made = await call.keeping(_out).set_plan(wanted, call.actor.act, call.now)
    return call.answered(made, _out)


def _hour_out(used: UsageHour) -> HourOut:
    return HourOut(
        name=used.name,
        hour=used.hour,
        requests=used.requests,
        bytes_up=used.bytes_up,
        bytes_down=used.bytes_down,
        connections=used.connections,
    )


def _out(plan: Plan) -> PlanOut:
    return PlanOut(
        plan=plan.plan,
        names_max=plan.names_max,
        endpoints_max=plan.endpoints_max,
        requests_month=plan.requests_month,
        bytes_month=plan.bytes_month,
        requests_second=plan.requests_second,
    )
