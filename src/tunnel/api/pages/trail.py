"""The audit trail, newest first, with a filter; and what is known of whether somebody changed it behind our back."""

import json
from dataclasses import dataclass
from typing import Final, final

from tunnel.api.board import Standing
from tunnel.api.pages.desk import Desk
from tunnel.api.pages.visit import Answer, Page, Visit, trouble_of
from tunnel.core.audit.checkpoint import Checkpoint, checkpoint_holds
from tunnel.core.audit.entry import AuditEntry, ChainHead, digest_of
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success, error_of, value_of
from tunnel.core.control.page import Page as StorePage
from tunnel.core.control.ttl import TTL_FORMS, ttl_of
from tunnel.store.port import AuditFilter

_FIELDS: Final = ("action", "identity", "subject", "within")
_SERVICE: Final = "checkpoints"


@final
@dataclass(frozen=True, slots=True)
class Change:
    """One field that became different, or was made or taken away."""

    name: str
    before: str
    after: str


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One entry; `holds` says whether its digest is what its contents come to."""

    entry: AuditEntry
    changes: tuple[Change, ...]
    holds: bool


@final
@dataclass(frozen=True, slots=True)
class Verified:
    """What is known of the whole chain: its head, the last signed checkpoint, and what the service says that checks."""

    head: ChainHead
    checkpoint: Checkpoint | None
    signature_holds: bool
    service: Standing | None


@final
@dataclass(frozen=True, slots=True)
class Trail:
    """What the page shows."""

    rows: tuple[Row, ...]
    verified: Verified
    older: str
    now: UnixSeconds

    @property
    def broken(self) -> tuple[Row, ...]:
        """The entries on this page that are not what was written."""
        return tuple(row for row in self.rows if not row.holds)


async def audit(desk: Desk, visit: Visit) -> Answer:
    """The entries that the filter lets through."""
    asked = {name: visit.query.get(name, "").strip() for name in _FIELDS}
    wrong: dict[str, str] = {}
    seconds = ttl_of(asked["within"]) if asked["within"] else None
    if asked["within"] and seconds is None:
        wrong["within"] = f"This is not {TTL_FORMS}."
    chosen = AuditFilter(
        account=visit.account.account if visit.account is not None else None,
        action=asked["action"],
        identity=asked["identity"],
        subject=asked["subject"],
        since=None if seconds is None else UnixSeconds(visit.now - seconds),
    )
    store = desk.plane.store
    told = await store.audit_page(chosen, StorePage(visit.query.get("after", "")))
    if not isinstance(told, Success):
        return trouble_of(error_of(told))
    head, checkpoint = await store.audit_head(), await store.last_checkpoint()
    if not isinstance(head, Success):
        return trouble_of(error_of(head))
    if not isinstance(checkpoint, Success):
        return trouble_of(error_of(checkpoint))
    last = value_of(checkpoint)
    service = next((each for each in desk.plane.board.standings() if each.service == _SERVICE), None)
    verified = Verified(value_of(head), last, last is not None and checkpoint_holds(last), service)
    following = value_of(told).next
    older = visit.link("/audit", after=following, **asked) if following else ""
    record = Trail(tuple(row_of(entry) for entry in value_of(told).items), verified, older, visit.now)
    return Page("audit.html", "Audit", record, 422 if wrong else 200, wrong, asked)


def row_of(entry: AuditEntry) -> Row:
    """The entry with its change field by field, and whether it is what was written."""
    holds = digest_of(entry.previous, entry.number, entry.facts) == entry.digest
    return Row(entry, changes_of(entry.facts.before, entry.facts.after), holds)


def changes_of(before: str, after: str) -> tuple[Change, ...]:
    """What differs between the two, by field; texts that are no JSON objects are shown whole."""
    was, became = _fields(before), _fields(after)
    names = [*was, *(name for name in became if name not in was)]
    return tuple(
        Change(name, was.get(name, ""), became.get(name, ""))
        for name in names
        if was.get(name, "") != became.get(name, "")
    )


def _fields(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {"": text}
    if not isinstance(told, dict):
        return {"": text}
    return {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in told.items()}
