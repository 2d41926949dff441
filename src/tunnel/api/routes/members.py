"""The people of an account, and what each may do in it."""

from typing import Annotated, Final

from fastapi import APIRouter
from fastapi import Path as FromPath
from pydantic import Field

from tunnel.api.calls import (
    LIMIT,
    AccountInPath,
    AccountText,
    After,
    Call,
    Limit,
    Moment,
    Next,
    Shape,
    Text,
    ThisCall,
    account_id,
    page_of,
    reading,
    writing,
)
from tunnel.api.problems import SCOPE_MISSING, ProblemAnswer
from tunnel.api.scoped import ScopedRoute
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.account import Member
from tunnel.core.control.roles import Role, Scope, scopes_of

router = APIRouter(route_class=ScopedRoute, tags=["members"])

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


class MemberPage(Shape):
    """Members by identity."""

    items: list[MemberOut]
    next: Next


@router.get(
    "/accounts/{account}/members",
    response_model=MemberPage,
    openapi_extra=reading(Scope.ACCOUNT_READ.value),
    operation_id="list_members",
)
async def list_members(
    call: ThisCall, account: AccountInPath, after: After = "", limit: Limit = LIMIT
) -> MemberPage | ProblemAnswer:
    """List the members of an account."""
    found = await call.store.members(account_id(account), page_of(after, limit))
    if not isinstance(found, Success):
        return call.refused_page(error_of(found))
    page = value_of(found)
    return MemberPage(items=[_out(each) for each in page.items], next=page.next)


@router.post(
    "/accounts/{account}/members",
    response_model=MemberOut,
    status_code=201,
    openapi_extra=writing(Scope.MEMBER_WRITE.value),
    operation_id="add_member",
)
async def add_member(call: ThisCall, account: AccountInPath, asked: MemberIn) -> MemberOut | ProblemAnswer:
    """Add a member."""
    if not _may_give(call, account, asked.role):
        return call.problem(SCOPE_MISSING, _MORE_THAN_OWN)
    member = Member(account_id(account), asked.identity, asked.role, call.now)
    added = await call.store.add_member(member, call.actor.act, call.now)
    return _out(value_of(added)) if isinstance(added, Success) else call.refused(error_of(added))


@router.patch(
    "/accounts/{account}/members/{identity}",
    response_model=MemberOut,
    openapi_extra=writing(Scope.MEMBER_WRITE.value),
    operation_id="change_member",
)
async def change_member(
    call: ThisCall, account: AccountInPath, identity: IdentityInPath, asked: MemberPatch
) -> MemberOut | ProblemAnswer:
    """Give a member another role."""
    role = asked.role
    if not _may_give(call, account, role):
        return call.problem(SCOPE_MISSING, _MORE_THAN_OWN)
    changed = await call.store.change_member(account_id(account), identity, role, call.actor.act, call.now)
    return _out(value_of(changed)) if isinstance(changed, Success) else call.refused(error_of(changed))


@router.delete(
    "/accounts/{account}/members/{identity}",
    response_model=MemberOut,
    openapi_extra=writing(Scope.MEMBER_WRITE.value),
    operation_id="remove_member",
)
async def remove_member(call: ThisCall, account: AccountInPath, identity: IdentityInPath) -> MemberOut | ProblemAnswer:
    """Remove a member, whose sessions at the dashboard end."""
    removed = await call.store.remove_member(account_id(account), identity, call.actor.act, call.now)
    return _out(value_of(removed)) if isinstance(removed, Success) else call.refused(error_of(removed))


def _may_give(call: Call, account: str, role: Role) -> bool:
    """Whether the key may do all that the role may: whoever has the role can sign in, and make keys with it."""
    return all(call.actor.may(scope, account_id(account)) for scope in scopes_of(role))


def _out(member: Member) -> MemberOut:
    return MemberOut(account=member.account.hex(), identity=member.identity, role=member.role, added=member.added)
