"""Rows become core values, here and nowhere else; each noun's columns stand above the function that reads them."""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias, final

from tunnel.core.audit.checkpoint import Checkpoint
from tunnel.core.audit.entry import AuditEntry, AuditFacts
from tunnel.core.base.ids import Label, UnixSeconds
from tunnel.core.control.account import Account, Member, Plan
from tunnel.core.control.act import Act
from tunnel.core.control.billing import BillingRecord, Meter, MeterReport
from tunnel.core.control.credential import IdempotentAnswer, KeyRecord, TokenRecord, WebSession
from tunnel.core.control.facts import Revocation
from tunnel.core.control.name import LeaseRecord, NameRecord
from tunnel.core.control.roles import Role, Scope, role_of, scope_of
from tunnel.core.control.usage import UsageHour, UsageTotal
from tunnel.core.token.token import ENDPOINT_KINDS, AccountId, EndpointKind, NamePattern, TokenId

Cell: TypeAlias = int | str | bytes | None
Row: TypeAlias = tuple[Cell, ...]

COLUMNS: Final[Mapping[str, str]] = {
    "account": "account, name, created, plan, is_suspended, ttl_default, ttl_max",
    "member": "account, identity, role, added",
    "plan": "plan, names_max, endpoints_max, requests_month, bytes_month, requests_second",
    "key": "public_part, account, label, role, scopes, secret_hash, created, expires, revoked, last_used",
    "token": (
        "token, account, label, pattern, kinds, names_max, streams_max, sessions_max, not_before, expiry, "
        "minted_by, created, revoked"
    ),
    "revocation": "token, account, revoked, expiry",
    "name": "name, account, reserved, note",
    "lease": "name, account, session, peer, host, epoch, since, heartbeat, lapses, server",
    "hour": "account, name, hour, requests, bytes_up, bytes_down, connections",
    "entry": (
        "number, identity, address, api_key, request, action, subject, account, before_json, after_json, at, "
        "previous, digest"
    ),
    "checkpoint": "number, digest, before_number, at, public_key, signature",
    "web_session": "cookie_hash, identity, account, role, api_key, csrf, created, seen, expires",
    "billing": "account, customer, linked, plan, subscription, status, synced",
    "answer": "owner, idempotency_key, request_digest, status, body, at",
}
"""The columns of each noun, in the order in which its function takes them."""


class UnfitRowError(Exception):
    """A row that no call of ours wrote: somebody changed the database by hand, or its file is damaged."""


@final
class Cells:
    """The cells of one row, taken from left to right, each as what its column must hold."""

    def __init__(self, row: Row) -> None:
        self._cells: Final[Iterator[Cell]] = iter(row)

    def number(self) -> int:
        """A whole number."""
        cell = next(self._cells, None)
        if not isinstance(cell, int):
            raise UnfitRowError(_story("a number", cell))
        return cell

    def text(self) -> str:
        """Text."""
        cell = next(self._cells, None)
        if not isinstance(cell, str):
            raise UnfitRowError(_story("text", cell))
        return cell

    def blob(self) -> bytes:
        """Bytes."""
        cell = next(self._cells, None)
        if not isinstance(cell, bytes):
            raise UnfitRowError(_story("bytes", cell))
        return cell

    def moment(self) -> UnixSeconds:
        """Seconds since 1970."""
        return UnixSeconds(self.number())

    def moment_or_none(self) -> UnixSeconds | None:
        """Seconds since 1970, where there may be none."""
        cell = next(self._cells, None)
        if cell is None:
            return None
        if not isinstance(cell, int):
            raise UnfitRowError(_story("a moment", cell))
        return UnixSeconds(cell)

    def account(self) -> AccountId:
        """The ID of an account."""
        return AccountId(self.blob())

    def account_or_none(self) -> AccountId | None:
        """The ID of an account, where there may be none."""
        cell = next(self._cells, None)
        if cell is None:
            return None
        if not isinstance(cell, bytes):
            raise UnfitRowError(_story("an account", cell))
        return AccountId(cell)

    def meter(self) -> Meter:
        """A meter of the payment provider."""
        word = self.text()
        for meter in Meter:
            if meter.value == word:
                return meter
        raise UnfitRowError(_story("a meter", word))

    def role(self) -> Role:
        """A role."""
        text = self.text()
        role = role_of(text)
        if role is None:
            raise UnfitRowError(_story("a role", text))
        return role

    def scopes(self) -> frozenset[Scope]:
        """Scopes, as words with a space between."""
        text = self.text()
        scopes = [scope_of(word) for word in text.split()]
        known = [scope for scope in scopes if scope is not None]
        if len(known) < len(scopes):
            raise UnfitRowError(_story("scopes", text))
        return frozenset(known)

    def kinds(self) -> frozenset[EndpointKind]:
        """Kinds of endpoints, as the sum of their bits."""
        bits = self.number()
        return frozenset(kind for kind in ENDPOINT_KINDS if bits & kind.value)


def _story(expected: str, seen: Cell) -> str:
    return f"a row holds {ascii(seen)[:40]} where {expected} belongs"


def scopes_cell(scopes: frozenset[Scope]) -> str:
    """Scopes as a cell; the same scopes are the same text."""
    return " ".join(sorted(scope.value for scope in scopes))


def kinds_cell(kinds: frozenset[EndpointKind]) -> int:
    """Kinds of endpoints as a cell."""
    return sum(kind.value for kind in kinds)


def number_of(row: Row) -> int:
    """The one number of a row that holds nothing else."""
    return Cells(row).number()


