"""Public TCP ports: no port has two names, none is lost, and a name finds its port again.

A machine of random claims, releases and time is compared with what must hold; examples name the rules.
"""

from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tunnel.core.base.ids import EndpointId, Epoch, Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.link.messages import Keep
from tunnel.core.route.health import Health
from tunnel.core.route.lease import Claim, Lease
from tunnel.core.route.ports import NoPortLeft, NoPorts, PortError, PortOutside, Ports, PortTaken, describe
from tunnel.core.token.token import AccountId, EndpointKind, KeyId, NamePattern, Token, TokenId

LIMITS: Final = Limits(lease_lapse_seconds=60.0)
LOW, HIGH = 20_000, 20_003


def lease(name: str, epoch: int, account: bytes = b"a") -> Lease:
    token = Token(
        KeyId(b"k" * 8), TokenId(b"t" * 16), AccountId(account * 16), NamePattern("*"),
        frozenset((EndpointKind.TCP,)), 16, 16, 16, UnixSeconds(0), UnixSeconds(1),
    )  # fmt: skip
    claim = Claim(Label(name), SessionId(1), EndpointId(1), EndpointKind.TCP, token, Keep(), "")
    return Lease(claim, Epoch(epoch), Instant(0.0), b"", Health(LIMITS))


def ports() -> Ports:
    return Ports(LIMITS, LOW, HIGH)


def at(seconds: float) -> Instant:
    return Instant(1000.0 + seconds)


