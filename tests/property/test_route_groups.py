"""Names that several links answer for: who may join, who takes the next request, and who is spared.

Each example says one thing; `test_route_any_order.py` runs them all in any order.
"""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.routes import (
    DEMO,
    LIMITS,
    OURS,
    SIBLING,
    START,
    THEIRS,
    claim_of,
    claimed,
    later,
    opened,
    token_of,
)

from tunnel.core.base.ids import Instant, SessionId
from tunnel.core.base.outcome import Failure, Success
from tunnel.core.link.messages import Share
from tunnel.core.policy.rules import OPEN, Policy, Rates
from tunnel.core.route.errors import NameTaken, Overtaken, TooManyMembers
from tunnel.core.route.lease import Lease
from tunnel.core.route.table import RouteTable, Unhealthy
from tunnel.core.token.token import EndpointKind

POOL: Final = Share.POOL
ASIDE: Final = LIMITS.aside_seconds_min


def pool_of(count: int) -> tuple[RouteTable, list[Lease]]:
    """A table in which as many agents of one account share the name, sessions 1 and up."""
    table = RouteTable(LIMITS)
    leases: list[Lease] = []
    for number in range(1, count + 1):
        token = token_of(number)
        opened(table, number, token)
        leases.append(claimed(table, claim_of(number, token, share=POOL)).lease)
    return table, leases


def chosen(table: RouteTable, now: Instant = START, preferred: Lease | None = None) -> Lease:
    """Who takes the next request, which from now on runs there."""
    found = table.find(DEMO, now, preferred)
    assert isinstance(found, Lease)
    found.outstanding += 1
    return found


def put_aside(table: RouteTable, lease: Lease, now: Instant = START) -> None:
    news = [table.on_local_failed(lease, now) for _ in range(LIMITS.aside_failures)]
    assert news == [False] * (LIMITS.aside_failures - 1) + [True]


@pytest.mark.shows("ROUTE-GROUP-001", "ROUTE-LEASE-011")
def test_the_links_of_one_agent_answer_together() -> None:
    table = RouteTable(LIMITS)
    one = token_of(1, names_max=1)
    for session, link in ((1, 0), (2, 1)):
        assert opened(table, session, one, b"agent", link).retired is None
    first, second = (claimed(table, claim_of(session, one)) for session in (1, 2))
    assert (first.fenced, second.fenced) == ((), ())
    assert table.leases() == [first.lease, second.lease]
    assert table.is_current(first.lease)
    assert table.drop_session(SessionId(1), START) == [first.lease]
    assert table.find(DEMO, START) is second.lease


@pytest.mark.bug("B3")
@pytest.mark.shows("ROUTE-GROUP-001", "ROUTE-SESSION-002")
def test_a_link_that_is_dialled_again_takes_its_own_place_and_no_other() -> None:
    table = RouteTable(LIMITS)
    for session, link in ((1, 0), (2, 1)):
        opened(table, session, OURS, b"agent", link)
    leases = [claimed(table, claim_of(session)).lease for session in (1, 2)]
    assert opened(table, 3, OURS, b"agent", 1).retired == 2
    assert table.leases() == leases
    again = claimed(table, claim_of(3))
    assert again.fenced == (leases[1],)
    assert table.leases() == [leases[0], again.lease]


@pytest.mark.shows("ROUTE-GROUP-002")
@pytest.mark.parametrize(("holder", "joiner"), [(Share.ALONE, POOL), (POOL, Share.ALONE), (Share.ALONE, Share.ALONE)])
def test_agents_share_only_when_both_ask_for_it(holder: Share, joiner: Share) -> None:
    table = RouteTable(LIMITS)
    opened(table, 1)
    opened(table, 2, SIBLING)
    opened(table, 3)
    lease = claimed(table, claim_of(1, share=holder)).lease
    assert table.claim(claim_of(2, SIBLING, share=joiner), START) == Failure(NameTaken(DEMO, START))
    assert claimed(table, claim_of(3, share=joiner)).fenced == (lease,)


