"""The directory: all that the data plane is told of accounts, as one value that is replaced as a whole (ADR 0064)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.token.token import AccountId, TokenId

REVOKED_MAX: Final = 200_000
NAMES_MAX: Final = 200_000
ACCOUNTS_MAX: Final = 100_000
"""What one directory holds at most. With all three full it is 26 MB on disk: a service beyond that runs several servers
with a database each."""
_NEVER: Final = UnixSeconds(0)
COUNT_MAX: Final = (1 << 63) - 1
"""The largest number here: what a database keeps in a column."""


@final
@dataclass(frozen=True, slots=True)
class Quota:
    """What an account may use; 0 is no limit. A month is one of UTC."""

    endpoints_max: int = 0
    requests_month: int = 0
    bytes_month: int = 0
    requests_second: int = 0


NO_QUOTA: Final = Quota()


@final
@dataclass(frozen=True, slots=True)
class AccountFacts:
    """One account: whether it may be served, for how long it may expose, and its quota with what is used of it."""

    account: AccountId
    is_suspended: bool = False
    ttl_default: int = 0
    """Seconds that an endpoint is exposed for when its agent does not say; 0 is no end."""
    ttl_max: int = 0
    """Seconds that an endpoint may be exposed for at most; 0 is no end."""
    quota: Quota = NO_QUOTA
    requests_used: int = 0
    bytes_used: int = 0


@final
@dataclass(frozen=True, slots=True)
class Directory:
    """What was true in the store at `made_at`; what is used is that of the month that began at `month`.

    `number` is the store's change number, for people and tests: what is newer is known by being told later. An account
    that is not among `accounts` has no limits but those of its tokens, a name that is not among `names` is free.
    """

    number: int = 0
    made_at: UnixSeconds = _NEVER
    month: UnixSeconds = _NEVER
    revoked: frozenset[TokenId] = frozenset()
    names: Mapping[Label, AccountId] = field(default_factory=dict)
    accounts: Mapping[AccountId, AccountFacts] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        """Whether anybody has told anything yet."""
        return self.made_at > 0


UNTOLD: Final = Directory()
"""What a server knows that has no control plane: nothing is revoked or reserved, and nobody has a quota."""
