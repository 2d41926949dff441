"""Quotas counted between directories: never above the truth, and below it by no more than what nobody told us yet."""

from datetime import UTC, datetime
from typing import Final

import pytest
from directory_support import ACCOUNTS
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.ids import Instant, UnixSeconds
from tunnel.core.base.problem import BYTES_USED_UP, REQUESTS_USED_UP
from tunnel.core.directory.directory import AccountFacts, Directory, Quota
from tunnel.core.directory.month import month_of
from tunnel.core.directory.toll import Toll, Tolls

MINE, OTHER = ACCOUNTS[1], ACCOUNTS[2]
MONTH: Final = UnixSeconds(1_793_491_200)
"""2026-11-01."""
NEXT: Final = UnixSeconds(1_796_083_200)
NOW: Final = Instant(10.0)


def told(quota: Quota, requests: int = 0, count: int = 0, month: UnixSeconds = MONTH) -> Directory:
    facts = AccountFacts(MINE, quota=quota, requests_used=requests, bytes_used=count)
    return Directory(1, UnixSeconds(month + 1), month, accounts={MINE: facts})


@given(st.integers(0, 253_402_300_799))
@settings(max_examples=300)
def test_a_month_begins_where_the_calendar_says(moment: int) -> None:
    date = datetime.fromtimestamp(moment, tz=UTC)
    first = date.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert month_of(UnixSeconds(moment)) == int(first.timestamp())
    assert month_of(UnixSeconds(-moment)) == 0


@pytest.mark.shows("GATE-QUOTA-002", "GATE-QUOTA-003")
@given(st.lists(st.tuples(st.sampled_from(["here", "there", "store", "tell"]), st.integers(0, 9)), max_size=40))
@settings(max_examples=200)
def test_the_count_is_never_above_the_truth_and_below_it_by_what_was_not_told(steps: list[tuple[str, int]]) -> None:
    """`here` passes bytes, `there` is another process; the store hears of all with delay, and tells what it has."""
    tolls = Tolls()
    tolls.begin_month(MONTH)
    toll = tolls.toll(MINE)
    true_bytes = stored_bytes = untold_elsewhere = 0
    for step, count in steps:
        if step == "here":
            toll.note(count)
            true_bytes += count
        elif step == "there":
            true_bytes += count
            untold_elsewhere += count
        elif step == "store":
            stored_bytes = min(true_bytes, stored_bytes + count)
        else:
            tolls.learn(told(Quota(bytes_month=1 << 40), 0, stored_bytes), [MINE])
            untold_elsewhere = min(untold_elsewhere, true_bytes - toll.bytes)
        assert stored_bytes <= true_bytes
        assert toll.bytes <= true_bytes
        assert true_bytes - toll.bytes <= untold_elsewhere


@pytest.mark.shows("GATE-QUOTA-002", "GATE-QUOTA-003")
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=40))
@settings(max_examples=100)
def test_one_process_alone_counts_exactly_however_far_the_store_is_behind(steps: list[tuple[bool, int]]) -> None:
    tolls = Tolls()
    tolls.begin_month(MONTH)
    toll, true_requests, stored = tolls.toll(MINE), 0, 0
    for is_request, lag in steps:
        if is_request:
            toll.note(3)
            true_requests += 1
        else:
            stored = max(stored, true_requests - lag)
            tolls.learn(told(Quota(requests_month=5), stored), [MINE])
        assert toll.requests == true_requests


@pytest.mark.shows("GATE-QUOTA-002")
def test_what_is_used_up_is_named() -> None:
    tolls = Tolls()
    toll = tolls.toll(MINE)
    tolls.learn(told(Quota(requests_month=2, bytes_month=100), 1, 20), [])
    assert toll.is_bounded
    assert toll.refusal(NOW) is None
    toll.note(10)
    assert toll.refusal(NOW) == REQUESTS_USED_UP
    tolls.learn(told(Quota(requests_month=9, bytes_month=30)), [])
    assert toll.refusal(NOW) == BYTES_USED_UP
    assert {REQUESTS_USED_UP.status, BYTES_USED_UP.status} == {402}
    tolls.learn(told(Quota(requests_month=9)), [])
    assert toll.refusal(NOW) is None


@pytest.mark.shows("GATE-QUOTA-005")
def test_a_month_begins_by_the_clock_and_an_old_directory_takes_nothing_of_it() -> None:
    tolls = Tolls()
    tolls.learn(told(Quota(requests_month=2), 2), [])
    toll = tolls.toll(MINE)
    assert toll.refusal(NOW) == REQUESTS_USED_UP
    tolls.begin_month(NEXT)
    assert toll.refusal(NOW) is None
    toll.note(0)
    tolls.begin_month(NEXT)
    tolls.learn(told(Quota(requests_month=2), 2), [])
    assert (toll.requests, toll.refusal(NOW)) == (1, None)
    tolls.learn(told(Quota(requests_month=2), 2, month=NEXT), [])
    assert toll.refusal(NOW) == REQUESTS_USED_UP
    tolls.learn(told(Quota(requests_month=2), 0, month=UnixSeconds(NEXT + 31 * 86_400)), [])
    assert toll.refusal(NOW) is None


@pytest.mark.shows("GATE-QUOTA-004")
@given(st.integers(1, 50), st.integers(1, 8), st.lists(st.floats(0, 0.4), max_size=60))
@settings(max_examples=100)
def test_a_rate_is_kept_and_whoever_waits_as_told_is_let_in(rate: int, processes: int, pauses: list[float]) -> None:
    tolls = Tolls()
    tolls.share_among(processes)
    tolls.learn(told(Quota(requests_second=rate)), [])
    toll, at, served = tolls.toll(MINE), 100.0, 0
    for pause in pauses:
        at += pause
        refused = toll.refusal(Instant(at))
        if refused is None:
            served += 1
        else:
            assert (refused.code, refused.status) == ("account-rate-limited", 429)
            assert refused.retry_seconds >= 1
    share = -(-rate * 1000 // processes) / 1000
    assert served <= -(-share // 1) + share * (at - 100.0) + 1
    refused = toll.refusal(Instant(at))
    later = Instant(at + (0 if refused is None else refused.retry_seconds))
    assert toll.refusal(later) is None or refused is None


@pytest.mark.shows("GATE-QUOTA-004")
def test_a_directory_that_says_the_same_refills_nothing() -> None:
    tolls = Tolls()
    tolls.learn(told(Quota(requests_second=1)), [])
    toll = tolls.toll(MINE)
    assert toll.refusal(NOW) is None
    tolls.learn(told(Quota(requests_second=1)), [])
    assert toll.refusal(NOW) is not None


@pytest.mark.shows("GATE-QUOTA-006")
def test_only_accounts_that_matter_are_counted() -> None:
    tolls = Tolls()
    tolls.toll(OTHER).note(5)
    tolls.learn(told(Quota()), [OTHER])
    assert tolls.count() == 1
    tolls.learn(told(Quota(requests_month=1)), [OTHER])
    assert tolls.count() == 2
    tolls.leave(OTHER)
    tolls.leave(MINE)
    tolls.leave(ACCOUNTS[3])
    assert tolls.count() == 1
    tolls.learn(Directory(2, UnixSeconds(MONTH + 2), MONTH), [])
    assert tolls.count() == 0
    assert isinstance(tolls.toll(OTHER), Toll)