@pytest.mark.shows("ROUTE-GROUP-002")
def test_agents_that_both_ask_for_it_share_a_name() -> None:
    table = RouteTable(LIMITS)
    for session, token in ((1, OURS), (2, SIBLING), (3, OURS), (4, THEIRS)):
        opened(table, session, token)
    leases = [
        claimed(table, claim_of(session, token, share=POOL)).lease for session, token in ((1, OURS), (2, SIBLING))
    ]
    leases.append(claimed(table, claim_of(3, OURS, share=POOL)).lease)
    assert table.leases() == leases
    assert table.claim(claim_of(4, THEIRS, share=POOL), START) == Failure(NameTaken(DEMO, START))


@pytest.mark.shows("ROUTE-GROUP-002")
def test_endpoints_of_different_kinds_never_share() -> None:
    table = RouteTable(LIMITS)
    opened(table, 1)
    opened(table, 2, SIBLING)
    opened(table, 3)
    lease = claimed(table, claim_of(1, share=POOL)).lease
    tcp = claim_of(2, SIBLING, share=POOL, kind=EndpointKind.TCP)
    assert table.claim(tcp, START) == Failure(NameTaken(DEMO, START))
    assert claimed(table, claim_of(3, share=POOL, kind=EndpointKind.TCP)).fenced == (lease,)


@pytest.mark.shows("POLICY-POOL-001")
def test_endpoints_with_different_policies_never_share() -> None:
    strict = Policy(Rates(exchanges=1))
    table = RouteTable(LIMITS)
    for session, token in ((1, OURS), (2, SIBLING), (3, SIBLING), (4, OURS)):
        opened(table, session, token)
    lease = claimed(table, replace(claim_of(1, share=POOL), policy=strict)).lease
    for other in (OPEN, Policy(Rates(exchanges=2))):
        asked = replace(claim_of(2, SIBLING, share=POOL), policy=other)
        assert table.claim(asked, START) == Failure(NameTaken(DEMO, START))
    both = claimed(table, replace(claim_of(3, SIBLING, share=POOL), policy=strict)).lease
    assert table.leases() == [lease, both]
    assert [one.policy for one in table.leases()] == [strict, strict]


@pytest.mark.bug("B3", "B12")
@pytest.mark.shows("ROUTE-LEASE-003", "ROUTE-LEASE-004", "ROUTE-GROUP-002")
def test_who_does_not_share_takes_over_from_its_own_token_only() -> None:
    table = RouteTable(LIMITS)
    for session, token in ((1, OURS), (2, OURS), (3, OURS), (4, SIBLING), (5, SIBLING)):
        opened(table, session, token)
    both = tuple(claimed(table, claim_of(session, share=POOL)).lease for session in (1, 2))
    assert claimed(table, claim_of(3)).fenced == both
    table.drop_session(SessionId(3), START)
    claimed(table, claim_of(4, SIBLING, share=POOL))
    claimed(table, claim_of(2, share=POOL))
    assert table.claim(claim_of(5, SIBLING), START) == Failure(NameTaken(DEMO, START))


@pytest.mark.bug("B3")
@pytest.mark.shows("ROUTE-LEASE-005", "ROUTE-GROUP-003")
def test_an_agent_that_lost_a_name_does_not_take_it_back_over_its_other_link() -> None:
    """Two agents start at once with one token: one of them ends up with the name, not neither."""
    table = RouteTable(LIMITS)
    opened(table, 1, OURS, b"a", 0)
    opened(table, 2, OURS, b"b", 0)
    opened(table, 3, OURS, b"a", 1)
    old = claimed(table, claim_of(1)).lease
    new = claimed(table, claim_of(2))
    assert new.fenced == (old,)
    assert table.claim(claim_of(3), START) == Failure(Overtaken(DEMO, SessionId(2)))
    opened(table, 4, OURS, b"a", 1)
    assert claimed(table, claim_of(4)).fenced == (new.lease,)


