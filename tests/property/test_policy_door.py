"""The door: a random crowd beside a naive model of every rule, sign-in, and what one that waits as told finds."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import fields
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from tunnel.core.base.ids import Instant
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.base.problem import ADDRESS_DENIED, TOO_MANY_EXCHANGES, Problem
from tunnel.core.policy.door import Caller, Door, Entry, caller_of
from tunnel.core.policy.ip import Block, block_of
from tunnel.core.policy.rules import OPEN, OPEN_TO_ALL, Policy, Rates, ServerPolicy, SignIn, is_sound, stricter
from tunnel.core.policy.sign_in import is_signed_in, sign_in_of

NAMES: Final = ("app", "other")
ADDRESSES: Final = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1", "")
USER: Final = sign_in_of(b"anna:s3cret", bytes(16))


def block(text: str) -> Block:
    found = block_of(text)
    assert isinstance(found, Success)
    return value_of(found)


def basic(credentials: bytes) -> bytes:
    return b"Basic " + b64encode(credentials)


def refusal(door: Door, policy: Policy | None, address: str, now: float = 0.0, name: str = "app") -> Problem | None:
    """Why one is not let in, if it is not."""
    done = door.admit(caller_of(address), name, policy, (), Instant(now))
    return None if isinstance(done, Success) else error_of(done)


class Crowd(RuleBasedStateMachine):
    """Callers that come, stay and leave; the model counts by hand and keeps credits as floats of exact fractions."""

    @initialize(
        address=st.builds(Rates, st.just(1000), st.integers(1, 3), st.integers(0, 3)),
        endpoint=st.builds(Rates, st.just(2000), st.integers(1, 4), st.integers(0, 4)),
    )
    def begin(self, address: Rates, endpoint: Rates) -> None:
        """A door with rates whose credits are whole numbers at each tick of a quarter second."""
        self.door = Door(ServerPolicy(address=address), 1000)
        self.policy = Policy(endpoint)
        self.address, self.endpoint = address, endpoint
        self.now = 100.0
        self.credits: dict[object, tuple[float, float]] = {}
        self.inside: list[tuple[Entry, object, str]] = []

    def key(self, address: str) -> object:
        """What the visitor cannot change."""
        return address.rpartition("::")[0] if ":" in address else address

    def left(self, key: object, rates: Rates) -> float:
        """Credits of the model."""
        credit, at = self.credits.get(key, (float(rates.burst), self.now))
        return min(credit + (self.now - at) * rates.requests / 1000, rates.burst)

    @rule(quarters=st.integers(0, 20))
    def pass_time(self, quarters: int) -> None:
        """Time passes in steps that floats hold exactly."""
        self.now += quarters / 4

    @rule(address=st.sampled_from(ADDRESSES), name=st.sampled_from(NAMES))
    def come(self, address: str, name: str) -> None:
        """One asks to be let in; the model says what must come of it."""
        done = self.door.admit(caller_of(address), name, self.policy, (), Instant(self.now))
        key = self.key(address)
        left = {key: self.left(key, self.address), name: self.left(name, self.endpoint)}
        wait = max((1 - left[key]) * 1000 / self.address.requests, (1 - left[name]) * 1000 / self.endpoint.requests)
        if wait > 0:
            assert not isinstance(done, Success)
            assert error_of(done).code == "rate-limited"
            assert error_of(done).retry_seconds == -int(-wait // 1)
            return
        self.credits[key] = (left[key] - 1, self.now)
        self.credits[name] = (left[name] - 1, self.now)
        running = [sum(one[1] == key for one in self.inside), sum(one[2] == name for one in self.inside)]
        if any(limit and count >= limit for count, limit in zip(running, self.limits(), strict=True)):
            assert not isinstance(done, Success)
            assert error_of(done) == TOO_MANY_EXCHANGES
            return
        assert isinstance(done, Success)
        self.inside.append((value_of(done), key, name))

    def limits(self) -> tuple[int, int]:
        """How many may be inside, by address and by endpoint."""
        return self.address.exchanges, self.endpoint.exchanges

    @rule(choice=st.integers(0, 100))
    def leave(self, choice: int) -> None:
        """One that is inside leaves."""
        if self.inside:
            self.door.leave(self.inside.pop(choice % len(self.inside))[0])

    @rule(address=st.sampled_from(ADDRESSES), name=st.sampled_from(NAMES))
    def wait_as_told(self, address: str, name: str) -> None:
        """One that waits for Retry-After, while nobody else comes, is not told to wait again."""
        done = self.door.admit(caller_of(address), name, self.policy, (), Instant(self.now))
        if isinstance(done, Success) or error_of(done).code != "rate-limited":
            self.credits.clear()
            self.door, self.inside = Door(ServerPolicy(address=self.address), 1000), []
            return
        self.now += error_of(done).retry_seconds
        assert refusal(self.door, self.policy, address, self.now, name) in {None, TOO_MANY_EXCHANGES}
        self.door, self.inside = Door(ServerPolicy(address=self.address), 1000), []
        self.credits.clear()

    @invariant()
    def nothing_leaks(self) -> None:
        """What is counted as running is what is inside."""
        if hasattr(self, "door"):
            sizes = self.door.sizes()
            by_address, by_name = self.limits()
            assert sizes[2] == (len({one[1] for one in self.inside}) if by_address else 0)
            assert sizes[5] == (len({one[2] for one in self.inside}) if by_name else 0)


TestCrowd = pytest.mark.shows(
    "POLICY-RATE-001", "POLICY-RATE-004", "POLICY-RATE-005", "POLICY-COUNT-001", "POLICY-ORDER-001"
)(Crowd.TestCase)
TestCrowd.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.shows("POLICY-LIST-001", "POLICY-LIST-002", "POLICY-ORDER-001")
@pytest.mark.parametrize(
    ("address", "is_in"),
    [("10.1.0.1", True), ("10.2.0.1", False), ("192.0.2.1", False), ("::ffff:10.1.0.1", True), ("", False)],
)
def test_deny_wins_and_whoever_is_not_allowed_stays_out(address: str, is_in: bool) -> None:  # noqa: FBT001
    lists = (block("10.0.0.0/8"),), (block("10.2.0.0/16"),)
    for door, policy in (
        (Door(ServerPolicy(allow=lists[0], deny=lists[1]), 10), None),
        (Door(OPEN_TO_ALL, 10), Policy(allow=lists[0], deny=lists[1])),
        (Door(ServerPolicy(deny=lists[1]), 10), Policy(allow=lists[0])),
        (Door(ServerPolicy(allow=lists[0]), 10), Policy(deny=lists[1])),
    ):
        assert refusal(door, policy, address) == (None if is_in else ADDRESS_DENIED)


@pytest.mark.shows("POLICY-ORDER-001")
def test_the_first_rule_that_refuses_gives_the_answer() -> None:
    once = Rates(requests=1, burst=1, exchanges=1)
    for deny, codes in (
        ("192.0.2.0/24", ["address-denied"] * 4),
        ("10.0.0.0/8", ["sign-in-needed"] + ["rate-limited"] * 3),
    ):
        door = Door(OPEN_TO_ALL, 10)
        policy = Policy(once, deny=(block(deny),), sign_ins=(USER,))
        problems = [refusal(door, policy, "192.0.2.1") for _ in range(4)]
        assert [problem and problem.code for problem in problems] == codes
    door, policy = Door(OPEN_TO_ALL, 10), Policy(Rates(exchanges=1), sign_ins=(USER,))
    assert isinstance(door.admit(caller_of("192.0.2.1"), "app", policy, [basic(b"anna:s3cret")], Instant(0)), Success)
    assert refusal(door, policy, "192.0.2.1") == TOO_MANY_EXCHANGES


@pytest.mark.shows("POLICY-RATE-006")
def test_guessing_passwords_is_bounded_by_the_rate() -> None:
    door, policy = Door(OPEN_TO_ALL, 10), Policy(Rates(requests=1000, burst=5), sign_ins=(USER,))
    codes = [refusal(door, policy, "192.0.2.1", second / 10) for second in range(100)]
    assert sum(code is not None and code.code == "sign-in-needed" for code in codes) == 5 + 9


@pytest.mark.shows("POLICY-RATE-007")
@given(*[st.builds(Rates, *[st.integers(0, 5)] * 4)] * 2)
def test_the_stricter_of_two_numbers_counts(one: Rates, other: Rates) -> None:
    both = stricter(one, other)
    assert both == stricter(other, one)
    for name in (field.name for field in fields(Rates)):
        numbers = [number for number in (getattr(one, name), getattr(other, name)) if number]
        assert getattr(both, name) == min(numbers, default=0)


@pytest.mark.shows("POLICY-RATE-007")
def test_an_operators_limit_holds_at_endpoints_that_ask_for_nothing_or_for_more() -> None:
    door = Door(ServerPolicy(endpoint=Rates(exchanges=1)), 10)
    assert door.guards_everyone
    for name, policy in (("app", None), ("other", Policy(Rates(exchanges=9)))):
        assert refusal(door, policy, "192.0.2.1", name=name) is None
        assert refusal(door, policy, "192.0.2.9", name=name) == TOO_MANY_EXCHANGES


@pytest.mark.shows("POLICY-ORDER-003", "POLICY-TABLE-001")
def test_a_name_that_nobody_holds_costs_the_address_and_no_place_of_an_endpoint() -> None:
    door = Door(ServerPolicy(Rates(requests=1, burst=1), Rates(requests=1, burst=1)), 10)
    assert refusal(door, None, "192.0.2.1", name="") is None
    assert refusal(door, None, "192.0.2.1", name="") is not None
    assert door.sizes() == (1, 0, 0, 0, 0, 0)


def test_a_door_without_rules_looks_at_nobody_and_keeps_nothing() -> None:
    door = Door(OPEN_TO_ALL, 10)
    assert not door.guards_everyone
    for number in range(100):
        done = door.admit(caller_of(f"192.0.2.{number}"), "app", OPEN, (), Instant(0.0))
        assert isinstance(done, Success)
        door.leave(value_of(done))
    assert door.sizes() == (0,) * 6
    assert door.meter(caller_of("192.0.2.1"), "app", OPEN) is None
    assert door.meter(caller_of("192.0.2.1"), "app", None) is None


@pytest.mark.shows("POLICY-TABLE-001")
def test_many_addresses_are_remembered_within_the_bound() -> None:
    door = Door(ServerPolicy(Rates(1000, 5, 0, 16_384)), 64)
    for number in range(2000):
        caller = caller_of(f"2001:db8:{number:x}::1")
        now = Instant(float(number))
        assert isinstance(door.admit(caller, "app", None, (), now), Success)
        meter = door.meter(caller, "app", None)
        assert meter is not None
        meter.spend(1, now)
    assert door.sizes() == (64, 64, 0, 0, 0, 0)


@pytest.mark.shows("POLICY-BYTES-001")
@settings(max_examples=60, deadline=None)
@given(
    both=st.tuples(st.integers(16_384, 10**6), st.integers(16_384, 10**6)),
    pieces=st.lists(st.tuples(st.integers(1, 65_536), st.booleans()), min_size=1, max_size=60),
)
def test_bytes_of_all_connections_keep_to_the_slower_rate(
    both: tuple[int, int], pieces: list[tuple[int, bool]]
) -> None:
    door = Door(ServerPolicy(Rates(bandwidth=both[0])), 10)
    policy = Policy(Rates(bandwidth=both[1]))
    meters = [door.meter(caller_of("192.0.2.1"), "app", policy) for _ in range(2)]
    now, passed = 0.0, 0
    for count, which in pieces:
        meter = meters[which]
        assert meter is not None
        wait = meter.spend(count, Instant(now))
        passed += count
        now += wait * 1e-6 + 1e-6
        # A second's worth may come at once; the rest has been waited for when the next comes.
        assert passed <= min(both) * (now + 1) + 1


@pytest.mark.shows("POLICY-BYTES-002")
def test_a_new_exchange_is_refused_only_far_in_debt_and_let_in_when_it_waits_as_told() -> None:
    policy = Policy(Rates(bandwidth=100_000))
    door = Door(OPEN_TO_ALL, 10)
    meter = door.meter(caller_of("192.0.2.1"), "app", policy)
    assert meter is not None
    meter.spend(100_000 + 200_000 + 1024 * 1024, Instant(0.0))
    assert refusal(door, policy, "192.0.2.2") is None
    meter.spend(150_001, Instant(0.0))
    told = refusal(door, policy, "192.0.2.2")
    assert told is not None
    assert (told.code, told.retry_seconds) == ("rate-limited", 2)
    assert refusal(door, policy, "192.0.2.2", 1.0) is not None
    assert refusal(door, policy, "192.0.2.2", 2.0) is None


@pytest.mark.bug("B1")
@pytest.mark.shows("POLICY-SIGNIN-001")
@pytest.mark.parametrize(
    ("fields", "is_in"),
    [
        ([basic(b"anna:s3cret")], True),
        ([b"basic " + b64encode(b"anna:s3cret")], True),
        ([b"BASIC   " + b64encode(b"anna:s3cret") + b" "], True),
        ([], False),
        ([b""], False),
        ([b"Basic"], False),
        ([b"Basic *"], False),
        ([b"Bearer " + b64encode(b"anna:s3cret")], False),
        ([basic(b"anna:s3cret").rstrip(b"=")], False),
        ([basic(b"anna:s3cret ")], False),
        ([basic(b"Anna:s3cret")], False),
        ([basic(b"anna")], False),
        ([basic(b"anna:" + b"s" * 2000)], False),
        ([basic(b"anna:s3cret"), basic(b"anna:s3cret")], False),
        ([basic(b"eve:guess"), basic(b"anna:s3cret")], False),
    ],
)
def test_exactly_one_field_signs_in(fields: list[bytes], is_in: bool) -> None:  # noqa: FBT001
    for users in ((USER,), (sign_in_of(b"bert:x", b"b" * 16), USER), (USER, sign_in_of(b"bert:x", b"b" * 16))):
        assert is_signed_in(users, fields) is is_in
    assert not is_signed_in((), fields)


@pytest.mark.shows("POLICY-SIGNIN-003")
@given(st.binary(min_size=3, max_size=40), st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_what_is_sent_of_a_password_is_a_salted_digest(credentials: bytes, one: bytes, other: bytes) -> None:
    sent = sign_in_of(credentials, one)
    assert credentials not in sent.digest + sent.salt or credentials in one
    assert len(sent.digest) == 32
    assert (sent == sign_in_of(credentials, other)) == (one == other)
    assert is_signed_in([sent], [basic(credentials)])


@pytest.mark.shows("POLICY-SIGNIN-004")
def test_every_user_is_tried_whatever_matches() -> None:
    tried: list[SignIn] = []

    class Watched(list[SignIn]):
        @override
        def __iter__(self) -> Iterator[SignIn]:
            for one in super().__iter__():
                tried.append(one)
                yield one

    users = Watched([USER, sign_in_of(b"bert:x", bytes(16)), SignIn(bytes(16), bytes(32))])
    for shown in (b"anna:s3cret", b"bert:x", b"nobody:y"):
        tried.clear()
        assert is_signed_in(users, [basic(shown)]) is (shown != b"nobody:y")
        assert tried == list.copy(users)


def test_callers_without_an_address_share_their_limits() -> None:
    assert Caller(None).key == caller_of("").key == caller_of("/run/socket").key
    assert caller_of("").ip is None


@given(st.builds(Rates, *[st.integers(-1, 2**41)] * 4))
def test_sound_rates_have_a_burst_exactly_where_there_is_a_rate(rates: Rates) -> None:
    if is_sound(rates):
        assert (rates.burst > 0) == (rates.requests > 0)
        assert min(rates.requests, rates.burst, rates.exchanges, rates.bandwidth) >= 0
    assert is_sound(Rates(1, 1, 1, 16_384))
    assert is_sound(Rates())
    for bad in (Rates(1), Rates(0, 1), Rates(bandwidth=1), Rates(exchanges=-1), Rates(10**10, 1), Rates(1, 10**7)):
        assert not is_sound(bad)
