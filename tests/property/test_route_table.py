"""The route table: one owner per name, newer generations win, and the dead change nothing.

Examples carry the checklist of known bug B3 (an agent reconnects while its old link is half open); any order of calls
is run by `test_route_any_order.py`.
"""

from dataclasses import replace
from typing import get_args

import pytest
from tests.support.routes import (
    DAY,
    DEMO,
    LAPSE,
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

from tunnel.core.base.ids import Epoch, Label, SessionId, UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, value_of
from tunnel.core.link.messages import DenialCode, Keep
from tunnel.core.route.errors import (
    ClaimError,
    NameTaken,
    Overtaken,
    SessionGone,
    TooManyMembers,
    TooManyNames,
    TooManySessions,
    denial_code,
    describe,
)
from tunnel.core.route.sessions import Sessions
from tunnel.core.route.table import Claimed, Offline, RouteTable
from tunnel.core.token.rights import permits
from tunnel.core.token.token import EndpointKind, Token


@pytest.mark.bug("B1", "B2")
@pytest.mark.shows("ROUTE-LEASE-001", "ROUTE-LEASE-010")
def test_a_lease_carries_all_that_it_was_granted_from() -> None:
    table = RouteTable(LIMITS)
    opened(table, 1)
    asked = claim_of(1, endpoint=5)
    done = claimed(table, asked)
    lease = done.lease
    assert done.fenced == ()
    assert table.find(DEMO, START) is lease
    assert (lease.name, lease.session, lease.endpoint, lease.kind) == (DEMO, 1, 5, EndpointKind.HTTP)
    assert (lease.token, lease.token_id, lease.account) == (OURS, OURS.token_id, OURS.account)
    assert (lease.host_header, lease.peer, lease.since, lease.epoch) == (Keep(), asked.peer, START, 1)
    now = UnixSeconds(1_999_999_999)
    assert isinstance(permits(lease.token, lease.kind, lease.name, now), Success)
    assert not isinstance(permits(lease.token, lease.kind, lease.name, UnixSeconds(now + 1)), Success)


@pytest.mark.bug("B3")
@pytest.mark.shows("ROUTE-LEASE-002", "ROUTE-LEASE-003")
def test_the_same_token_takes_its_name_over_at_once() -> None:
    """WorkConnRoutingRequiresCurrentRunningControl, RoutingRejectsLostGeneration."""
    table = RouteTable(LIMITS)
    opened(table, 1)
    opened(table, 2)
    first = claimed(table, claim_of(1)).lease
    second = claimed(table, claim_of(2))
    assert second.fenced == (first,)
    assert second.lease.epoch > first.epoch
    assert table.find(DEMO, START) is second.lease
    assert (table.is_current(first), table.is_current(second.lease)) == (False, True)


@pytest.mark.bug("B3")
@pytest.mark.shows("ROUTE-LEASE-005")
def test_an_older_session_takes_no_name_from_a_newer_one_even_if_it_never_had_it() -> None:
    table = RouteTable(LIMITS)
    opened(table, 1)
    opened(table, 2)
    held = claimed(table, claim_of(2)).lease
    assert table.claim(claim_of(1), START) == Failure(Overtaken(DEMO, SessionId(2)))
    assert table.find(DEMO, START) is held


@pytest.mark.bug("B3")
@pytest.mark.shows("ROUTE-LEASE-005", "ROUTE-LEASE-006", "ROUTE-LEASE-007")
def test_the_dead_change_nothing() -> None:
    """RejectsStaleActivateAndRemove, CloseAndReplacedAreIdempotent, HandoffSkipsStalePendingGeneration."""
    table = RouteTable(LIMITS)
    opened(table, 1)
    opened(table, 2)
    old = claimed(table, claim_of(1)).lease
    new = claimed(table, claim_of(2)).lease
    assert table.claim(claim_of(1), START) == Failure(Overtaken(DEMO, SessionId(2)))
    assert table.withdraw(DEMO, old.epoch) is None
    assert table.drop_session(SessionId(1), START) == []
    assert table.drop_session(SessionId(1), START) == []
    assert table.claim(claim_of(1), START) == Failure(SessionGone(SessionId(1)))
    assert table.claim(claim_of(99), START) == Failure(SessionGone(SessionId(99)))
    assert table.find(DEMO, START) is new
    assert table.leases() == [new]


@pytest.mark.bug("B3")
@pytest.mark.shows("ROUTE-SESSION-002", "ROUTE-LEASE-003", "ROUTE-LEASE-006")
def test_an_agent_that_reconnects_retires_its_own_dead_session() -> None:
    """PendingReplacementFinishesWithoutStarting, StartReplacementRace: the name is served by the old until the new."""
    table = RouteTable(LIMITS)
    one = token_of(1, sessions_max=1)
    assert opened(table, 1, one, b"same").retired is None
    old = claimed(table, claim_of(1, one)).lease
    assert opened(table, 2, one, b"same").retired == 1
    assert table.find(DEMO, START) is old
    assert table.claim(claim_of(1, one), START) == Failure(SessionGone(SessionId(1)))
    done = claimed(table, claim_of(2, one))
    assert done.fenced == (old,)
    assert table.drop_session(SessionId(1), START) == []
    assert table.find(DEMO, START) is done.lease
    assert opened(table, 3, one, b"same").retired == 2


@pytest.mark.shows("ROUTE-SESSION-001")
def test_sessions_of_a_token_are_counted() -> None:
    """FailedLoginWriteReleasesRun: a session refused or ended counts no more."""
    table = RouteTable(LIMITS)
    two = token_of(1, sessions_max=2)
    opened(table, 1, two)
    opened(table, 2, two)
    assert table.open_session(SessionId(3), two, b"x") == Failure(TooManySessions(2))
    opened(table, 4, SIBLING)
    table.drop_session(SessionId(1), START)
    table.drop_session(SessionId(1), START)
    opened(table, 5, two)
    assert table.open_session(SessionId(6), two, b"y") == Failure(TooManySessions(2))
    many = token_of(7, sessions_max=9)
    for number in (10, 11, 12):
        opened(table, number, many)
    assert table.open_session(SessionId(13), many, b"z") == Failure(TooManySessions(3))


@pytest.mark.bug("B8")
@pytest.mark.shows("ROUTE-SESSION-002")
def test_another_token_with_the_same_instance_retires_nobody() -> None:
    """What one tenant chooses for an instance says nothing about another tenant's."""
    table = RouteTable(LIMITS)
    opened(table, 1, OURS, b"same")
    assert opened(table, 2, THEIRS, b"same").retired is None
    assert isinstance(table.claim(claim_of(1), START), Success)


def test_sessions_forget_what_has_ended() -> None:
    sessions = Sessions(LIMITS)
    sessions.close(SessionId(1))
    assert isinstance(sessions.open(SessionId(1), OURS, b"a", 0), Success)
    assert isinstance(sessions.open(SessionId(2), OURS, b"a", 0), Success)
    assert (sessions.instance_of(SessionId(1)), sessions.instance_of(SessionId(2))) == (None, b"a")
    assert sessions.count(OURS.token_id) == 1
    sessions.close(SessionId(1))
    sessions.close(SessionId(2))
    assert sessions.count(OURS.token_id) == 0
    done = sessions.open(SessionId(3), OURS, b"a", 0)
    assert isinstance(done, Success)
    assert (value_of(done).session, value_of(done).retired) == (3, None)


@pytest.mark.bug("B12")
@pytest.mark.shows("ROUTE-LEASE-001", "ROUTE-LEASE-004")
def test_another_token_is_refused_and_told_nothing() -> None:
    table = RouteTable(LIMITS)
    opened(table, 1)
    opened(table, 2, THEIRS)
    opened(table, 3, SIBLING)
    lease = claimed(table, claim_of(1)).lease
    answers: list[Outcome[Claimed, ClaimError]] = [
        table.claim(claim_of(2, THEIRS), later(5)),
        table.claim(claim_of(3, SIBLING), later(9)),
    ]
    assert answers == [Failure(NameTaken(DEMO, START))] * 2
    assert table.is_current(lease)
    table.drop_session(SessionId(1), later(20))
    kept = NameTaken(DEMO, later(20))
    assert table.claim(claim_of(2, THEIRS), later(21)) == Failure(kept)
    assert describe(kept) == describe(NameTaken(DEMO, START))
    assert denial_code(kept) is DenialCode.NAME_TAKEN


@pytest.mark.shows("ROUTE-OFFLINE-001", "ROUTE-LEASE-007")
def test_a_dropped_name_is_offline_for_a_day() -> None:
    table = RouteTable(LIMITS)
    opened(table, 1)
    lease = claimed(table, claim_of(1)).lease
    assert table.drop_session(SessionId(1), START) == [lease]
    assert not table.is_current(lease)
    for seconds in (0.0, LAPSE, DAY - 0.001):
        found = table.find(DEMO, later(seconds))
        assert isinstance(found, Offline)
        assert (found.since, found.account) == (START, OURS.account)
    assert table.find(DEMO, later(DAY)) is None
    assert table.find(Label("other"), START) is None


@pytest.mark.shows("ROUTE-OFFLINE-002")
@pytest.mark.parametrize(
    ("token", "seconds", "is_given"),
    [(OURS, 0.0, True), (SIBLING, 0.0, True), (THEIRS, LAPSE - 0.001, False), (THEIRS, LAPSE, True)],
)
def test_a_dropped_name_is_kept_for_its_account_for_a_while(token: Token, seconds: float, *, is_given: bool) -> None:
    table = RouteTable(LIMITS)
    opened(table, 1)
    opened(table, 2, token)
    claimed(table, claim_of(1))
    table.drop_session(SessionId(1), START)
    done = table.claim(claim_of(2, token), later(seconds))
    assert isinstance(done, Success) == is_given
    if isinstance(done, Success):
        assert value_of(done).fenced == ()
        assert table.offline_count() == 0


@pytest.mark.shows("ROUTE-OFFLINE-003")
def test_the_oldest_offline_names_are_forgotten_first() -> None:
    table = RouteTable(LIMITS)
    for number, name in enumerate(["a", "b", "c", "d", "e"], 1):
        opened(table, number)
        claimed(table, claim_of(number, name=name))
        table.drop_session(SessionId(number), later(number))
    remembered = [name for name in "abcde" if isinstance(table.find(Label(name), later(9)), Offline)]
    assert remembered == ["c", "d", "e"]
    assert table.offline_count() == 3


@pytest.mark.shows("ROUTE-LEASE-008", "ROUTE-OFFLINE-004")
def test_a_withdrawn_name_is_free_at_once() -> None:
    table = RouteTable(LIMITS)
    opened(table, 1)
    opened(table, 2, THEIRS)
    lease = claimed(table, claim_of(1)).lease
    assert table.withdraw(DEMO, Epoch(lease.epoch + 1)) is None
    assert table.withdraw(DEMO, lease.epoch) is lease
    assert table.withdraw(DEMO, lease.epoch) is None
    assert table.find(DEMO, START) is None
    assert claimed(table, claim_of(2, THEIRS)).fenced == ()
    assert table.drop_session(SessionId(1), START) == []


@pytest.mark.shows("ROUTE-LEASE-009")
def test_a_token_holds_no_more_names_than_it_may() -> None:
    table = RouteTable(LIMITS)
    two = token_of(1, names_max=2)
    opened(table, 1, two)
    opened(table, 2, two)
    claimed(table, claim_of(1, two, "a"))
    lease = claimed(table, claim_of(2, two, "b")).lease
    assert table.claim(claim_of(1, two, "c"), START) == Failure(TooManyNames(2))
    assert claimed(table, claim_of(2, two, "a")).fenced != ()
    assert table.claim(claim_of(2, two, "c"), START) == Failure(TooManyNames(2))
    table.withdraw(Label("b"), lease.epoch)
    assert isinstance(table.claim(claim_of(1, two, "c"), START), Success)


def test_one_session_may_move_a_name_to_another_of_its_endpoints() -> None:
    table = RouteTable(LIMITS)
    opened(table, 1)
    first = claimed(table, claim_of(1, endpoint=1)).lease
    second = claimed(table, claim_of(1, endpoint=2))
    assert second.fenced == (first,)
    assert table.drop_session(SessionId(1), START) == [second.lease]


@pytest.mark.shows("ROUTE-LEASE-007")
def test_a_session_ends_with_all_its_leases_by_name() -> None:
    table = RouteTable(LIMITS)
    opened(table, 1)
    opened(table, 2)
    for name in ("c", "a", "b"):
        claimed(table, claim_of(1, name=name))
    other = claimed(table, claim_of(2, name="d")).lease
    assert [lease.name for lease in table.leases()] == ["a", "b", "c", "d"]
    assert [lease.name for lease in table.drop_session(SessionId(1), START)] == ["a", "b", "c"]
    assert table.leases() == [other]


def test_every_error_has_a_sentence_and_a_code() -> None:
    errors: list[ClaimError] = [
        NameTaken(DEMO, START),
        Overtaken(DEMO, SessionId(2)),
        SessionGone(SessionId(1)),
        TooManyNames(2),
        TooManyMembers(DEMO, 2),
    ]
    assert {type(error) for error in errors} == set(get_args(ClaimError))
    assert len({describe(error) for error in [*errors, TooManySessions(3)]}) == len(errors) + 1
    assert [denial_code(error).name for error in errors] == [
        *["NAME_TAKEN", "NAME_TAKEN", "SHUTTING_DOWN", "TOO_MANY", "TOO_MANY"]
    ]


@pytest.mark.shows("WORK-NAME-002")
def test_a_replica_holds_what_it_is_told_and_an_agent_comes_before_its_absence() -> None:
    table = RouteTable(replace(LIMITS, offline_names_max=2))
    lease = table.lease_for(claim_of(7), Epoch(40), START, b"agent")
    table.note_offline(DEMO, lease.account, START)
    table.install(lease)
    table.install(lease)
    assert table.find(DEMO, START) is lease
    table.note_offline(DEMO, lease.account, START)
    assert table.offline_names() == []
    assert table.remove(DEMO, Epoch(39)) is None
    assert table.remove(DEMO, Epoch(40)) is lease
    for name in ("a", "b", "c"):
        table.note_offline(Label(name), lease.account, START)
    assert [name for name, _ in table.offline_names()] == ["b", "c"]


@pytest.mark.shows("TOKEN-EXPOSE-002")
def test_a_name_whose_time_is_over_says_so_until_somebody_has_it() -> None:
    table = RouteTable(replace(LIMITS, offline_names_max=2))
    for session, token in ((1, OURS), (2, SIBLING), (3, THEIRS)):
        opened(table, session, token)
    lease = claimed(table, claim_of(1)).lease
    table.note_lapsed(lease, START)
    assert table.find(DEMO, START) is lease  # not while somebody answers
    table.withdraw(DEMO, lease.epoch)
    assert table.find(DEMO, START) is None
    table.note_lapsed(lease, START)
    gone = table.find(DEMO, START)
    assert isinstance(gone, Offline)
    assert (gone.has_lapsed, gone.account, gone.kind) == (True, OURS.account, EndpointKind.HTTP)
    assert isinstance(table.claim(claim_of(3, THEIRS), START), Failure)  # its account comes first for a while
    again = claimed(table, claim_of(2, SIBLING)).lease
    assert table.find(DEMO, START) is again
    table.drop_session(again.session, START)
    gone = table.find(DEMO, START)
    assert isinstance(gone, Offline)
    assert not gone.has_lapsed
    for name in ("a", "b", "c"):
        lease = table.lease_for(claim_of(7, name=name), Epoch(40), START, b"agent")
        table.note_lapsed(lease, START)
    assert [name for name, _ in table.offline_names()] == ["b", "c"]
