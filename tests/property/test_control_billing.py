"""Which plan subscriptions entitle to: the same for any order of them, and never more than one of them gives."""

from itertools import permutations
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.control.account import DEFAULT_PLAN
from tunnel.core.control.billing import (
    Meter,
    Standing,
    Subscription,
    SubscriptionStatus,
    report_identifier,
    standing_of,
    status_of,
)
from tunnel.core.token.token import AccountId

ENTITLING: Final = {SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING, SubscriptionStatus.PAST_DUE}
SUBSCRIPTIONS: Final = st.lists(
    st.builds(
        Subscription,
        st.sampled_from(["sub_a", "sub_b", "sub_c", "sub_d"]),
        st.sampled_from(SubscriptionStatus),
        st.sampled_from(["", "pro", "team"]),
        st.integers(0, 3).map(UnixSeconds),
    ),
    max_size=4,
    unique_by=lambda each: each.subscription,
)
NOTHING: Final = Standing(DEFAULT_PLAN, "", SubscriptionStatus.CANCELED)


def subscription(name: str, status: SubscriptionStatus, plan: str = "pro", created: int = 1) -> Subscription:
    """One subscription."""
    return Subscription(name, status, plan, UnixSeconds(created))


@pytest.mark.shows("BILL-PLAN-001")
@given(SUBSCRIPTIONS)
def test_any_order_and_any_repetition_gives_the_same(subscriptions: list[Subscription]) -> None:
    assert len({standing_of(each) for each in permutations(subscriptions)}) == 1
    assert standing_of((*subscriptions, *subscriptions)) == standing_of(tuple(subscriptions))


@pytest.mark.shows("BILL-PLAN-001", "BILL-PLAN-002")
@given(SUBSCRIPTIONS)
def test_a_plan_is_that_of_a_subscription_that_entitles_to_it(subscriptions: list[Subscription]) -> None:
    standing = standing_of(tuple(subscriptions))
    giving = [each for each in subscriptions if each.plan and each.status in ENTITLING]
    if not giving:
        assert standing == NOTHING
        return
    chosen = next(each for each in giving if each.subscription == standing.subscription)
    assert (chosen.plan, chosen.status) == (standing.plan, standing.status)
    assert standing_of((chosen,)) == standing


@pytest.mark.shows("BILL-PLAN-001")
def test_the_better_status_comes_first_and_then_the_newer() -> None:
    active = subscription("sub_a", SubscriptionStatus.ACTIVE, "old", 1)
    newer = subscription("sub_b", SubscriptionStatus.ACTIVE, "new", 2)
    trial = subscription("sub_c", SubscriptionStatus.TRIALING, "trial", 9)
    late = subscription("sub_d", SubscriptionStatus.PAST_DUE, "late", 10)
    assert standing_of((late, trial, active, newer)).plan == "new"
    assert standing_of((late, trial, active)).plan == "old"
    assert standing_of((late, trial)).plan == "trial"
    assert standing_of((late,)).plan == "late"


@pytest.mark.shows("BILL-PLAN-002")
def test_words_that_are_new_to_us_entitle_to_nothing() -> None:
    assert status_of("hibernating") is SubscriptionStatus.UNKNOWN
    assert {status_of(status.value) for status in SubscriptionStatus} == set(SubscriptionStatus)
    assert standing_of((subscription("sub_a", SubscriptionStatus.UNKNOWN),)) == NOTHING


@pytest.mark.shows("BILL-METER-002")
@given(st.data())
def test_an_identifier_stands_for_one_report(data: st.DataObject) -> None:
    facts = st.tuples(
        st.binary(min_size=16, max_size=16).map(AccountId),
        st.integers(0, 10**10).map(UnixSeconds),
        st.sampled_from(Meter),
        st.integers(0, 2**60),
    )
    one, other = data.draw(facts), data.draw(facts)
    assert (report_identifier(*one) == report_identifier(*other)) == (one == other)
    assert len(report_identifier(*one)) <= 100
