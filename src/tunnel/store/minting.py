"""Tokens made and taken back over a store: what the command line, the API and the dashboard all do, done once."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias, final

from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.base.limits import DEFAULT_LIMITS
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.core.base.partial import public_key_of
from tunnel.core.control.account import Account
from tunnel.core.control.act import Act
from tunnel.core.control.credential import TokenRecord
from tunnel.core.control.facts import Revocation
from tunnel.core.control.minting import MintAsked, MintRefused, decide_mint, name_of, record_of, token_of
from tunnel.core.control.minting import describe as describe_refused
from tunnel.core.control.name import NameRecord
from tunnel.core.token.codec import encode_token, key_id_of, token_text
from tunnel.core.token.errors import KeyUnusable, MintError, PartUnfit
from tunnel.core.token.explain import describe as describe_token
from tunnel.core.token.token import TOKEN_ID_BYTES, AccountId, Token, TokenId
from tunnel.ports import Entropy
from tunnel.store.errors import (
    AlreadyExists,
    Conflict,
    NotFound,
    QuotaExceeded,
    StoreError,
    StoreUnavailable,
    Told,
    Unstorable,
)
from tunnel.store.errors import describe as describe_store

SEED_BYTES: Final = 32


class MintStore(Protocol):
    """What minting asks of a store."""

    def account(self, account: AccountId) -> Awaitable[Told[Account]]:
        """The account, or NotFound."""

    def name_holder(self, name: Label) -> Awaitable[Told[NameRecord]]:
        """Who reserved the name, or NotFound."""

    def record_token(self, token: TokenRecord, act: Act, now: UnixSeconds) -> Awaitable[Told[TokenRecord]]:
        """Remember a token."""


class RevokeStore(Protocol):
    """What revoking asks of a store."""

    def revoke_token(self, token: TokenId, act: Act, now: UnixSeconds) -> Awaitable[Told[TokenRecord]]:
        """Revoke a recorded token, or NotFound."""

    def revoke_step(self, step: Revocation, act: Act, now: UnixSeconds) -> Awaitable[Told[Revocation]]:
        """Revoke an ID that was never recorded."""


@final
@dataclass(frozen=True, slots=True)
class Minted:
    """A token just made. `text` and `raw` are the secret itself: shown once, kept nowhere."""

    text: str = field(repr=False)
    raw: bytes = field(repr=False)
    token: Token
    record: TokenRecord


MintFailure: TypeAlias = MintRefused | MintError | StoreError


async def mint_token(
    store: MintStore,
    private_key: bytes,
    entropy: Entropy,
    account: AccountId,
    asked: MintAsked,
    act: Act,
    now: UnixSeconds,
    *,
    is_sealed: bool = False,
) -> Outcome[Minted, MintFailure]:
    """A token of the account, signed and recorded. It is recorded first: what was given out is always known."""
    made = await sign_token(store, private_key, entropy, account, asked, act, now, is_sealed=is_sealed)
    if not isinstance(made, Success):
        return made
    recorded = await store.record_token(value_of(made).record, act, now)
    return made if isinstance(recorded, Success) else recorded


async def sign_token(
    store: MintStore,
    private_key: bytes,
    entropy: Entropy,
    account: AccountId,
    asked: MintAsked,
    act: Act,
    now: UnixSeconds,
    *,
    is_sealed: bool = False,
) -> Outcome[Minted, MintFailure]:
    """A token of the account, signed; to be given to nobody before its record is in the store.

    Unless `is_sealed` its holder can narrow it.
    """
    found = await store.account(account)
    if not isinstance(found, Success):
        return found
    holder = await _holder(store, name_of(asked.pattern))
    if not isinstance(holder, Success):
        return holder
    decided = decide_mint(value_of(found), asked, value_of(holder), DEFAULT_LIMITS, now)
    if not isinstance(decided, Success):
        return decided
    public_key = public_key_of(private_key) or b""
    token = token_of(value_of(decided), key_id_of(public_key), TokenId(entropy.random_bytes(TOKEN_ID_BYTES)))
    raw = encode_token(token, private_key, None if is_sealed else entropy.random_bytes(SEED_BYTES))
    if not isinstance(raw, Success):
        return raw
    record = record_of(token, asked.label, act.identity, now)
    return Success(Minted(token_text(value_of(raw)), value_of(raw), token, record))


async def revoke(store: RevokeStore, token: Token, act: Act, now: UnixSeconds) -> Outcome[None, StoreError]:
    """Success when the token, and with it all that was or will be narrowed from it, is void; also a narrowed one."""
    revoked = await store.revoke_token(token.token_id, act, now)
    if isinstance(revoked, Success):
        return Success(None)
    if not isinstance(error_of(revoked), NotFound):
        return revoked
    step = await store.revoke_step(Revocation(token.token_id, token.account, now, token.expiry), act, now)
    return Success(None) if isinstance(step, Success) else step


def describe(error: MintFailure) -> str:
    """What was seen, what was expected and what to do."""
    if isinstance(error, (KeyUnusable, PartUnfit)):
        return describe_token(error)
    if isinstance(error, (NotFound, AlreadyExists, Conflict, QuotaExceeded, Unstorable, StoreUnavailable)):
        return describe_store(error)
    return describe_refused(error)


async def _holder(store: MintStore, name: Label | None) -> Outcome[AccountId | None, StoreError]:
    """The account that has reserved the name, or None when nobody has."""
    if name is None:
        return Success(None)
    held = await store.name_holder(name)
    if isinstance(held, Success):
        return Success(value_of(held).account)
    return Success(None) if isinstance(error_of(held), NotFound) else Failure(error_of(held))