@pytest.mark.shows("ROUTE-GROUP-003")
def test_an_agent_that_heard_nothing_of_it_does() -> None:
    """Its link is dead, and it has dialled again already: the newest session wins, as ever."""
    table = RouteTable(LIMITS)
    opened(table, 1, OURS, b"a")
    claimed(table, claim_of(1))
    opened(table, 2, OURS, b"b")
    opened(table, 3, OURS, b"a")
    between = claimed(table, claim_of(2)).lease
    assert claimed(table, claim_of(3)).fenced == (between,)


@pytest.mark.shows("ROUTE-LEASE-011")
def test_a_name_has_room_for_so_many() -> None:
    table = RouteTable(replace(LIMITS, members_per_name_max=2))
    for session in (1, 2, 3):
        opened(table, session, token_of(session))
    for session in (1, 2):
        claimed(table, claim_of(session, token_of(session), share=POOL))
    refused = table.claim(claim_of(3, token_of(3), share=POOL), START)
    assert refused == Failure(TooManyMembers(DEMO, 2))
    table.drop_session(SessionId(1), START)
    assert isinstance(table.claim(claim_of(3, token_of(3), share=POOL), START), Success)


@pytest.mark.shows("ROUTE-GROUP-001", "ROUTE-OFFLINE-001")
def test_a_name_is_offline_when_the_last_of_them_is_gone() -> None:
    table, leases = pool_of(2)
    table.drop_session(SessionId(1), START)
    assert table.find(DEMO, START) is leases[1]
    assert table.offline_count() == 0
    table.drop_session(SessionId(2), START)
    assert table.offline_count() == 1
    assert table.withdraw(DEMO, leases[1].epoch) is None


@pytest.mark.shows("ROUTE-LEASE-008")
def test_a_lease_is_withdrawn_alone() -> None:
    table, leases = pool_of(2)
    assert table.withdraw(DEMO, leases[0].epoch) is leases[0]
    assert table.leases() == [leases[1]]
    assert table.withdraw(DEMO, leases[1].epoch) is leases[1]
    assert table.find(DEMO, START) is None


@pytest.mark.shows("ROUTE-CHOICE-001", "ROUTE-CHOICE-002")
@given(count=st.integers(2, 5), requests=st.integers(1, 40))
def test_requests_that_all_run_are_spread_evenly(count: int, requests: int) -> None:
    table, leases = pool_of(count)
    for _ in range(requests):
        chosen(table)
    loads = [lease.outstanding for lease in leases]
    assert sum(loads) == requests
    assert max(loads) - min(loads) <= 1


@pytest.mark.shows("ROUTE-CHOICE-002")
def test_requests_one_after_the_other_go_to_each_in_turn() -> None:
    table, leases = pool_of(3)
    turns: list[Lease] = []
    for _ in range(6):
        lease = chosen(table)
        lease.outstanding -= 1
        turns.append(lease)
    assert turns == leases * 2


@pytest.mark.shows("ROUTE-CHOICE-002")
def test_a_visitor_stays_with_its_member_while_that_has_the_least_to_do() -> None:
    table, leases = pool_of(3)
    assert [chosen(table, preferred=lease) for lease in reversed(leases)] == leases[::-1]
    for lease in leases:
        lease.outstanding = 2
    leases[0].outstanding = 1
    assert chosen(table, preferred=leases[2]) is leases[0]


@pytest.mark.shows("ROUTE-HEALTH-001")
def test_failures_in_a_row_put_a_member_aside_until_it_is_tried_again() -> None:
    table, (bad, good) = pool_of(2)
    put_aside(table, bad)
    assert [chosen(table) for _ in range(4)] == [good] * 4
    due = later(ASIDE)
    assert chosen(table, due) is bad
    assert chosen(table, due) is good, "one request tries it, not all"
    assert not table.on_local_failed(bad, due)
    assert chosen(table, later(2 * ASIDE)) is good, "the pause has doubled"
    assert chosen(table, later(3 * ASIDE)) is bad
    assert bad.health.on_stood()
    bad.outstanding = good.outstanding = 0
    assert {chosen(table, later(3 * ASIDE)), chosen(table, later(3 * ASIDE))} == {bad, good}


