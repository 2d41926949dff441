"""All that the data plane is told of accounts, as one consistent reading of the store."""

from dataclasses import dataclass
from typing import final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.control.account import Account, Plan
from tunnel.core.control.name import NameRecord
from tunnel.core.control.usage import UsageTotal
from tunnel.core.token.token import AccountId, TokenId


@final
@dataclass(frozen=True, slots=True)
class Revocation:
    """A token, or a step of a narrowed one, that is void from `revoked` on; from `expiry` on nobody need know."""

    token: TokenId
    account: AccountId
    revoked: UnixSeconds
    expiry: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class AccountFacts:
    """An account, the plan that it has, and what it used since the month began."""

    account: Account
    plan: Plan
    used: UsageTotal


@final
@dataclass(frozen=True, slots=True)
class DirectoryFacts:
    """What a Directory is made of: read in one transaction, at the change number `number`."""

    number: int
    revoked: tuple[Revocation, ...]
    names: tuple[NameRecord, ...]
    accounts: tuple[AccountFacts, ...]
