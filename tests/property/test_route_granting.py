"""Whether an agent gets the name it asked for: the one decision, from a verified token and the table as it stands."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.core.base.ids import EndpointId, Instant, Label, SessionId, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.link.messages import DenialCode, Expose, Keep
from tunnel.core.policy.rules import OPEN, Policy, Rates, SignIn
from tunnel.core.route.granting import Denial, Granting, expose
from tunnel.core.route.name import label_of
from tunnel.core.route.table import Claimed, RouteTable
from tunnel.core.token.rights import permits
from tunnel.core.token.token import AccountId, EndpointKind, KeyId, NamePattern, Token, TokenId

NOW: Final = Instant(5.0)
UNIX: Final = UnixSeconds(1_000_000)
ENTROPY: Final = bytes(range(16))


def token_of(pattern: str = "*", kinds: frozenset[EndpointKind] = frozenset({EndpointKind.HTTP})) -> Token:
    times = (UnixSeconds(0), UnixSeconds(2_000_000))
    return Token(
        KeyId(bytes(8)), TokenId(b"t" * 16), AccountId(b"a" * 16), NamePattern(pattern), kinds, 4, 9, 9, *times
    )


def decided(
    name: str, token: Token, kind: EndpointKind = EndpointKind.HTTP, table: RouteTable | None = None
) -> Outcome[Claimed, Denial]:
    held = table or RouteTable(DEFAULT_LIMITS)
    held.open_session(SessionId(1), token, b"i" * 16)
    who = Granting(held, token, SessionId(1), "192.0.2.1:40000", UNIX, NOW)
    return expose(Expose(EndpointId(1), kind, name, Keep()), who, ENTROPY)


def denied(outcome: Outcome[Claimed, Denial]) -> DenialCode:
    assert isinstance(outcome, Failure)
    return error_of(outcome).code


@pytest.mark.shows("ROUTE-LEASE-010")
def test_a_permitted_name_is_granted_as_asked() -> None:
    done = decided("Demo", token_of("demo"))
    assert isinstance(done, Success)
    assert (value_of(done).lease.name, value_of(done).fenced) == ("demo", ())


@given(pattern=st.sampled_from(["*", "*-dev", "team-*", "x" * 40 + "-*", "only"]))
@settings(max_examples=20, deadline=None)
def test_no_name_gets_one_that_the_token_permits(pattern: str) -> None:
    token = token_of(pattern)
    done = decided("", token)
    assert isinstance(done, Success)
    name = value_of(done).lease.name
    assert isinstance(label_of(name), Success)
    assert isinstance(permits(token, EndpointKind.HTTP, Label(name), UNIX), Success)


def test_a_denial_says_why() -> None:
    assert denied(decided("not a name", token_of())) is DenialCode.BAD_NAME
    assert denied(decided("", token_of("no_label"))) is DenialCode.BAD_NAME
    assert denied(decided("other", token_of("demo"))) is DenialCode.NOT_PERMITTED
    assert denied(decided("demo", token_of(), EndpointKind.TCP)) is DenialCode.NOT_PERMITTED
    full = token_of()
    table = RouteTable(DEFAULT_LIMITS)
    for name in ("one", "two", "three", "four"):
        assert isinstance(decided(name, full, table=table), Success)
    assert denied(decided("five", full, table=table)) is DenialCode.TOO_MANY


@pytest.mark.shows("POLICY-SIGNIN-005")
@pytest.mark.parametrize("kind", [EndpointKind.TCP, EndpointKind.TLS])
def test_where_nobody_can_sign_in_users_are_not_granted(kind: EndpointKind) -> None:
    token = token_of(kinds=frozenset(EndpointKind))
    held = RouteTable(DEFAULT_LIMITS)
    held.open_session(SessionId(1), token, b"i" * 16)
    who = Granting(held, token, SessionId(1), "192.0.2.1:40000", UNIX, NOW)
    policy = Policy(sign_ins=(SignIn(bytes(16), bytes(32)),))
    done = expose(Expose(EndpointId(1), kind, "demo", Keep(), policy=policy), who, ENTROPY)
    assert denied(done) is DenialCode.NOT_PERMITTED
    assert "sign in" in error_of(done).detail if isinstance(done, Failure) else False
    assert held.leases() == []


def test_a_lease_carries_the_policy_that_was_asked_for_and_none_for_an_open_one() -> None:
    for policy, carried in ((OPEN, None), (Policy(Rates(exchanges=3)), Policy(Rates(exchanges=3)))):
        token, held = token_of(), RouteTable(DEFAULT_LIMITS)
        held.open_session(SessionId(1), token, b"i" * 16)
        who = Granting(held, token, SessionId(1), "192.0.2.1:40000", UNIX, NOW)
        done = expose(Expose(EndpointId(1), EndpointKind.HTTP, "demo", Keep(), policy=policy), who, ENTROPY)
        assert isinstance(done, Success)
        assert value_of(done).lease.policy == carried
