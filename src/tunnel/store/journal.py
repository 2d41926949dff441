"""Journals of the data plane, applied exactly once: their position is written in the transaction that applies them."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from tunnel.core.audit.entry import AuditEntry, AuditFacts, change_text, next_entry
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Success
from tunnel.core.base.partial import storable_text
from tunnel.core.control.act import Act
from tunnel.core.journal.records import (
    AgentRefused,
    JournalId,
    NameLost,
    NameTaken,
    Record,
    RecordsDropped,
    RecordsMissing,
    ServerNoted,
    SessionBegan,
    SessionClosed,
    UsageNoted,
)
from tunnel.core.token.token import AccountId
from tunnel.store.driver import Transaction
from tunnel.store.errors import Told
from tunnel.store.part import Part, append_entries, bump, chain_head
from tunnel.store.rows import number_of

_NAME_CHARS_MAX: Final = 63
"""As a label. Nothing that a damaged journal says may keep the rest of it from being applied."""
_FORGOTTEN_SECONDS: Final = 86_400
"""For so long the position of a journal that is gone is kept: another control process may still have it in hand."""


class Journals(Part):
    """The calls of `JournalStore`."""

    async def apply_journal(
        self, journal: JournalId, first: int, records: Sequence[Record], act: Act, now: UnixSeconds
    ) -> Told[int]:
        """The number of the last record that was ever applied of this journal; `records[0]` has number `first`."""

        async def work(tx: Transaction) -> Told[int]:
            position = await _position(tx, journal)
            last = first + len(records) - 1
            if last <= position:
                return Success(position)
            fresh = records[max(position + 1 - first, 0) :]
            await _add_usage(tx, [record for record in fresh if isinstance(record, UsageNoted)])
            await _add_entries(tx, [facts for record in fresh if (facts := facts_of(record, act)) is not None])
            await tx.rows(
                "INSERT INTO journals (journal, position, applied) VALUES (?, ?, ?) "
                "ON CONFLICT (journal) DO UPDATE SET position = excluded.position, applied = excluded.applied",
                journal,
                last,
                now,
            )
            return Success(last)

        return await self._driver.write(work)

    async def journal_position(self, journal: JournalId) -> Told[int]:
        """The number of the last record that was applied; 0 when none was."""

        async def work(tx: Transaction) -> Told[int]:
            return Success(await _position(tx, journal))

        return await self._driver.read(work)

    async def forget_journal(self, journal: JournalId, now: UnixSeconds) -> Told[None]:
        """The journal's files are gone; its position goes in a day. Success also when there is none.

        Until then whoever still has records of it in hand, or finds its files again after the power was cut, adds
        nothing twice.
        """

        async def work(tx: Transaction) -> Told[None]:
            # Below zero: minus the moment at which it was forgotten.
            await tx.rows("UPDATE journals SET applied = ? WHERE journal = ? AND applied >= 0", -now, journal)
            await tx.rows("DELETE FROM journals WHERE applied < 0 AND applied >= ?", _FORGOTTEN_SECONDS - now)
            return Success(None)

        return await self._driver.write(work)


def facts_of(record: Record, act: Act) -> AuditFacts | None:
    """What the audit trail says of a record; None for usage, which is counted instead.

    What an agent did is said of its token and address; what the server did, of `act`.
    """
    match record:
        case UsageNoted():
            return None
        case SessionBegan(session=session, account=account, at=at):
            after = change_text((("token", record.token.hex()), ("peer", record.peer)))
            return AuditFacts(_agent(record), "session.begin", str(session), account, "", after, at)
        case SessionClosed(session=session, account=account, at=at):
            after = change_text((("reason", record.reason), ("seconds", record.seconds)))
            return AuditFacts(_agent(record), "session.end", str(session), account, "", after, at)
        case AgentRefused(peer=peer, code=code, at=at):
            after = change_text((("code", code), ("detail", record.detail), ("count", record.count)))
            return AuditFacts(Act("", peer, "", ""), "agent.refuse", code, None, "", after, at)
        case NameTaken(name=name, account=account, at=at):
            after = change_text((("session", record.session), ("epoch", record.epoch)))
            return AuditFacts(Act("", record.peer, "", ""), "name.take", name, account, "", after, at)
        case NameLost(name=name, account=account, at=at):
            before = change_text((("session", record.session), ("epoch", record.epoch)))
            return AuditFacts(act, "name.lose", name, account, before, "", at)
        case ServerNoted(kind=kind, detail=detail, at=at):
            action = "server." + kind.name.lower().replace("_", "-")
            return AuditFacts(act, action, "server", None, "", change_text((("detail", detail),)), at)
        case RecordsDropped(count=count, since=since, at=at):
            after = change_text((("count", count), ("since", since)))
            return AuditFacts(act, "journal.drop", "journal", None, "", after, at)
        case RecordsMissing(first=first, count=count, at=at):
            after = change_text((("first", first), ("count", count), ("detail", record.detail)))
            return AuditFacts(act, "journal.missing", "journal", None, "", after, at)


def summed(usage: Sequence[UsageNoted]) -> list[UsageNoted]:
    """One record for each account, hour and name, in a fixed order, so that rows are always locked in the same one."""
    sums: dict[tuple[AccountId, UnixSeconds, str], UsageNoted] = {}
    for one in usage:
        name = storable_text(one.name, _NAME_CHARS_MAX)
        place = (one.account, one.hour, name)
        sums[place] = _added(sums.get(place, UsageNoted(one.account, name, one.hour, 0, 0, 0, 0)), one)
    return [sums[place] for place in sorted(sums)]


async def _add_usage(tx: Transaction, usage: Sequence[UsageNoted]) -> None:
    if not usage:
        return
    hours = summed(usage)
    await tx.each(
        "INSERT INTO usage_hours (account, hour, name, requests, bytes_up, bytes_down, connections) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, hour, name) DO UPDATE SET "
        "requests = usage_hours.requests + excluded.requests, bytes_up = usage_hours.bytes_up + excluded.bytes_up, "
        "bytes_down = usage_hours.bytes_down + excluded.bytes_down, "
        "connections = usage_hours.connections + excluded.connections",
        [
            (
                hour.account,
                hour.hour,
                hour.name,
                hour.requests,
                hour.bytes_up,
                hour.bytes_down,
                hour.connections,
            )
            for hour in hours
        ],
    )
    for account in sorted({hour.account for hour in hours}):
        if await _is_metered(tx, account):
            await bump(tx)
            return


async def _add_entries(tx: Transaction, facts: Sequence[AuditFacts]) -> None:
    if not facts:
        return
    head = await chain_head(tx)
    entries: list[AuditEntry] = []
    for one in facts:
        entry = next_entry(head, one)
        entries.append(entry)
        head = entry.head
    await append_entries(tx, entries)


async def _is_metered(tx: Transaction, account: AccountId) -> bool:
    """Whether the data plane has to know what this account used: only then does usage change the Directory."""
    sql = (
        "SELECT 1 FROM accounts JOIN plans ON plans.plan = accounts.plan "
        "WHERE accounts.account = ? AND (plans.requests_month > 0 OR plans.bytes_month > 0)"
    )
    return bool(await tx.rows(sql, account))


async def _position(tx: Transaction, journal: JournalId) -> int:
    found = await tx.rows("SELECT position FROM journals WHERE journal = ?", journal)
    return number_of(found[0]) if found else 0


def _agent(record: SessionBegan | SessionClosed) -> Act:
    return Act(f"token:{record.token.hex()}", record.peer, "", "")


def _added(one: UsageNoted, other: UsageNoted) -> UsageNoted:
    return dataclasses.replace(
        one,
        requests=one.requests + other.requests,
        bytes_up=one.bytes_up + other.bytes_up,
        bytes_down=one.bytes_down + other.bytes_down,
        connections=one.connections + other.connections,
    )
