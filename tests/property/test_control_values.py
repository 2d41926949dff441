"""The values of the control plane: what roles and scopes are written as, and what they may at most.

Roles and scopes are few, so that each is looked at.
"""

import copy
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.control.account import Account, Plan
from tunnel.core.control.act import Act
from tunnel.core.control.credential import KeyRecord, WebSession
from tunnel.core.control.facts import AccountFacts, DirectoryFacts, Revocation
from tunnel.core.control.name import LeaseRecord, NameRecord
from tunnel.core.control.page import PAGE_ROWS, PAGE_ROWS_MAX, Page, PageOf
from tunnel.core.control.roles import ROLE_SCOPES, Role, Scope, role_of, scope_of, scopes_of
from tunnel.core.control.usage import UsageHour, UsageTotal
from tunnel.core.token.token import AccountId, TokenId

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


SECRET = bytes(range(200, 232))
HELD_SECRETS = (
    KeyRecord("k_1", None, "", Role.OWNER, frozenset(), SECRET, UnixSeconds(0), None, None, None),
    WebSession(SECRET, "ada", None, Role.OWNER, "", SECRET, UnixSeconds(0), UnixSeconds(0), UnixSeconds(0)),
)


@pytest.mark.shows("STORE-SECRET-001")
@pytest.mark.parametrize("record", HELD_SECRETS, ids=["key", "session"])
def test_a_record_that_holds_a_secret_does_not_show_it(record: KeyRecord | WebSession) -> None:
    for text in (repr(record), str(record), f"{record}"):
        assert repr(SECRET) not in text
        assert SECRET.hex() not in text


ACCOUNT = Account(AccountId(b"a" * 16), "acme", UnixSeconds(0), "free", is_suspended=False, ttl_default=0, ttl_max=0)
NAME = NameRecord(Label("www"), ACCOUNT.account, UnixSeconds(0), "")
USED = UsageTotal(ACCOUNT.account, UnixSeconds(0), 1, 2, 3, 4)
REVOKED = Revocation(TokenId(b"t" * 16), ACCOUNT.account, UnixSeconds(0), UnixSeconds(1))
VALUES: tuple[object, ...] = (
    *HELD_SECRETS,
    ACCOUNT,
    Act("ada", "192.0.2.1", "cli", "r-1"),
    NAME,
    LeaseRecord(Label("www"), ACCOUNT.account, "1", "p", "h", 1, UnixSeconds(0), UnixSeconds(0), UnixSeconds(0), "s"),
    USED,
    UsageHour(ACCOUNT.account, Label("www"), UnixSeconds(0), 1, 2, 3, 4),
    REVOKED,
    DirectoryFacts(7, (REVOKED,), (NAME,), (AccountFacts(ACCOUNT, Plan("free", 0, 0, 0, 0, 0), USED),)),
    Page("www", 3),
    PageOf((NAME,), None),
)


@pytest.mark.shows("STORE-PORT-001")
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_equals_its_copy_and_is_never_changed(value: object) -> None:
    assert dataclasses.is_dataclass(value)
    assert copy.deepcopy(value) == value
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
    assert not hasattr(value, "__dict__")


def test_a_page_that_nobody_bounds_is_bounded() -> None:
    assert 1 <= Page().limit == PAGE_ROWS <= PAGE_ROWS_MAX
