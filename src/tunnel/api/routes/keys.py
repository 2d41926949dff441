"""The API keys of an account. Nobody can make a key that may do more than the one that makes it."""

from typing import Annotated

from fastapi import Path as FromPath
from pydantic import Field

from tunnel.api.calls import (
    SECONDS_MAX,
    WHOLE,
    AccountInPath,
    AccountText,
    AskedPage,
    Listing,
    Moment,
    Shape,
    Text,
    ThisCall,
    account_id,
)
from tunnel.api.nouns import CREATED, Noun
from tunnel.api.problems import CONFLICT, NOT_FOUND, SCOPE_MISSING, ProblemAnswer
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.credential import KeyRecord
from tunnel.core.control.keys import NEW_KEY_BYTES, new_key
from tunnel.core.control.rights import may
from tunnel.core.control.roles import Role, Scope, scopes_of

noun = Noun("keys")

KeyInPath = Annotated[str, FromPath(pattern="^k_[a-z2-7]{16}$", description="The public part of a key.")]
Lifetime = Annotated[int, Field(strict=True, ge=60, le=SECONDS_MAX), WHOLE]


class KeyOut(Shape):
    """An API key without its secret, which is kept nowhere."""

    key: str
    account: AccountText | None
    label: str
    role: Role
    scopes: list[Scope]
    created: Moment
    expires: Moment | None
    revoked: Moment | None
    last_used: Moment | None


class KeyIn(Shape):
    """A key to be made: with all scopes of its role, or with those that are named, and for ever or `ttl_seconds`."""

    label: Text
    role: Role = Role.DEVELOPER
    scopes: list[Scope] | None = None
    ttl_seconds: Lifetime | None = None


class KeyMinted(Shape):
    """A key just made. `secret` is the key itself, and is shown this once."""

    key: KeyOut
    secret: str


class KeyPage(Listing[KeyOut]):
    """Keys, the newest first."""


@noun.reads("/accounts/{account}/keys", Scope.ACCOUNT_READ, KeyPage)
async def list_keys(call: ThisCall, asked: AskedPage) -> Listing[KeyOut] | ProblemAnswer:
    """List the keys of an account, without their secrets."""
    return call.listed(await call.store.keys(asked.account, asked.page), _out, KeyPage)


@noun.writes("POST", "/accounts/{account}/keys", Scope.KEY_WRITE, KeyMinted, CREATED)
async def mint_key(call: ThisCall, account: AccountInPath, asked: KeyIn) -> KeyMinted | ProblemAnswer:
    """Make a key for an account; its secret is in this answer and nowhere else."""
    role, owner = asked.role, account_id(account)
    most = scopes_of(role)
    scopes = most if asked.scopes is None else frozenset(asked.scopes)
    if not scopes <= most:
        return call.problem(CONFLICT, f"The role {role.value} has not all of these scopes.")
    if not all(may(call.actor.scopes, call.actor.account, scope, owner) for scope in scopes):
        return call.problem(SCOPE_MISSING, "A key can make none that may do more than itself.")
    made = new_key(call.plane.entropy.random_bytes(NEW_KEY_BYTES))
    expires = None if asked.ttl_seconds is None else UnixSeconds(call.now + asked.ttl_seconds)
    record = KeyRecord(
        made.key, owner, asked.label, role, scopes, made.secret_hash, call.now, expires, revoked=None, last_used=None
    )

    def shown(minted: KeyRecord) -> KeyMinted:
        return KeyMinted(key=_out(minted), secret=made.text)

    return call.answered(await call.keeping(shown, CREATED).mint_key(record, call.actor.act, call.now), shown)


@noun.writes("DELETE", "/accounts/{account}/keys/{key}", Scope.KEY_WRITE, KeyOut)
async def revoke_key(call: ThisCall, account: AccountInPath, key: KeyInPath) -> KeyOut | ProblemAnswer:
    """Revoke a key at once and for ever; it stays in the list."""
    found = await call.store.key(key)
    if not isinstance(found, Success):
        return call.refused(error_of(found))
    if value_of(found).account != account_id(account):
        return call.problem(NOT_FOUND, f"There is no key `{key}`.")
    revoked = await call.keeping(_out).revoke_key(key, call.actor.act, call.now)
    return call.answered(revoked, _out)


def _out(key: KeyRecord) -> KeyOut:
    return KeyOut(
        key=key.key,
        account=None if key.account is None else key.account.hex(),
        label=key.label,
        role=key.role,
        scopes=sorted(key.scopes, key=lambda scope: scope.value),
        created=key.created,
        expires=key.expires,
        revoked=key.revoked,
        last_used=key.last_used,
    )
