"""What the holder of a key, or a person signed in, may do to which account; everybody who decides asks here."""

from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.roles import Scope, scopes_of
from tunnel.core.token.token import AccountId


def effective_scopes(key: KeyRecord) -> frozenset[Scope]:
    """What the key may do: of an account, what it was given and its role has; of an operator, what it was given."""
    return key.scopes if key.account is None else key.scopes & scopes_of(key.role)


def may(scopes: frozenset[Scope], holder: AccountId | None, scope: Scope, account: AccountId | None) -> bool:
    """Whether someone with `scopes` may do `scope` to `account`; None as account is what belongs to no account.

    Holders with an account have that account alone. An operator's (None) have every account, and with OPERATE every
    scope.
    """
    if holder is None:
        return scope in scopes or Scope.OPERATE in scopes
    return account is not None and account == holder and scope is not Scope.OPERATE and scope in scopes
