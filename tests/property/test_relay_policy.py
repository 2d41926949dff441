"""The door in front of a whole edge: who is refused wakes nobody, who is let in is counted out once."""

from base64 import b64encode
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.relay_harness import GET, HELLO, POST, SWITCHED, UPGRADE, World, table_of

from tunnel.core.base.limits import Limits
from tunnel.core.base.outcome import Success, value_of
from tunnel.core.base.problem import LINK_BUSY
from tunnel.core.policy.door import Door
from tunnel.core.policy.ip import Block, block_of
from tunnel.core.policy.rules import OPEN, OPEN_TO_ALL, Policy, Rates, ServerPolicy
from tunnel.core.policy.sign_in import sign_in_of
from tunnel.core.relay.state import Phase

USERS: Final = Policy(sign_ins=(sign_in_of(b"anna:s3cret", bytes(16)),))
SHOWN: Final = b"Basic " + b64encode(b"anna:s3cret")
KEPT: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def block(text: str) -> Block:
    found = block_of(text)
    assert isinstance(found, Success)
    return value_of(found)


def world(policy: Policy = OPEN, rules: ServerPolicy = OPEN_TO_ALL) -> World:
    """One visitor from 192.0.2.9 in front of an endpoint with this policy."""
    return World(table=table_of("app", "other", policy=policy), door=Door(rules, 16))


def get(*fields: bytes, name: bytes = b"app") -> bytes:
    """A GET with these fields."""
    return b"\r\n".join((b"GET / HTTP/1.1", b"Host: " + name + b".tunnel.test", *fields, b"", b""))


@pytest.mark.shows("POLICY-ORDER-002", "POLICY-LIST-001", "POLICY-LIST-002")
@pytest.mark.parametrize(
    ("policy", "rules"),
    [
        (Policy(deny=(block("192.0.2.0/24"),)), OPEN_TO_ALL),
        (Policy(allow=(block("10.0.0.0/8"),)), OPEN_TO_ALL),
        (OPEN, ServerPolicy(deny=(block("192.0.2.9"),))),
        (OPEN, ServerPolicy(allow=(block("::/0"),))),
    ],
)
def test_an_address_that_may_not_come_wakes_nobody(policy: Policy, rules: ServerPolicy) -> None:
    edge = world(policy, rules).visitor(GET)
    assert (edge.streams, edge.statuses, edge.outcomes) == ([], [403], ["address-denied"])
    edge.visitor(POST + b"12345")
    assert (edge.streams, edge.statuses) == ([], [403, 403])


@pytest.mark.shows("POLICY-RATE-001", "POLICY-RATE-004", "POLICY-ORDER-002")
def test_who_comes_too_often_is_told_when_to_come_again_and_then_let_in() -> None:
    edge = world(Policy(Rates(requests=250, burst=2)))
    for _ in range(2):
        edge.visitor(GET).local(KEPT)
    edge.visitor(GET)
    last = edge.answers()[-1]
    assert (last.status, last.one("retry-after"), edge.outcomes[-1]) == (429, "4", "rate-limited")
    assert len(edge.streams) == 1
    edge.tick(3).visitor(GET).tick(1).visitor(GET).local(KEPT)
    assert edge.statuses == [200, 200, 429, 429, 200]


