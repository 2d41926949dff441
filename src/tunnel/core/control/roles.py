"""Who may do what: roles of people, scopes of API keys, and which role holds which scope."""

from collections.abc import Mapping
from enum import Enum
from typing import Final, final

_OF_TOKENS: Final = "token"
"""A word of its own, since a linter takes `TOKEN_READ = "..."` for a password that somebody left here."""


@final
class Role(Enum):
    """What a member is to an account."""

    OWNER = "owner"
    DEVELOPER = "developer"
    AUDITOR = "auditor"


@final
class Scope(Enum):
    """One right of a key: an area and a verb. Members and keys are read with the account that they belong to."""

    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"
    MEMBER_WRITE = "member:write"
    KEY_WRITE = "key:write"
    TOKEN_READ = f"{_OF_TOKENS}:read"
    TOKEN_WRITE = f"{_OF_TOKENS}:write"
    NAME_READ = "name:read"
    NAME_WRITE = "name:write"
    SESSION_READ = "session:read"
    SESSION_WRITE = "session:write"
    USAGE_READ = "usage:read"
    AUDIT_READ = "audit:read"
    OPERATE = "operate"
    """Acts on every account and on what belongs to none; only an operator's key, which has no account, holds it."""


_READS: Final = frozenset(
    {
        Scope.ACCOUNT_READ,
        Scope.TOKEN_READ,
        Scope.NAME_READ,
        Scope.SESSION_READ,
        Scope.USAGE_READ,
        Scope.AUDIT_READ,
    }
)
_WRITES: Final = frozenset(
    {
        Scope.ACCOUNT_WRITE,
        Scope.MEMBER_WRITE,
        Scope.KEY_WRITE,
        Scope.TOKEN_WRITE,
        Scope.NAME_WRITE,
        Scope.SESSION_WRITE,
    }
)
_DAILY_WORK: Final = frozenset({Scope.TOKEN_WRITE, Scope.NAME_WRITE, Scope.SESSION_WRITE})

ROLE_SCOPES: Final[Mapping[Role, frozenset[Scope]]] = {
    Role.OWNER: _READS | _WRITES,
    Role.DEVELOPER: (_READS - {Scope.AUDIT_READ}) | _DAILY_WORK,
    Role.AUDITOR: _READS,
}
"""The most that a key or a person of each role may do; nobody of an account may OPERATE."""

NO_SCOPES: Final[frozenset[Scope]] = frozenset()


def scopes_of(role: Role) -> frozenset[Scope]:
    """The most that someone of this role may do in the account."""
    return ROLE_SCOPES.get(role, NO_SCOPES)


def scope_of(text: str) -> Scope | None:
    """The scope that `text` writes, or None."""
    for scope in Scope:
        if scope.value == text:
            return scope
    return None


def role_of(text: str) -> Role | None:
    """The role that `text` writes, or None."""
    for role in Role:
        if role.value == text:
            return role
    return None
