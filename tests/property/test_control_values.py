"""The values of the control plane: what roles and scopes are written as, and what they may at most.

Roles and scopes are few, so that each is looked at.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.control.roles import ROLE_SCOPES, Role, Scope, role_of, scope_of, scopes_of

READS = {
    Scope.ACCOUNT_READ,
    Scope.TOKEN_READ,
    Scope.NAME_READ,
    Scope.SESSION_READ,
    Scope.USAGE_READ,
    Scope.AUDIT_READ,
}


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_is_read_back_from_its_word(scope: Scope) -> None:
    assert scope_of(scope.value) is scope


@pytest.mark.parametrize("role", Role)
def test_a_role_is_read_back_from_its_word(role: Role) -> None:
    assert role_of(role.value) is role
    assert scopes_of(role) == ROLE_SCOPES[role]


@given(st.text(max_size=12))
def test_no_other_word_is_a_role_or_a_scope(text: str) -> None:
    assert (role_of(text) is None) == (text not in {role.value for role in Role})
    assert (scope_of(text) is None) == (text not in {scope.value for scope in Scope})


@pytest.mark.shows("STORE-ROLE-001")
def test_nobody_of_an_account_operates_and_an_auditor_writes_nothing() -> None:
    assert all(Scope.OPERATE not in scopes for scopes in ROLE_SCOPES.values())
    assert ROLE_SCOPES[Role.AUDITOR] == READS
    assert ROLE_SCOPES[Role.OWNER] == set(Scope) - {Scope.OPERATE}
    assert ROLE_SCOPES[Role.DEVELOPER] < ROLE_SCOPES[Role.OWNER]
    assert Scope.AUDIT_READ not in ROLE_SCOPES[Role.DEVELOPER]
    assert Scope.MEMBER_WRITE not in ROLE_SCOPES[Role.DEVELOPER]
    assert Scope.KEY_WRITE not in ROLE_SCOPES[Role.DEVELOPER]