class _AnyOrder(RuleBasedStateMachine):
    """Claims and releases of four names by two accounts (a name stays with one), in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ports = ports()
        self.epoch = 0
        self.now = 0.0
        self.live: dict[int, tuple[Lease, int]] = {}

    @rule(name=st.sampled_from(["ax", "ay", "bx", "by", "bz"]), wanted=st.sampled_from([0, 0, LOW, HIGH, HIGH + 1]))
    def claim(self, name: str, wanted: int) -> None:
        self.epoch += 1
        asked = lease(name, self.epoch, name[:1].encode())
        claimed: Outcome[int, PortError] = self.ports.claim(asked, wanted, at(self.now))
        if isinstance(claimed, Success):
            port = value_of(claimed)
            assert LOW <= port <= HIGH
            assert wanted in {0, port}
            self.live[self.epoch] = (asked, port)
        else:
            assert self.ports.port_of(asked) == 0

    @rule(for_good=st.booleans(), choice=st.integers(0, 100))
    def release(self, for_good: bool, choice: int) -> None:  # noqa: FBT001
        if self.live:
            epoch = sorted(self.live)[choice % len(self.live)]
            held, port = self.live.pop(epoch)
            others = [p for _, p in self.live.values() if p == port]
            assert self.ports.release(held, at(self.now), for_good=for_good) == (0 if others else port)
            assert self.ports.release(held, at(self.now), for_good=for_good) == 0

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def a_port_has_one_name(self) -> None:
        names: dict[int, set[str]] = {}
        for held, port in self.live.values():
            assert self.ports.port_of(held) == port
            names.setdefault(port, set()).add(held.name)
        assert all(len(found) == 1 for found in names.values())
        assert self.ports.in_use() == len(names)

    @invariant()
    def a_refusal_for_want_of_ports_is_true(self) -> None:
        probe = self.ports.claim(lease("zz", 1_000_000, b"z"), 0, at(self.now + 61))
        if isinstance(probe, Success):
            self.ports.release(lease("zz", 1_000_000, b"z"), at(0), for_good=True)
        else:
            assert self.ports.in_use() == HIGH - LOW + 1


@pytest.mark.shows("ROUTE-PORT-001", "ROUTE-PORT-003")
def test_any_order_of_calls_keeps_the_rules() -> None:
    run_state_machine_as_test(_AnyOrder, settings=settings(max_examples=120, stateful_step_count=25, deadline=None))


@pytest.mark.shows("ROUTE-PORT-002")
def test_a_port_is_granted_as_asked_or_refused_with_a_reason() -> None:
    table = ports()
    assert table.claim(lease("a", 1), LOW + 2, at(0)) == Success(LOW + 2)
    assert table.claim(lease("b", 2), LOW + 2, at(0)) == Failure(PortTaken(LOW + 2))
    assert table.claim(lease("b", 2), 80, at(0)) == Failure(PortOutside(80, LOW, HIGH))
    assert Ports(LIMITS, 1, 0).claim(lease("b", 2), 0, at(0)) == Failure(NoPorts())
    for error in (PortTaken(1), PortOutside(80, LOW, HIGH), NoPorts(), NoPortLeft(LOW, HIGH)):
        assert describe(error).endswith(".")


@pytest.mark.shows("ROUTE-PORT-002")
def test_all_ports_are_given_out_before_none_is_left() -> None:
    table = ports()
    for number, port in enumerate(range(LOW, HIGH + 1), start=1):
        assert table.claim(lease(f"n{number}", number), 0, at(0)) == Success(port)
    assert table.claim(lease("more", 9), 0, at(0)) == Failure(NoPortLeft(LOW, HIGH))


@pytest.mark.shows("ROUTE-PORT-004")
def test_a_name_finds_its_port_again_while_it_is_kept() -> None:
    table = ports()
    assert table.claim(lease("a", 1), LOW + 3, at(0)) == Success(LOW + 3)
    assert table.release(lease("a", 1), at(10), for_good=False) == LOW + 3
    assert table.claim(lease("b", 2, b"b"), LOW + 3, at(20)) == Failure(PortTaken(LOW + 3))
    assert table.claim(lease("a", 3), 0, at(69)) == Success(LOW + 3)
    assert table.release(lease("a", 3), at(100), for_good=False) == LOW + 3
    assert table.claim(lease("b", 4, b"b"), LOW + 3, at(160)) == Success(LOW + 3)
    assert table.claim(lease("a", 5), 0, at(161)) == Success(LOW)


@pytest.mark.shows("ROUTE-PORT-004")
def test_a_kept_port_is_for_its_whole_account_and_a_given_up_one_for_anybody() -> None:
    table = ports()
    table.claim(lease("a", 1), LOW, at(0))
    table.release(lease("a", 1), at(1), for_good=False)
    assert table.claim(lease("other", 2), LOW, at(2)) == Success(LOW)
    table.release(lease("other", 2), at(3), for_good=True)
    assert table.claim(lease("b", 3, b"b"), LOW, at(4)) == Success(LOW)
    table.release(lease("b", 3, b"b"), at(5), for_good=True)
    assert table.claim(lease("b", 4, b"b"), 0, at(6)) == Success(LOW)


@pytest.mark.shows("ROUTE-PORT-003")
def test_a_newer_lease_of_the_name_has_the_same_port_and_the_older_ones_end_changes_nothing() -> None:
    table = ports()
    assert table.claim(lease("a", 1), 0, at(0)) == Success(LOW)
    assert table.claim(lease("a", 2), 0, at(1)) == Success(LOW)
    assert table.release(lease("a", 1), at(2), for_good=True) == 0
    assert table.release(lease("a", 2), at(3), for_good=False) == LOW


def test_a_name_that_moved_to_another_port_finds_that_one_when_the_older_is_given_up() -> None:
    held = ports()
    older, newer = lease("ax", 1), lease("ax", 2)
    assert held.claim(older, LOW, at(0)) == Success(LOW)
    assert held.claim(newer, HIGH, at(1)) == Success(HIGH)
    assert held.release(older, at(2), for_good=True) == LOW
    assert held.release(newer, at(3), for_good=False) == HIGH
    assert held.claim(lease("ax", 3), 0, at(4)) == Success(HIGH)


@pytest.mark.shows("ROUTE-PORT-005")
@pytest.mark.bug("B4")
def test_a_port_that_another_program_has_is_given_back_and_left_alone_for_a_while() -> None:
    table = ports()
    assert table.claim(lease("a", 1), 0, at(0)) == Success(LOW)
    table.note_foreign(lease("a", 1), at(0))
    assert table.in_use() == 0
    assert table.claim(lease("a", 1), 0, at(1)) == Success(LOW + 1)
    assert table.claim(lease("b", 2), LOW, at(2)) == Failure(PortTaken(LOW))
    assert table.claim(lease("b", 2), LOW, at(61)) == Success(LOW)
    table.note_foreign(lease("nobody", 7), at(0))


def test_what_lapsed_is_given_out_when_nothing_else_is_left() -> None:
    table = ports()
    for number in range(4):
        table.claim(lease(f"n{number}", number + 1), 0, at(0))
    table.release(lease("n2", 3), at(0), for_good=False)
    assert table.claim(lease("b", 9, b"b"), 0, at(59)) == Failure(NoPortLeft(LOW, HIGH))
    assert table.claim(lease("b", 9, b"b"), 0, at(60)) == Success(LOW + 2)


@pytest.mark.shows("ROUTE-PORT-006")
def test_another_range_is_given_out_from_now_on() -> None:
    some, first = ports(), lease("one", 1)
    assert some.claim(first, LOW, at(0)) == Success(LOW)
    some.change_range(HIGH, HIGH)
    assert some.port_of(first) == LOW
    assert some.claim(lease("one", 2), 0, at(1)) == Success(LOW)
    assert some.claim(lease("two", 3), LOW, at(1)) == Failure(PortOutside(LOW, HIGH, HIGH))
    assert some.claim(lease("two", 4), 0, at(1)) == Success(HIGH)
