"""API keys, tokens and the dashboard's cookies as the control plane remembers them; none holds a secret in clear."""

from dataclasses import dataclass, field
from typing import final

from tunnel.core.base.ids import UnixSeconds
from tunnel.core.control.roles import Role, Scope
from tunnel.core.token.token import AccountId, EndpointKind, NamePattern, TokenId


@final
@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key: `key` is its public part; of its secret only the SHA-256 is kept.

    The secret is 32 random bytes, so that a slow hash would protect nothing more. Without an account it is an
    operator's key.
    """

    key: str
    account: AccountId | None
    label: str
    role: Role
    scopes: frozenset[Scope]
    secret_hash: bytes = field(repr=False)
    created: UnixSeconds
    expires: UnixSeconds | None
    revoked: UnixSeconds | None
    last_used: UnixSeconds | None


@final
@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A capability token that was minted here: its rights and its story, never the token itself."""

    token: TokenId
    account: AccountId
    label: str
    pattern: NamePattern
    kinds: frozenset[EndpointKind]
    names_max: int
    streams_max: int
    sessions_max: int
    not_before: UnixSeconds
    expiry: UnixSeconds
    minted_by: str
    created: UnixSeconds
    revoked: UnixSeconds | None


@final
@dataclass(frozen=True, slots=True)
class WebSession:
    """Someone signed in at the dashboard. `cookie_hash` is the SHA-256 of the cookie's random bytes.

    Without an account it is an operator. `key` is the public part of the API key it was opened with, or empty; `csrf`
    is what its forms have to repeat. It is over at `expires` whatever happens; idleness is counted from `seen`.
    """

    cookie_hash: bytes = field(repr=False)
    identity: str
    account: AccountId | None
    role: Role
    key: str
    csrf: bytes = field(repr=False)
    created: UnixSeconds
    seen: UnixSeconds
    expires: UnixSeconds


@final
@dataclass(frozen=True, slots=True)
class IdempotentAnswer:
    """What the API answered to a write that named an idempotency key: repeated to whoever repeats the request.

    `owner` is the public part of the API key, so that two clients never meet; `request_digest` is of the method,
    path and body.
    """

    owner: str
    key: str
    request_digest: bytes
    status: int
    body: bytes
    at: UnixSeconds