@pytest.mark.shows("ROUTE-HEALTH-001")
def test_a_connection_that_stands_starts_the_count_anew() -> None:
    table, (first, _) = pool_of(2)
    for _ in range(3 * LIMITS.aside_failures):
        assert not table.on_local_failed(first, START)
        assert not first.health.on_stood()


@pytest.mark.shows("ROUTE-HEALTH-001")
def test_the_pause_has_a_bound() -> None:
    table, (bad, _) = pool_of(2)
    put_aside(table, bad)
    for _ in range(40):
        table.on_local_failed(bad, START)
    most = LIMITS.aside_seconds_max
    assert (bad.health.is_due(later(most - 0.001)), bad.health.is_due(later(most))) == (False, True)


@pytest.mark.shows("ROUTE-HEALTH-002")
def test_the_last_that_serves_is_never_put_aside() -> None:
    table, leases = pool_of(2)
    put_aside(table, leases[0])
    assert not any(table.on_local_failed(leases[1], START) for _ in range(9))
    assert chosen(table) is leases[1]
    table.drop_session(SessionId(2), START)
    assert chosen(table) is leases[0], "rather one that failed than none"


@pytest.mark.shows("ROUTE-HEALTH-002")
def test_links_of_one_agent_are_not_put_aside_for_each_other() -> None:
    """Behind both is the same local service: to spare one of them helps nobody."""
    table = RouteTable(LIMITS)
    for session, link in ((1, 0), (2, 1)):
        opened(table, session, OURS, b"agent", link)
    first, second = (claimed(table, claim_of(session)).lease for session in (1, 2))
    assert first.health is second.health
    assert not any(table.on_local_failed(first, START) for _ in range(9))


@pytest.mark.shows("ROUTE-HEALTH-002")
def test_those_aside_serve_when_all_others_are_down() -> None:
    table, leases = pool_of(3)
    put_aside(table, leases[0])
    put_aside(table, leases[1])
    assert table.on_health(leases[2], is_up=False)
    leases[0].outstanding = 5
    assert chosen(table) is leases[1]


@pytest.mark.shows("ROUTE-HEALTH-003")
def test_a_member_that_says_it_is_down_gets_nothing() -> None:
    table, leases = pool_of(2)
    assert table.on_health(leases[0], is_up=False)
    assert not table.on_health(leases[0], is_up=False)
    assert [chosen(table) for _ in range(3)] == [leases[1]] * 3
    assert table.on_health(leases[1], is_up=False)
    assert isinstance(table.find(DEMO, START), Unhealthy)
    assert table.on_health(leases[0], is_up=True)
    assert chosen(table) is leases[0]


@pytest.mark.shows("ROUTE-HEALTH-003")
def test_a_holder_alone_that_says_it_is_down_gets_nothing_either() -> None:
    table, leases = pool_of(1)
    table.on_health(leases[0], is_up=False)
    assert isinstance(table.find(DEMO, START), Unhealthy)
    table.drop_session(SessionId(1), START)
    table.on_health(leases[0], is_up=True)
    assert not isinstance(table.find(DEMO, START), Lease)


@pytest.mark.shows("ROUTE-CHOICE-003")
def test_another_is_one_that_was_not_tried() -> None:
    table, leases = pool_of(3)
    assert table.another(DEMO, START, [leases[0], leases[2]]) is leases[1]
    assert table.another(DEMO, START, [leases[0], leases[1].health, leases[2]]) is None
    opened(table, 4, token_of(1), bytes([1]) * 16, 1)
    second_link = claimed(table, claim_of(4, token_of(1), share=POOL)).lease
    others = [leases[1], leases[2]]
    assert table.another(DEMO, START, [*others, leases[0]]) is second_link
    assert table.another(DEMO, START, [*others, leases[0].health]) is None
