"""Token buckets: a machine beside a naive model with fractions, and the bounds of a table under any number of keys.

Time is a number that is added to, or taken from: a clock that is set back changes nothing.
"""

import math
from fractions import Fraction
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tunnel.core.policy.bucket import BYTE, REQUEST, SECOND, Bucket, BucketTable

RATES: Final = st.integers(1, 5_000_000)
STEPS: Final = st.integers(-3 * SECOND, 120 * SECOND)


class BucketMachine(RuleBasedStateMachine):
    """One bucket and a model that keeps requests as fractions and sums up the steps of time one by one."""

    @initialize(rate=RATES, burst=st.integers(1, 50))
    def begin(self, rate: int, burst: int) -> None:
        """A full bucket."""
        self.rate, self.capacity = rate, burst * REQUEST
        self.at = 10**12
        self.bucket = Bucket(self.capacity, self.at)
        self.model = Fraction(burst)
        self.burst = burst

    @rule(step=STEPS)
    def pass_time(self, step: int) -> None:
        """The clock moves, either way."""
        self.at += step
        self.bucket.refill(self.rate, self.capacity, self.at)
        if step > 0:
            # rate: thousandths of a request a second; step: millionths of one.
            self.model = min(self.model + Fraction(self.rate * step, 10**9), Fraction(self.burst))

    @rule()
    def ask(self) -> None:
        """One request, if there is a credit."""
        is_there = self.bucket.wait(REQUEST, self.rate) == 0
        assert is_there == (self.model >= 1)
        if is_there:
            self.bucket.take(REQUEST)
            self.model -= 1

    @rule()
    def wait_as_told(self) -> None:
        """Who waits as told gets in, and not a microsecond sooner."""
        wait = self.bucket.wait(REQUEST, self.rate)
        if wait:
            early = Bucket(self.bucket.credit, self.bucket.at)
            early.refill(self.rate, self.capacity, self.at + wait - 1)
            assert early.wait(REQUEST, self.rate) > 0, "told to wait longer than needed"
        self.pass_time(wait)
        assert self.bucket.wait(REQUEST, self.rate) == 0

    @rule(count=st.integers(0, 30))
    def overdraw(self, count: int) -> None:
        """Spend what may not be there."""
        self.bucket.take(count * REQUEST)
        self.model -= count

    @invariant()
    def no_drift(self) -> None:
        """The credits are exactly those of the model."""
        if hasattr(self, "bucket"):
            assert Fraction(self.bucket.credit, REQUEST) == self.model
            assert self.bucket.credit <= self.capacity


TestBucket = pytest.mark.shows("POLICY-RATE-001", "POLICY-RATE-002", "POLICY-RATE-003")(BucketMachine.TestCase)
TestBucket.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.shows("POLICY-RATE-002")
@given(st.integers(1, 10**9), st.lists(st.integers(0, 10**7), min_size=1, max_size=60))
def test_many_small_steps_are_one_large_step(rate: int, steps: list[int]) -> None:
    many, one = Bucket(-(10**18), 0), Bucket(-(10**18), 0)
    at = 0
    for step in steps:
        at += step
        many.refill(rate, 10**24, at)
    one.refill(rate, 10**24, at)
    assert many.credit == one.credit


@pytest.mark.shows("POLICY-RATE-003")
@given(st.integers(1, 10**7), st.lists(st.integers(-(10**9), 10**9), max_size=30))
def test_a_clock_that_jumps_brings_no_more_than_its_forward_steps(rate: int, steps: list[int]) -> None:
    bucket, at, forward = Bucket(-(10**20), 10**10), 10**10, 0
    for step in steps:
        at += step
        before = bucket.credit
        bucket.refill(rate, 10**24, at)
        assert bucket.credit >= before, "time took something away"
        forward += max(step, 0)
    assert bucket.credit == -(10**20) + forward * rate


@pytest.mark.shows("POLICY-TABLE-001")
def test_a_million_addresses_cost_a_bounded_table() -> None:
    table = BucketTable(1000)
    for key in range(1_000_000):
        table.bucket(key, 1, REQUEST, key)
    assert table.count() == 1000


@pytest.mark.shows("POLICY-TABLE-001", "POLICY-TABLE-002")
@settings(max_examples=60, deadline=None)
@given(
    seats=st.integers(1, 6),
    burst=st.integers(1, 5),
    rate=st.integers(1, 20_000),
    visits=st.lists(st.tuples(st.integers(0, 30), st.integers(0, SECOND)), max_size=200),
)
def test_all_keys_together_get_no_more_than_the_seats_are_worth(
    seats: int, burst: int, rate: int, visits: list[tuple[int, int]]
) -> None:
    table, at, admitted = BucketTable(seats), 0, 0
    for key, step in visits:
        at += step
        bucket = table.bucket(key, rate, burst * REQUEST, at)
        if bucket.wait(REQUEST, rate) == 0:
            bucket.take(REQUEST)
            admitted += 1
        assert table.count() <= seats
    # Each seat is worth its burst and what has come since; a key that is forgotten and comes back adds nothing.
    assert admitted <= seats * (burst + math.ceil(at * rate / REQUEST))


@pytest.mark.shows("POLICY-TABLE-002")
def test_who_keeps_trying_stays_limited_while_strangers_pass_by() -> None:
    table, limited = BucketTable(4), "attacker"
    table.bucket(limited, 1, REQUEST, 0).take(REQUEST)
    for stranger in range(1, 100):
        table.bucket(stranger, 1, REQUEST, stranger)
        assert table.bucket(limited, 1, REQUEST, stranger).wait(REQUEST, 1) > 0


@pytest.mark.shows("POLICY-TABLE-002")
def test_to_flush_oneself_out_of_the_table_brings_no_fresh_burst() -> None:
    table = BucketTable(2)
    for key in ("one", "two", "three", "one", "two", "three", "one"):
        bucket = table.bucket(key, 1, REQUEST, 0)
        if bucket.wait(REQUEST, 1) == 0:
            bucket.take(REQUEST)
    assert [table.bucket(key, 1, REQUEST, 0).credit for key in ("one", "two", "three")] == [0, 0, 0]


def test_a_table_has_a_seat_at_least() -> None:
    table = BucketTable(0)
    assert table.bucket("one", 1, REQUEST, 0) is table.bucket("two", 1, REQUEST, 0)


@pytest.mark.shows("POLICY-RATE-001")
@given(st.integers(1, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
def test_bytes_are_paid_for_afterwards_and_the_wait_is_the_debt(rate: int, counts: list[int]) -> None:
    bucket = Bucket(0, 0)
    for count in counts:
        bucket.take(count * BYTE)
    wait = bucket.wait(0, rate)
    assert wait == -(-sum(counts) * BYTE // rate)
    bucket.refill(rate, 10**24, wait)
    assert 0 <= bucket.credit < rate
