"""Limits of several processes that tell each other what was used: all together let in what one would, in the long run.

A crowd knocks at the doors of several processes, which tell each other now and then. Whenever everything is told,
counts are those of one process that saw all of it; between that, no more came in than the buckets of all held.
"""

from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.policy.door import Door, Entry, caller_of
from tunnel.core.policy.purse import Use
from tunnel.core.policy.rules import Policy, Rates, ServerPolicy

HERE: Final = "192.0.2.1"
RATES: Final = Rates(1000, 4, 3, 1000)


def exchange_of(doors: list[Door], now: float, policy: Policy) -> None:
    """Everybody tells, and everybody learns."""
    told = [door.poll_uses(100) for door in doors]
    for number, door in enumerate(doors):
        for other, (addresses, endpoints) in enumerate(told):
            if other != number:
                for use in addresses:
                    door.learn_of_address(other, use, Instant(now))
                for use in endpoints:
                    door.learn_of_endpoint(other, use, str(use.key), policy, Instant(now))


class Crowd(RuleBasedStateMachine):
    """One address at one endpoint, at three processes, beside one process that is told all at once."""

    @initialize(is_of_address=st.booleans())
    def begin(self, is_of_address: bool) -> None:  # noqa: FBT001
        """Full buckets everywhere."""
        rules = ServerPolicy(address=RATES) if is_of_address else ServerPolicy()
        self.policy = Policy() if is_of_address else Policy(RATES)
        self.doors = [Door(rules, 100) for _ in range(3)]
        for door in self.doors:
            door.share()
        self.now = 1000.0
        self.began = self.now
        self.inside: list[tuple[int, Entry]] = []
        self.let_in = 0
        self.untold = 0

    @rule(number=st.integers(0, 2))
    def knock(self, number: int) -> None:
        """One comes."""
        done = self.doors[number].admit(caller_of(HERE), "app", self.policy, (), Instant(self.now))
        if isinstance(done, Success):
            self.inside.append((number, value_of(done)))
            self.let_in += 1
            self.untold += 1

    @rule(number=st.integers(0, 20))
    def leave(self, number: int) -> None:
        """One goes."""
        if self.inside:
            place, entry = self.inside.pop(number % len(self.inside))
            self.doors[place].leave(entry)

    @rule(seconds=st.sampled_from([0.25, 1.0, 4.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @rule()
    def tell(self) -> None:
        """All is told: now one more fits exactly where it would at one process that had seen everything."""
        exchange_of(self.doors, self.now, self.policy)
        self.untold = 0
        if len(self.inside) >= RATES.exchanges:
            for door in self.doors:
                assert not isinstance(door.admit(caller_of(HERE), "app", self.policy, (), Instant(self.now)), Success)
            # What knocked has paid, and was told that it is one too many.
            exchange_of(self.doors, self.now, self.policy)

    @invariant()
    def no_more_than_all_buckets_hold(self) -> None:
        """Each process holds one burst; what it lets in beyond comes with time, which all count alike."""
        rate = RATES.requests / 1000
        assert self.let_in <= 3 * (RATES.burst + rate * (self.now - self.began)) + 1e-6
        assert len(self.inside) <= 3 * RATES.exchanges


Crowd.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestCrowd = pytest.mark.shows("POLICY-WORK-003", "POLICY-WORK-004")(Crowd.TestCase)


@pytest.mark.shows("POLICY-WORK-003")
@pytest.mark.parametrize("whose", ["address", "endpoint"])
def test_in_the_long_run_all_together_let_in_what_one_would(whose: str) -> None:
    """Ten knocks a second at each of two doors for a hundred seconds, told five times a second; the rate is one."""
    rates, policy = Rates(1000, 4), Policy()
    rules = ServerPolicy(address=rates)
    if whose == "endpoint":
        rules, policy = ServerPolicy(), Policy(rates)
    doors = [Door(rules, 100) for _ in range(2)]
    for door in doors:
        door.share()
    let_in = 0
    for tick in range(1000):
        now = 100.0 + tick / 10
        for door in doors:
            let_in += isinstance(door.admit(caller_of(HERE), "app", policy, (), Instant(now)), Success)
        if tick % 2:
            exchange_of(doors, now, policy)
    assert 100 <= let_in <= 100 + 2 * 4


@pytest.mark.shows("POLICY-WORK-003")
def test_bytes_that_pass_at_another_process_are_waited_for_here() -> None:
    rules = ServerPolicy(address=Rates(0, 0, 0, 1000))
    doors = [Door(rules, 100) for _ in range(2)]
    for door in doors:
        door.share()
    meters = [door.meter(caller_of(HERE), "app", None) for door in doors]
    assert meters[0] is not None
    assert meters[1] is not None
    assert meters[0].spend(3000, Instant(10.0)) == 2_000_000
    exchange_of(doors, 10.0, Policy())
    assert meters[1].spend(0, Instant(10.0)) == 2_000_000


@pytest.mark.shows("POLICY-WORK-003")
def test_who_begins_later_hears_what_runs_and_who_is_gone_counts_no_more() -> None:
    rules = ServerPolicy(address=Rates(0, 0, 1))
    first, second, late = (Door(rules, 100) for _ in range(3))
    for door in (first, second, late):
        door.share()
    assert isinstance(first.admit(caller_of(HERE), "app", None, (), Instant(1.0)), Success)
    assert first.poll_uses(9)[0] != []
    assert first.poll_uses(9) == ([], [])
    first.tell_running()
    (use,), _ = first.poll_uses(9)
    assert use.running == 1
    for number, door in ((1, late), (1, second), (2, second)):
        door.learn_of_address(number, use, Instant(1.0))
    assert not isinstance(late.admit(caller_of(HERE), "app", None, (), Instant(1.0)), Success)
    late.forget(1)
    assert isinstance(late.admit(caller_of(HERE), "app", None, (), Instant(1.0)), Success)
    second.forget(1)
    assert not isinstance(second.admit(caller_of(HERE), "app", None, (), Instant(1.0)), Success)
    second.learn_of_address(2, Use(use.key, 0, 0, 2), Instant(1.0))
    second.learn_of_address(2, Use(use.key, 0, 0, 0), Instant(1.0))
    second.learn_of_address(2, Use(use.key, 0, 0, 0), Instant(1.0))
    assert isinstance(second.admit(caller_of(HERE), "app", None, (), Instant(1.0)), Success)


def test_what_is_told_at_a_time_is_bounded_and_nothing_is_lost() -> None:
    door = Door(ServerPolicy(address=Rates(1000, 4)), 100)
    door.share()
    for number in range(10):
        door.admit(caller_of(f"192.0.2.{number}"), "app", None, (), Instant(1.0))
    told: list[Use] = []
    for count in (4, 4, 2, 0):
        addresses, endpoints = door.poll_uses(4)
        assert (len(addresses), endpoints) == (count, [])
        told += addresses
    assert len({use.key for use in told}) == 10
    assert {use.requests for use in told} == {1}