def account_of(row: Row) -> Account:
    """`{account}`."""
    cells = Cells(row)
    return Account(
        account=cells.account(),
        name=cells.text(),
        created=cells.moment(),
        plan=cells.text(),
        is_suspended=cells.number() == 1,
        ttl_default=cells.number(),
        ttl_max=cells.number(),
    )


def member_of(row: Row) -> Member:
    """`{member}`."""
    cells = Cells(row)
    return Member(account=cells.account(), identity=cells.text(), role=cells.role(), added=cells.moment())


def plan_of(row: Row) -> Plan:
    """`{plan}`."""
    cells = Cells(row)
    return Plan(
        plan=cells.text(),
        names_max=cells.number(),
        endpoints_max=cells.number(),
        requests_month=cells.number(),
        bytes_month=cells.number(),
        requests_second=cells.number(),
    )


def key_of(row: Row) -> KeyRecord:
    """`{key}`."""
    cells = Cells(row)
    return KeyRecord(
        key=cells.text(),
        account=cells.account_or_none(),
        label=cells.text(),
        role=cells.role(),
        scopes=cells.scopes(),
        secret_hash=cells.blob(),
        created=cells.moment(),
        expires=cells.moment_or_none(),
        revoked=cells.moment_or_none(),
        last_used=cells.moment_or_none(),
    )


def token_of(row: Row) -> TokenRecord:
    """`{token}`."""
    cells = Cells(row)
    return TokenRecord(
        token=TokenId(cells.blob()),
        account=cells.account(),
        label=cells.text(),
        pattern=NamePattern(cells.text()),
        kinds=cells.kinds(),
        names_max=cells.number(),
        streams_max=cells.number(),
        sessions_max=cells.number(),
        not_before=cells.moment(),
        expiry=cells.moment(),
        minted_by=cells.text(),
        created=cells.moment(),
        revoked=cells.moment_or_none(),
    )


def revocation_of(row: Row) -> Revocation:
    """`{revocation}`."""
    cells = Cells(row)
    return Revocation(
        token=TokenId(cells.blob()), account=cells.account(), revoked=cells.moment(), expiry=cells.moment()
    )


def name_of(row: Row) -> NameRecord:
    """`{name}`."""
    cells = Cells(row)
    return NameRecord(name=Label(cells.text()), account=cells.account(), reserved=cells.moment(), note=cells.text())


def lease_of(row: Row) -> LeaseRecord:
    """`{lease}`."""
    cells = Cells(row)
    return LeaseRecord(
        name=Label(cells.text()),
        account=cells.account(),
        session=cells.text(),
        peer=cells.text(),
        host=cells.text(),
        epoch=cells.number(),
        since=cells.moment(),
        heartbeat=cells.moment(),
        lapses=cells.moment(),
        server=cells.text(),
    )


def hour_of(row: Row) -> UsageHour:
    """`{hour}`."""
    cells = Cells(row)
    return UsageHour(
        account=cells.account(),
        name=Label(cells.text()),
        hour=cells.moment(),
        requests=cells.number(),
        bytes_up=cells.number(),
        bytes_down=cells.number(),
        connections=cells.number(),
    )


def total_of(row: Row, since: UnixSeconds) -> UsageTotal:
    """The account and its four sums."""
    cells = Cells(row)
    return UsageTotal(
        account=cells.account(),
        since=since,
        requests=cells.number(),
        bytes_up=cells.number(),
        bytes_down=cells.number(),
        connections=cells.number(),
    )


def entry_of(row: Row) -> AuditEntry:
    """`{entry}`."""
    cells = Cells(row)
    number = cells.number()
    act = Act(identity=cells.text(), address=cells.text(), key=cells.text(), request=cells.text())
    facts = AuditFacts(
        act=act,
        action=cells.text(),
        subject=cells.text(),
        account=cells.account_or_none(),
        before=cells.text(),
        after=cells.text(),
        at=cells.moment(),
    )
    return AuditEntry(number=number, facts=facts, previous=cells.blob(), digest=cells.blob())


def checkpoint_of(row: Row) -> Checkpoint:
    """`{checkpoint}`."""
    cells = Cells(row)
    return Checkpoint(
        number=cells.number(),
        digest=cells.blob(),
        before=cells.number(),
        at=cells.moment(),
        key=cells.blob(),
        signature=cells.blob(),
    )


def web_session_of(row: Row) -> WebSession:
    """`{web_session}`."""
    cells = Cells(row)
    return WebSession(
        cookie_hash=cells.blob(),
        identity=cells.text(),
        account=cells.account_or_none(),
        role=cells.role(),
        key=cells.text(),
        csrf=cells.blob(),
        created=cells.moment(),
        seen=cells.moment(),
        expires=cells.moment(),
    )


def answer_of(row: Row) -> IdempotentAnswer:
    """`{answer}`."""
    cells = Cells(row)
    return IdempotentAnswer(
        owner=cells.text(),
        key=cells.text(),
        request_digest=cells.blob(),
        status=cells.number(),
        body=cells.blob(),
        at=cells.moment(),
    )


def billing_of(row: Row) -> BillingRecord:
    """`{billing}`."""
    cells = Cells(row)
    return BillingRecord(
        account=cells.account(),
        customer=cells.text(),
        linked=cells.moment(),
        plan=cells.text(),
        subscription=cells.text(),
        status=cells.text(),
        synced=cells.moment(),
    )


def report_of(row: Row) -> MeterReport:
    """The identifier, account, customer, hour, meter and quantity of a report."""
    cells = Cells(row)
    return MeterReport(
        identifier=cells.text(),
        account=cells.account(),
        customer=cells.text(),
        hour=cells.moment(),
        meter=cells.meter(),
        quantity=cells.number(),
    )
