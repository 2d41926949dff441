"""API keys as text, and who may do what: round trips, any other text refused, and every scope with every role.

The table of who may do what is walked whole: each role, each scope that a key was given, each scope asked for, the
account of the key, another, and none.
"""

from itertools import product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Success, value_of
from tunnel.core.base.partial import sha256_digest
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.keys import NEW_KEY_BYTES, NotAKey, new_key, read_key
from tunnel.core.control.rights import effective_scopes, may
from tunnel.core.control.roles import ROLE_SCOPES, Role, Scope
from tunnel.core.token.token import AccountId

OURS: Final = AccountId(b"o" * 16)
THEIRS: Final = AccountId(b"t" * 16)
RANDOM: Final = st.binary(min_size=NEW_KEY_BYTES, max_size=NEW_KEY_BYTES)


@pytest.mark.shows("API-KEY-001")
@given(RANDOM)
def test_a_new_key_is_read_back(random: bytes) -> None:
    made = new_key(random)
    assert len(made.text) == len("tnlk_k_") + 16 + 1 + 43
    read = read_key(made.text)
    assert isinstance(read, Success)
    assert value_of(read).key == made.key
    assert value_of(read).secret_hash == made.secret_hash == sha256_digest(random[10:])


@pytest.mark.shows("API-KEY-001")
@given(st.text(max_size=90))
def test_any_other_text_is_no_key(text: str) -> None:
    read = read_key(text)
    assert isinstance(read, Failure) or text.startswith("tnlk_k_")


@pytest.mark.shows("API-KEY-001")
@given(RANDOM, st.integers(0, 66), st.characters())
def test_a_key_with_one_character_changed_is_another_or_none(random: bytes, at: int, other: str) -> None:
    made = new_key(random)
    text = made.text[:at] + other + made.text[at + 1 :]
    read = read_key(text)
    if text == made.text:
        assert isinstance(read, Success)
    elif isinstance(read, Success):
        assert (value_of(read).key, value_of(read).secret_hash) != (made.key, made.secret_hash)


def test_spare_bits_and_additions_are_refused() -> None:
    text = new_key(bytes(NEW_KEY_BYTES)).text
    assert read_key(text[:-1] + "B") == Failure(NotAKey())
    for wrong in (text + "\n", " " + text, text.upper(), text[:-1], ""):
        assert read_key(wrong) == Failure(NotAKey())


@pytest.mark.shows("API-KEY-002")
def test_nothing_of_a_secret_is_in_a_repr() -> None:
    made = new_key(bytes(range(NEW_KEY_BYTES)))
    assert made.text[24:] not in repr(made)
    assert repr(made.secret_hash) not in repr(made)


@pytest.mark.shows("API-SCOPE-001")
@pytest.mark.parametrize(("role", "given_scope"), list(product(Role, Scope)))
def test_a_key_has_no_scope_that_its_role_has_not(role: Role, given_scope: Scope) -> None:
    of_account, of_operator = record(OURS, role, given_scope), record(None, role, given_scope)
    assert effective_scopes(of_account) == ({given_scope} & ROLE_SCOPES[role])
    assert effective_scopes(of_operator) == {given_scope}


@pytest.mark.shows("API-SCOPE-001")
@pytest.mark.parametrize(("held", "wanted"), list(product(Scope, Scope)))
def test_a_key_does_what_its_scopes_say_to_its_own_account_alone(held: Scope, wanted: Scope) -> None:
    scopes = frozenset({held})
    is_plain = held is wanted and wanted is not Scope.OPERATE
    assert may(scopes, OURS, wanted, OURS) == is_plain
    assert not may(scopes, OURS, wanted, THEIRS)
    assert not may(scopes, OURS, wanted, None)
    for account in (OURS, THEIRS, None):
        assert may(scopes, None, wanted, account) == (held in {wanted, Scope.OPERATE})


def record(account: AccountId | None, role: Role, scope: Scope) -> KeyRecord:
    start = UnixSeconds(0)
    return KeyRecord("k_x", account, "", role, frozenset({scope}), b"", start, None, None, None)
