"""The audit trail: who did what, and how far the chain has got."""

from typing import Annotated

from fastapi import APIRouter, Query

from tunnel.api.calls import (
    COUNT_MAX,
    LIMIT,
    PLAIN,
    AccountInPath,
    AccountText,
    After,
    Call,
    Limit,
    Moment,
    Next,
    Shape,
    ThisCall,
    account_id,
    page_of,
    reading,
)
from tunnel.api.problems import ProblemAnswer
from tunnel.api.scoped import ScopedRoute
from tunnel.core.audit.entry import AuditEntry
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.page import Page
from tunnel.core.control.roles import Scope
from tunnel.core.token.token import AccountId
from tunnel.store.port import AuditFilter

router = APIRouter(route_class=ScopedRoute, tags=["audit"])

Action = Annotated[
    str, Query(max_length=64, pattern=PLAIN, description="Only actions that begin so: `name.`, `key.mint` ...")
]
Identity = Annotated[str, Query(max_length=320, pattern=PLAIN, description="Only what this identity did.")]
Subject = Annotated[str, Query(max_length=320, pattern=PLAIN, description="Only what was done to this.")]
Since = Annotated[int, Query(ge=0, le=COUNT_MAX, description="Not before this moment, in seconds since 1970.")]
Until = Annotated[int, Query(ge=0, le=COUNT_MAX, description="Before this moment.")]


class EntryOut(Shape):
    """One entry: who (identity, address, key, request) did what to whom; `before` and `after` are JSON, or empty."""

    number: int
    at: Moment
    action: str
    subject: str
    account: AccountText | None
    identity: str
    address: str
    key: str
    request: str
    before: str
    after: str
    digest: str


class EntryPage(Shape):
    """Entries, the newest first."""

    items: list[EntryOut]
    next: Next


class CheckpointOut(Shape):
    """What was signed: the number and the digest of the last entry at that time, and with which public key."""

    number: int
    digest: str
    at: Moment
    key: str


class TrailOut(Shape):
    """How far the chain has got, and the last checkpoint; `unsigned` entries came after it."""

    number: int
    digest: str
    unsigned: int
    checkpoint: CheckpointOut | None


@router.get(
    "/accounts/{account}/audit",
    response_model=EntryPage,
    openapi_extra=reading(Scope.AUDIT_READ.value),
    operation_id="list_audit_of_account",
)
async def list_audit_of_account(
    call: ThisCall,
    account: AccountInPath,
    action: Action = "",
    identity: Identity = "",
    subject: Subject = "",
    since: Since = 0,
    until: Until = COUNT_MAX,
    after: After = "",
    limit: Limit = LIMIT,
) -> EntryPage | ProblemAnswer:
    """List what was done in an account."""
    wanted = _filter(account_id(account), action, identity, subject, since, until)
    return await _page(call, wanted, page_of(after, limit))


@router.get(
    "/audit",
    response_model=EntryPage,
    openapi_extra=reading(Scope.AUDIT_READ.value),
    operation_id="list_audit",
)
async def list_audit(
    call: ThisCall,
    action: Action = "",
    identity: Identity = "",
    subject: Subject = "",
    since: Since = 0,
    until: Until = COUNT_MAX,
    after: After = "",
    limit: Limit = LIMIT,
) -> EntryPage | ProblemAnswer:
    """List what was done anywhere; for operators."""
    return await _page(call, _filter(None, action, identity, subject, since, until), page_of(after, limit))


@router.get(
    "/audit/state",
    response_model=TrailOut,
    openapi_extra=reading(Scope.AUDIT_READ.value),
    operation_id="show_audit_state",
)
async def show_audit_state(call: ThisCall) -> TrailOut | ProblemAnswer:
    """Say how far the chain has got, and how much of it is signed; for operators. `tunnel audit verify` proves it."""
    head = await call.store.audit_head()
    if not isinstance(head, Success):
        return call.refused(error_of(head))
    last = await call.store.last_checkpoint()
    if not isinstance(last, Success):
        return call.refused(error_of(last))
    end, signed = value_of(head), value_of(last)
    shown = None
    if signed is not None:
        shown = CheckpointOut(number=signed.number, digest=signed.digest.hex(), at=signed.at, key=signed.key.hex())
    number = 0 if signed is None else signed.number
    return TrailOut(number=end.number, digest=end.digest.hex(), unsigned=end.number - number, checkpoint=shown)


def _filter(account: AccountId | None, action: str, identity: str, subject: str, since: int, until: int) -> AuditFilter:
    return AuditFilter(account, action, identity, subject, UnixSeconds(since), UnixSeconds(until))


async def _page(call: Call, wanted: AuditFilter, page: Page) -> EntryPage | ProblemAnswer:
    found = await call.store.audit_page(wanted, page)
    if not isinstance(found, Success):
        return call.refused_page(error_of(found))
    return EntryPage(items=[_out(each) for each in value_of(found).items], next=value_of(found).next)


def _out(entry: AuditEntry) -> EntryOut:
    facts = entry.facts
    return EntryOut(
        number=entry.number,
        at=facts.at,
        action=facts.action,
        subject=facts.subject,
        account=None if facts.account is None else facts.account.hex(),
        identity=facts.act.identity,
        address=facts.act.address,
        key=facts.act.key,
        request=facts.act.request,
        before=facts.before,
        after=facts.after,
        digest=entry.digest.hex(),
    )
