"""Writes the audit trail out of the store, so that it can be verified by anybody (spec/audit.md)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, final

from tunnel.api.keeper import BLOCK, Keeper, open_keeper
from tunnel.api.witness import AuditKey, audit_key
from tunnel.api.witness import describe as describe_witness
from tunnel.core.audit.checkpoint import Checkpoint
from tunnel.core.audit.entry import GENESIS, AuditEntry, ChainHead
from tunnel.core.audit.lines import Header, Line, folded, line_bytes, seal_of
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.store.errors import StoreError, describe
from tunnel.store.port import AuditStore


@final
class Export:
    """One export, block by block: iterate over `blocks` to its end. A Failure, in words, is the last thing it gives.

    An export that fails has no seal, so it cannot be taken for a whole one.
    """

    def __init__(self, store: AuditStore, key: AuditKey, kept: Checkpoint | None) -> None:
        self._store: Final = store
        self._key: Final = key
        self._kept: Final = kept
        self._fold = b""
        self.entries = 0
        self.checkpoints = 0

    async def blocks(self, first: int, last: int | None, now: UnixSeconds) -> AsyncIterator[Outcome[bytes, str]]:
        """The lines of the entries from `first` to `last` (None: to the end), both included."""
        begun = await self._begin(first)
        if not isinstance(begun, Success):
            yield _words(error_of(begun))
            return
        head, end = value_of(begun)
        end = end if last is None else min(end, last)
        yield Success(self._written([Header(head.number + 1, head.digest, self._key.public)]))
        while head.number < end:
            block = await self._block(head.number + 1, end)
            if not isinstance(block, Success):
                yield _words(error_of(block))
                return
            entries, lines = value_of(block)
            if not entries:
                break
            head = entries[-1].head
            yield Success(self._written(lines))
        if last is None and self._kept is not None and self._kept.number > head.number:
            # The database was cut back behind what was signed: verification finds it by this line.
            yield Success(self._written([self._kept]))
        seal = seal_of(self._fold, head.number, now, self._key.private)
        yield Failure("the key of the audit trail cannot be used") if seal is None else Success(line_bytes(seal))

    async def _begin(self, first: int) -> Outcome[tuple[ChainHead, int], StoreError]:
        """The head that the first entry follows, and the number of the last entry."""
        told = await self._store.audit_head()
        if not isinstance(told, Success):
            return told
        end = value_of(told).number
        before = min(max(first, 1) - 1, end)
        if before == 0:
            return Success((GENESIS, end))
        found = await self._store.audit_range(before, before, 1)
        if not isinstance(found, Success):
            return found
        entries = value_of(found)
        return Success((entries[0].head if entries else ChainHead(before, GENESIS.digest), end))

    async def _block(self, first: int, end: int) -> Outcome[tuple[tuple[AuditEntry, ...], list[Line]], StoreError]:
        """The next entries, and the lines of them with their checkpoints."""
        found = await self._store.audit_range(first, end, BLOCK)
        if not isinstance(found, Success):
            return found
        entries = value_of(found)
        if not entries:
            return Success((entries, []))
        signed = await self._store.checkpoints(first, entries[-1].number, BLOCK)
        if not isinstance(signed, Success):
            return signed
        points = {point.number: point for point in value_of(signed)}
        lines: list[Line] = []
        for entry in entries:
            lines.append(entry)
            point = points.pop(entry.number, None)
            if point is not None:
                lines.append(point)
            if self._kept is not None and self._kept.number == entry.number and self._kept != point:
                # The database lost it, or has another in its place: whoever did that may have rewritten the chain.
                lines.append(self._kept)
        # One whose entry is gone stays in the file, and is found to have none.
        lines.extend(points.values())
        self.entries += len(entries)
        self.checkpoints += len(lines) - len(entries)
        return Success((entries, lines))

    def _written(self, lines: list[Line]) -> bytes:
        made: list[bytes] = []
        for line in lines:
            data = line_bytes(line)
            self._fold = folded(self._fold, data)
            made.append(data)
        return b"".join(made)


async def signed_up_to_now(store: AuditStore, directory: Path, now: UnixSeconds) -> Outcome[Keeper, str]:
    """A keeper that has just followed the trail to its end and signed it, or has found that it may not: its `trouble`.

    Failure, in words: a file is damaged, or the database is away.
    """
    opened = await open_keeper(store, directory)
    if not isinstance(opened, Success):
        return opened
    followed = await value_of(opened).follow(now, at_once=True)
    return opened if isinstance(followed, Success) or value_of(opened).trouble else followed


async def open_export(store: AuditStore, directory: Path, now: UnixSeconds) -> Outcome[tuple[Export, str], str]:
    """An export of the whole trail as it is now, its end signed; with words when it was tampered with before that.

    Failure, in words: a file of the state directory is damaged, or the database is away.
    """
    keeper = await signed_up_to_now(store, directory, now)
    if not isinstance(keeper, Success):
        return keeper
    key = audit_key(directory)
    if not isinstance(key, Success):
        return Failure(describe_witness(error_of(key)))
    held = value_of(keeper)
    return Success((Export(store, value_of(key), held.kept), held.trouble))


def _words(error: StoreError) -> Failure[str]:
    return Failure(describe(error))