@pytest.mark.shows("POLICY-ORDER-003")
def test_looking_for_names_is_limited_like_using_one() -> None:
    edge = world(rules=ServerPolicy(Rates(requests=1, burst=3)))
    for name in (b"app", b"nobody", b"deep.er", b"nobody"):
        edge.visitor(get(name=name))
        if name == b"app":
            edge.local(KEPT)
    edge.visitor(b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n")
    assert edge.statuses == [200, 404, 404, 429, 429]


@pytest.mark.shows("POLICY-SIGNIN-001", "POLICY-SIGNIN-002")
@pytest.mark.bug("B1")
def test_who_signs_in_here_is_let_in_and_what_it_showed_stays_here() -> None:
    edge = world(USERS).visitor(get())
    (asked,) = edge.answers()
    assert (asked.status, asked.one("www-authenticate")) == (401, 'Basic realm="app", charset="UTF-8"')
    assert edge.streams == []
    edge.visitor(get(b"aUthorization: " + SHOWN, b"X-Other: kept")).local(KEPT)
    assert edge.statuses == [401, 200]
    assert b"authorization" not in edge.up.lower()
    assert b"X-Other: kept" in edge.up
    # A kept-alive connection is asked each time: it is requests that sign in.
    edge.visitor(get())
    assert edge.statuses == [401, 200, 401]


@pytest.mark.shows("POLICY-SIGNIN-002")
def test_where_nobody_has_to_sign_in_the_field_is_the_local_services() -> None:
    for edge in (world(), world(Policy(Rates(exchanges=5)))):
        edge.visitor(get(b"Authorization: " + SHOWN)).local(KEPT)
        assert b"Authorization: " + SHOWN in edge.up


@pytest.mark.shows("POLICY-SIGNIN-001", "POLICY-SIGNIN-002")
@pytest.mark.bug("B1")
def test_two_fields_sign_nobody_in() -> None:
    edge = world(USERS).visitor(get(b"Authorization: " + SHOWN, b"authorization: Basic ZXZlOmd1ZXNz"))
    assert edge.statuses == [401]


@pytest.mark.shows("POLICY-COUNT-001")
@pytest.mark.parametrize(
    "end", ["answer", "visitor-lost", "stream-reset", "local-fin", "grace-over", "late", "refused"]
)
def test_an_exchange_counts_until_its_end_whatever_ends_it(end: str) -> None:
    edge = world(Policy(Rates(exchanges=1)), ServerPolicy(Rates(exchanges=1)))
    other = World(table=edge.table, door=edge.door)
    edge.visitor(POST)
    assert edge.door.sizes() == (0, 0, 1, 0, 0, 1)
    other.visitor(GET)
    assert (other.statuses, other.outcomes) == ([429], ["too-many-exchanges"])
    match end:
        case "answer":
            edge.visitor(b"12345").local(HELLO)
        case "lost":
            edge.visitor_lost()
        case "stream-reset":
            edge.stream_reset()
        case "local-fin":
            edge.local().local_fin()
        case "grace-over":
            edge.grace_over()
        case "late":
            edge.until_closed()
        case _:
            edge.edge.on_origin_refused(LINK_BUSY, "", edge.now)
            edge.pump()
    assert len(edge.reports) == 1
    assert edge.door.sizes() == (0,) * 6
    other.visitor(GET).local(HELLO)
    assert other.statuses == [429, 200]


@pytest.mark.shows("POLICY-COUNT-001")
def test_an_upgraded_connection_counts_as_long_as_it_stands() -> None:
    edge = world(Policy(Rates(exchanges=1))).visitor(UPGRADE).local(SWITCHED)
    assert edge.edge.phase is Phase.UPGRADED
    assert edge.door.sizes()[5] == 1
    edge.visitor_lost()
    assert edge.door.sizes()[5] == 0


@pytest.mark.shows("POLICY-COUNT-002")
def test_a_repeated_request_counts_and_pays_once() -> None:
    edge = world(Policy(Rates(requests=1, burst=2, exchanges=1)))
    edge.visitor(GET).local(KEPT).visitor(GET)
    edge.stream_reset()
    assert len(edge.streams) == 2, "sent again on a fresh stream"
    edge.local(KEPT)
    assert edge.statuses == [200, 200]
    assert edge.door.sizes()[5] == 0


@pytest.mark.shows("POLICY-BYTES-003")
@settings(max_examples=30)
@given(st.integers(2, 40))
def test_time_in_which_we_held_a_visitor_back_is_not_held_against_it(steps: int) -> None:
    limits = Limits(body_stall_seconds_max=2.0)
    edge = World(limits, table_of("app", policy=Policy(Rates(exchanges=1))))
    edge.visitor(POST + b"1")
    for _ in range(steps):
        edge.tick(1.5)
        edge.edge.on_held_back(edge.now)
    edge.visitor(b"2345").local(HELLO)
    assert edge.statuses == [200]
    # Who waits for the next request has all the time that an idle visitor has, and no more.
    before = edge.edge.next_deadline()
    edge.edge.on_held_back(edge.now)
    assert edge.edge.next_deadline() == before
