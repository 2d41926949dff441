"""Tokens narrowed from one token use its limits together: names and sessions are counted for each of the chain.

Any order of claims, withdrawals and ends of sessions is run against a plain count of what is held.
"""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.routes import LIMITS, START, claim_of, claimed, opened, token_of

from tunnel.core.base.ids import Epoch, Label, SessionId
from tunnel.core.base.outcome import Failure, Success, value_of
from tunnel.core.route.errors import NameTaken, TooManyNames, TooManySessions
from tunnel.core.route.table import Lease, RouteTable
from tunnel.core.token.token import Token, TokenId, bounds_of, ids_of


def narrowed_from(parent: Token, number: int, *, names_max: int = 9, sessions_max: int = 9) -> Token:
    token_id = TokenId(bytes([number]) * 16)
    return replace(
        parent, token_id=token_id, names_max=names_max, sessions_max=sessions_max, ancestors=bounds_of(parent)
    )


PARENT: Final = token_of(1, names_max=2, sessions_max=2)
ONE: Final = narrowed_from(PARENT, 2, names_max=2, sessions_max=2)
TWO: Final = narrowed_from(PARENT, 3, names_max=2, sessions_max=2)
GRANDCHILD: Final = narrowed_from(ONE, 4, names_max=1, sessions_max=1)
FAMILY: Final = [PARENT, ONE, TWO, GRANDCHILD]
ROOMY: Final = [
    replace(token, sessions_max=9, ancestors=tuple(replace(bound, sessions_max=9) for bound in token.ancestors))
    for token in FAMILY
]
"""The same, with room for a session of each."""
NAMES: Final = [Label(name) for name in ("a", "b", "c", "d")]


@pytest.mark.shows("TOKEN-RIGHT-004")
def test_narrowed_tokens_share_the_names_of_their_parent() -> None:
    table = RouteTable(replace(LIMITS, sessions_per_token_max=9))
    for number, token in enumerate(ROOMY, 1):
        opened(table, number, token)
    claimed(table, claim_of(2, ONE, "a"))
    claimed(table, claim_of(3, TWO, "b"))
    for session, token in ((1, PARENT), (2, ONE), (3, TWO), (4, GRANDCHILD)):
        assert table.claim(claim_of(session, token, "c"), START) == Failure(TooManyNames(2))
    table.withdraw(Label("b"), Epoch(2))
    claimed(table, claim_of(4, GRANDCHILD, "c"))
    assert table.claim(claim_of(4, GRANDCHILD, "d", endpoint=2), START) == Failure(TooManyNames(2))


@pytest.mark.shows("TOKEN-RIGHT-004")
def test_narrowed_tokens_share_the_sessions_of_their_parent() -> None:
    table = RouteTable(LIMITS)
    opened(table, 1, ONE)
    opened(table, 2, TWO)
    for number, token in enumerate(FAMILY, 3):
        assert table.open_session(SessionId(number), token, bytes([number]) * 16) == Failure(TooManySessions(2))
    opened(table, 7, ONE, instance=bytes([1]) * 16)  # the same agent dials again, which counts for nobody
    table.drop_session(SessionId(2), START)
    opened(table, 8, GRANDCHILD)
    assert table.open_session(SessionId(9), PARENT, bytes(16)) == Failure(TooManySessions(2))


@pytest.mark.shows("TOKEN-RIGHT-004")
def test_a_narrowed_token_takes_no_name_from_its_parent_nor_the_other_way_round() -> None:
    table = RouteTable(LIMITS)
    opened(table, 1, PARENT)
    opened(table, 2, ONE)
    held = claimed(table, claim_of(1, PARENT, "a")).lease
    assert table.claim(claim_of(2, ONE, "a"), START) == Failure(NameTaken(Label("a"), held.since))
    mine = claimed(table, claim_of(2, ONE, "b")).lease
    assert table.claim(claim_of(1, PARENT, "b"), START) == Failure(NameTaken(Label("b"), mine.since))


Step = tuple[int, int, bool]


@pytest.mark.shows("TOKEN-RIGHT-004")
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=30))
def test_no_token_of_a_family_ever_holds_more_names_than_it_may(steps: list[Step]) -> None:
    """`(who, which name, claim or withdraw)`; each of the family has one session, and none more than it may."""
    table = RouteTable(replace(LIMITS, sessions_per_token_max=9))
    for number, token in enumerate(ROOMY):
        opened(table, number + 1, token)
    held: dict[Label, Lease] = {}
    for who, which, is_claim in steps:
        name, token = NAMES[which], ROOMY[who]
        if is_claim:
            done = table.claim(claim_of(who + 1, token, name, endpoint=which + 1), START)
            free = all(
                sum(bound.token_id in ids_of(lease.token) for lease in held.values()) < bound.names_max
                for bound in bounds_of(token)
            )
            mine = name in held and held[name].token_id == token.token_id
            assert isinstance(done, Success) == (mine or (name not in held and free))
            if isinstance(done, Success):
                held[name] = value_of(done).lease
        elif name in held and held[name].session == who + 1:
            table.withdraw(name, held.pop(name).epoch)
        for bound in [each for token in ROOMY for each in bounds_of(token)]:
            assert sum(bound.token_id in ids_of(lease.token) for lease in table.leases()) <= bound.names_max
