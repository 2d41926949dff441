"""Accounts, the people in them, and the plans that bound them."""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.control.roles import Role
from tunnel.core.token.token import AccountId

DEFAULT_PLAN: Final = "free"
"""The plan of an account that was given no other; it is there from the first migration on, without a limit."""


@final
@dataclass(frozen=True, slots=True)
class Account:
    """Who owns names and tokens, and whom usage is counted for.

    `name` is unique. `ttl_default` and `ttl_max` are seconds that an exposure lasts; 0 is no limit.
    """

    account: AccountId
    name: str
    created: UnixSeconds
    plan: str
    is_suspended: bool
    ttl_default: int
    ttl_max: int


@final
@dataclass(frozen=True, slots=True)
class AccountChange:
    """What becomes different about an account; None leaves it as it is."""

    name: str | None = None
    plan: str | None = None
    is_suspended: bool | None = None
    ttl_default: int | None = None
    ttl_max: int | None = None


@final
@dataclass(frozen=True, slots=True)
class Member:
    """A person of an account: `identity` is an e-mail address or an OpenID Connect subject, `issuer|sub`."""

    account: AccountId
    identity: str
    role: Role
    added: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """How much an account may use; 0 is no limit. A month is one of the calendar, in UTC."""

    plan: str
    names_max: int
    endpoints_max: int
    requests_month: int
    bytes_month: int
    requests_second: int
