"""The people of an account, and what each may do in it."""

from typing import Annotated, Final

from fastapi import Path as FromPath
from pydantic import Field

from tunnel.api.calls import (
    AccountInPath,
    AccountText,
    AskedPage,
    Call,
    Listing,
    Moment,
    Shape,
    Text,
    ThisCall,
    account_id,
)
from tunnel.api.nouns import CREATED, Noun
from tunnel.api.problems import SCOPE_MISSING, ProblemAnswer
from tunnel.core.control.account import Member
from tunnel.core.control.roles import Role, Scope, scopes_of

noun = Noun("members")

_MORE_THAN_OWN: Final = "A key can give nobody a role that may do more than itself."

Identity = Annotated[Text, Field(min_length=3, description="An e-mail address, or `issuer|subject` of OpenID Connect.")]
IdentityInPath = Annotated[str, FromPath(min_length=3, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class MemberOut(Shape):
    """A person of an account."""

    account: AccountText
    identity: str
    role: Role
    added: Moment


class MemberIn(Shape):
    """A person to be added."""

    identity: Identity
    role: Role


class MemberPatch(Shape):
    """The role that a person is to have."""

    role: Role


class MemberPage(Listing[MemberOut]):
    """Members by identity."""


@noun.reads("/accounts/{account}/members", Scope.ACCOUNT_READ, MemberPage)
async def list_members(call: ThisCall, asked: AskedPage) -> Listing[MemberOut] | ProblemAnswer:
    """List the members of an account."""
    return call.listed(await call.store.members(asked.account, asked.page), _out, MemberPage)


@noun.writes("POST", "/accounts/{account}/members", Scope.MEMBER_WRITE, MemberOut, CREATED)
async def add_member(call: ThisCall, account: AccountInPath, asked: MemberIn) -> MemberOut | ProblemAnswer:
    """Add a member."""
    if not _may_give(call, account, asked.role):
        return call.problem(SCOPE_MISSING, _MORE_THAN_OWN)
    member = Member(account_id(account), asked.identity, asked.role, call.now)
    added = await call.keeping(_out, CREATED).add_member(member, call.actor.act, call.now)
    return call.answered(added, _out)


@noun.writes("PATCH", "/accounts/{account}/members/{identity}", Scope.MEMBER_WRITE, MemberOut)
async def change_member(
    call: ThisCall, account: AccountInPath, identity: IdentityInPath, asked: MemberPatch
) -> MemberOut | ProblemAnswer:
    """Give a member another role."""
    role = asked.role
    if not _may_give(call, account, role):
        return call.problem(SCOPE_MISSING, _MORE_THAN_OWN)
    changed = await call.keeping(_out).change_member(account_id(account), identity, role, call.actor.act, call.now)
    return call.answered(changed, _out)


@noun.writes("DELETE", "/accounts/{account}/members/{identity}", Scope.MEMBER_WRITE, MemberOut)
async def remove_member(call: ThisCall, account: AccountInPath, identity: IdentityInPath) -> MemberOut | ProblemAnswer:
    """Remove a member, whose sessions at the dashboard end."""
    removed = await call.keeping(_out).remove_member(account_id(account), identity, call.actor.act, call.now)
    return call.answered(removed, _out)


def _may_give(call: Call, account: str, role: Role) -> bool:
    """Whether the key may do all that the role may: whoever has the role can sign in, and make keys with it."""
    return all(call.actor.may(scope, account_id(account)) for scope in scopes_of(role))


def _out(member: Member) -> MemberOut:
    return MemberOut(account=member.account.hex(), identity=member.identity, role=member.role, added=member.added)
