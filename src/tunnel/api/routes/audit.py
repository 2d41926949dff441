"""The audit trail: who did what, and how far the chain has got."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Query

from tunnel.api.calls import (
    COUNT_MAX,
    PLAIN,
    AccountText,
    AskedPage,
    Listing,
    Moment,
    Shape,
    ThisCall,
    ThisPage,
)
from tunnel.api.nouns import Noun
from tunnel.api.problems import ProblemAnswer
from tunnel.core.audit.entry import AuditEntry
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.roles import Scope
from tunnel.store.port import AuditFilter

noun = Noun("audit")

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


class EntryPage(Listing[EntryOut]):
    """Entries, the newest first."""


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


def _filter(
    action: Action = "", identity: Identity = "", subject: Subject = "", since: Since = 0, until: Until = COUNT_MAX
) -> AuditFilter:
    return AuditFilter(None, action, identity, subject, UnixSeconds(since), UnixSeconds(until))


Wanted = Annotated[AuditFilter, Depends(_filter)]


@noun.reads("/accounts/{account}/audit", Scope.AUDIT_READ, EntryPage)
async def list_audit_of_account(call: ThisCall, wanted: Wanted, asked: AskedPage) -> Listing[EntryOut] | ProblemAnswer:
    """List what was done in an account."""
    within = replace(wanted, account=asked.account)
    return call.listed(await call.store.audit_page(within, asked.page), _out, EntryPage)


@noun.reads("/audit", Scope.AUDIT_READ, EntryPage)
async def list_audit(call: ThisCall, wanted: Wanted, page: ThisPage) -> Listing[EntryOut] | ProblemAnswer:
    """List what was done anywhere; for operators."""
    return call.listed(await call.store.audit_page(wanted, page), _out, EntryPage)


@noun.reads("/audit/state", Scope.AUDIT_READ, TrailOut)
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
