"""Accounts: an operator makes and lists them; each account reads and changes its own."""

from typing import Annotated

from pydantic import Field

from tunnel.api.calls import (
    AccountInPath,
    AccountText,
    Listing,
    Moment,
    Seconds,
    Shape,
    Text,
    ThisCall,
    ThisPage,
    account_id,
)
from tunnel.api.nouns import CREATED, Noun
from tunnel.api.problems import SCOPE_MISSING, ProblemAnswer
from tunnel.api.scoped import ANY_SCOPE
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.control.account import DEFAULT_PLAN, Account, AccountChange
from tunnel.core.control.roles import Role, Scope
from tunnel.core.token.token import ACCOUNT_BYTES, AccountId

noun = Noun("accounts")

AccountName = Annotated[Text, Field(min_length=1)]


class AccountOut(Shape):
    """An account. `ttl_default` and `ttl_max` are seconds that an exposure lasts; 0 is no limit."""

    account: AccountText
    name: str
    created: Moment
    plan: str
    is_suspended: bool
    ttl_default: int
    ttl_max: int


class AccountIn(Shape):
    """An account to be made."""

    name: AccountName
    plan: Text = DEFAULT_PLAN
    ttl_default: Seconds = 0
    ttl_max: Seconds = 0


class AccountPatch(Shape):
    """What becomes different; what is left out stays. Plan and suspension are an operator's to change."""

    name: AccountName | None = None
    plan: Text | None = None
    is_suspended: Annotated[bool, Field(strict=True)] | None = None
    ttl_default: Seconds | None = None
    ttl_max: Seconds | None = None


class AccountPage(Listing[AccountOut]):
    """Accounts by name."""


class KeyInUse(Shape):
    """Who asks: the key, and what it may do. Without an account it is an operator's."""

    key: str
    account: AccountText | None
    role: Role
    scopes: list[Scope]


@noun.reads("/me", ANY_SCOPE, KeyInUse)
async def show_me(call: ThisCall) -> KeyInUse:
    """Say which key this is, and what it may do."""
    actor = call.actor
    account = None if actor.account is None else actor.account.hex()
    scopes = sorted(actor.scopes, key=lambda scope: scope.value)
    return KeyInUse(key=actor.act.key, account=account, role=actor.role, scopes=scopes)


@noun.reads("/accounts", Scope.OPERATE, AccountPage)
async def list_accounts(call: ThisCall, page: ThisPage) -> Listing[AccountOut] | ProblemAnswer:
    """List all accounts."""
    return call.listed(await call.store.accounts(page), _out, AccountPage)


@noun.writes("POST", "/accounts", Scope.OPERATE, AccountOut, CREATED)
async def create_account(call: ThisCall, asked: AccountIn) -> AccountOut | ProblemAnswer:
    """Make an account."""
    made = Account(
        AccountId(call.plane.entropy.random_bytes(ACCOUNT_BYTES)),
        asked.name,
        UnixSeconds(call.now),
        asked.plan,
        is_suspended=False,
        ttl_default=asked.ttl_default,
        ttl_max=asked.ttl_max,
    )
    created = await call.keeping(_out, CREATED).create_account(made, call.actor.act, call.now)
    return call.answered(created, _out)


@noun.reads("/accounts/{account}", Scope.ACCOUNT_READ, AccountOut)
async def show_account(call: ThisCall, account: AccountInPath) -> AccountOut | ProblemAnswer:
    """Show an account."""
    return call.answered(await call.store.account(account_id(account)), _out)


@noun.writes("PATCH", "/accounts/{account}", Scope.ACCOUNT_WRITE, AccountOut)
async def change_account(call: ThisCall, account: AccountInPath, asked: AccountPatch) -> AccountOut | ProblemAnswer:
    """Change an account."""
    of_operator = asked.plan is not None or asked.is_suspended is not None or asked.ttl_max is not None
    if of_operator and not call.actor.may(Scope.OPERATE, account_id(account)):
        return call.problem(SCOPE_MISSING, "plan, is_suspended and ttl_max are an operator's to change.")
    change = AccountChange(asked.name, asked.plan, asked.is_suspended, asked.ttl_default, asked.ttl_max)
    changed = await call.keeping(_out).change_account(account_id(account), change, call.actor.act, call.now)
    return call.answered(changed, _out)


def _out(account: Account) -> AccountOut:
    return AccountOut(
        account=account.account.hex(),
        name=account.name,
        created=account.created,
        plan=account.plan,
        is_suspended=account.is_suspended,
        ttl_default=account.ttl_default,
        ttl_max=account.ttl_max,
    )
