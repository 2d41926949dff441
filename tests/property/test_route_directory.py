"""What a directory changes about names: who gets one, how many, and where their requests are counted."""

from typing import Final

import pytest
from directory_support import token_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.ids import EndpointId, Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Outcome, Success, error_of, value_of
from tunnel.core.directory.directory import UNTOLD, AccountFacts, Directory, Quota
from tunnel.core.link.messages import DenialCode, Expose, Keep
from tunnel.core.route.granting import Denial, Granting, expose
from tunnel.core.route.table import Claimed, RouteTable
from tunnel.core.token.token import AccountId, EndpointKind, TokenId

ONE, TWO = AccountId(b"1" * 16), AccountId(b"2" * 16)
NOW: Final = Instant(5.0)
MADE: Final = UnixSeconds(1_000_000)


def asked(
    table: RouteTable, name: str, account: AccountId, directory: Directory = UNTOLD, session: int = 0
) -> Outcome[Claimed, Denial]:
    """An agent of the account asks for the name, by a session and a token of its own unless told which."""
    number = session or table.endpoints_besides(Label("?"), account) + 10 * account[0]
    token = token_of(account, TokenId(account[:8] + bytes([number % 256]) * 8))
    table.open_session(SessionId(number), token, b"i" * 16)
    who = Granting(table, token, SessionId(number), "192.0.2.1:4", MADE, NOW, directory)
    return expose(Expose(EndpointId(1), EndpointKind.HTTP, name, Keep()), who, bytes(16))


def denied(outcome: Outcome[Claimed, Denial]) -> DenialCode | None:
    return None if isinstance(outcome, Success) else error_of(outcome).code


@pytest.mark.shows("GATE-NAME-001")
def test_a_reserved_name_is_its_accounts_alone() -> None:
    table, directory = RouteTable(DEFAULT_LIMITS), Directory(1, MADE, names={Label("demo"): ONE})
    refused = asked(table, "demo", TWO, directory)
    assert denied(refused) is DenialCode.NAME_TAKEN
    assert denied(asked(table, "demo", ONE, directory)) is None
    assert denied(asked(table, "other", TWO, directory)) is None


@pytest.mark.shows("GATE-NAME-002")
def test_a_reservation_counts_for_more_than_who_had_the_name_lately() -> None:
    table = RouteTable(DEFAULT_LIMITS)
    assert denied(asked(table, "demo", TWO, session=1)) is None
    table.drop_session(SessionId(1), NOW)
    assert denied(asked(table, "demo", ONE, session=2)) is DenialCode.NAME_TAKEN
    directory = Directory(1, MADE, names={Label("demo"): ONE})
    assert denied(asked(table, "demo", ONE, directory, session=3)) is None


@pytest.mark.shows("GATE-CUT-001")
def test_who_is_revoked_or_suspended_gets_no_name() -> None:
    table = RouteTable(DEFAULT_LIMITS)
    suspended = Directory(1, MADE, accounts={ONE: AccountFacts(ONE, is_suspended=True)})
    assert denied(asked(table, "demo", ONE, suspended)) is DenialCode.NOT_PERMITTED
    revoked = Directory(1, MADE, revoked=frozenset({TokenId(ONE[:8] + bytes([9]) * 8)}))
    assert denied(asked(table, "demo", ONE, revoked, session=9)) is DenialCode.NOT_PERMITTED
    assert denied(asked(table, "demo", ONE, revoked, session=8)) is None


@pytest.mark.shows("GATE-QUOTA-001", "GATE-QUOTA-006")
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([ONE, TWO]), st.booleans()), max_size=30))
@settings(max_examples=150)
def test_no_account_exposes_more_than_its_plan_in_any_order(steps: list[tuple[str, AccountId, bool]]) -> None:
    table = RouteTable(DEFAULT_LIMITS)
    directory = Directory(1, MADE, accounts={ONE: AccountFacts(ONE, quota=Quota(endpoints_max=2))})
    for number, (name, account, is_given_up) in enumerate(steps, start=1):
        before = {lease.name for lease in table.leases() if lease.account == account}
        if is_given_up:
            for lease in table.members(Label(name)):
                table.withdraw(lease.name, lease.epoch)
        elif denied(asked(table, name, account, directory, session=number)) is DenialCode.TOO_MANY:
            assert account == ONE
            assert len(before - {name}) == 2
        held = {lease.account: set[str]() for lease in table.leases()}
        for lease in table.leases():
            held[lease.account].add(lease.name)
            assert lease.toll is table.tolls.toll(lease.account)
        assert len(held.get(ONE, ())) <= 2
        assert set(table.accounts()) == set(held)
        assert table.tolls.count() == len(held)
        assert {account: table.endpoints_besides(Label("z"), account) for account in held} == {
            account: len(names) for account, names in held.items()
        }


@pytest.mark.shows("GATE-QUOTA-003")
def test_a_lease_that_comes_back_is_counted_where_its_account_is() -> None:
    table = RouteTable(DEFAULT_LIMITS)
    granted = asked(table, "demo", ONE)
    assert isinstance(granted, Success)
    lease = value_of(granted).lease
    table.remove(lease.name, lease.epoch)
    table.tolls.learn(Directory(1, MADE, accounts={ONE: AccountFacts(ONE, quota=Quota(requests_month=1))}), [])
    assert not lease.toll.is_bounded
    table.install(lease)
    assert lease.toll.is_bounded
