"""What follows from a directory: revocation, suspension, reservation, endpoints and exposure, each from facts alone."""

import pytest
from directory_support import ACCOUNTS, DIRECTORIES, NAMES, TOKENS, token_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.ids import Label
from tunnel.core.base.outcome import Failure, Success, error_of
from tunnel.core.directory.decisions import exposure_seconds, may_expose, may_hold, may_open
from tunnel.core.directory.directory import UNTOLD, AccountFacts, Directory, Quota
from tunnel.core.directory.errors import (
    AccountSuspended,
    NameReserved,
    TokenRevoked,
    TooManyEndpoints,
    describe,
)
from tunnel.core.token.token import AccountId, TokenId

MINE, OTHER = ACCOUNTS[1], ACCOUNTS[2]
PAIRS = st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(TOKENS))


@pytest.mark.shows("GATE-TELL-001")
@given(PAIRS, st.sampled_from(NAMES), st.integers(0, 1000))
@settings(max_examples=30)
def test_without_a_directory_everything_goes_that_tokens_allow(
    who: tuple[AccountId, TokenId], name: Label, endpoints: int
) -> None:
    token = token_of(*who)
    assert not UNTOLD.is_known
    assert isinstance(may_expose(UNTOLD, token, name, endpoints), Success)
    assert exposure_seconds(UNTOLD, token, endpoints) == endpoints


@pytest.mark.shows("GATE-CUT-001", "GATE-NAME-001", "GATE-QUOTA-001")
@given(DIRECTORIES, PAIRS, st.sampled_from(NAMES), st.integers(0, 5))
@settings(max_examples=200)
def test_each_no_has_its_fact_and_each_yes_has_none(
    directory: Directory, who: tuple[AccountId, TokenId], name: Label, endpoints: int
) -> None:
    account, token_id = who
    token = token_of(account, token_id)
    facts = directory.accounts.get(account, AccountFacts(account))
    owner = directory.names.get(name, account)
    limit = facts.quota.endpoints_max
    opened, held = may_open(directory, token), may_hold(directory, token, name)
    exposed = may_expose(directory, token, name, endpoints)
    assert isinstance(opened, Success) == (token_id not in directory.revoked and not facts.is_suspended)
    assert isinstance(held, Success) == (isinstance(opened, Success) and owner == account)
    assert isinstance(exposed, Success) == (isinstance(held, Success) and (limit == 0 or endpoints < limit))
    if isinstance(exposed, Failure):
        error = error_of(exposed)
        match error:
            case TokenRevoked(token=revoked):
                assert revoked in directory.revoked
            case AccountSuspended(account=suspended):
                assert directory.accounts[suspended].is_suspended
            case NameReserved(name=reserved):
                assert directory.names[reserved] != account
                assert directory.names[reserved].hex() not in describe(error)
            case TooManyEndpoints(limit=most):
                assert endpoints >= most > 0
        assert describe(error).endswith(".")


@pytest.mark.shows("GATE-TTL-001")
@given(DIRECTORIES, PAIRS, st.integers(0, 100))
@settings(max_examples=100)
def test_exposure_ends_within_the_longest_that_the_account_may(
    directory: Directory, who: tuple[AccountId, TokenId], asked: int
) -> None:
    seconds = exposure_seconds(directory, token_of(*who), asked)
    facts = directory.accounts.get(who[0], AccountFacts(who[0]))
    if facts.ttl_max:
        assert 0 < seconds <= facts.ttl_max
    if asked and not facts.ttl_max:
        assert seconds == asked
    if not asked and not facts.ttl_max:
        assert seconds == facts.ttl_default
    assert not asked or 0 < seconds <= asked


def test_a_plan_bounds_endpoints_and_nothing_else() -> None:
    directory = Directory(accounts={MINE: AccountFacts(MINE, quota=Quota(endpoints_max=2))})
    assert isinstance(may_expose(directory, token_of(MINE), NAMES[0], 1), Success)
    assert may_expose(directory, token_of(MINE), NAMES[0], 2) == Failure(TooManyEndpoints(2))
    assert "all 2 endpoints" in describe(TooManyEndpoints(2))
    assert isinstance(may_expose(directory, token_of(OTHER), NAMES[0], 2), Success)
