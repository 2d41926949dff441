"""Signs where the audit trail has got to, after it has looked that the trail still is what was signed before."""

from pathlib import Path
from typing import Final, final

from tunnel.api import witness
from tunnel.api.witness import AuditKey
from tunnel.core.audit.checkpoint import Checkpoint, checkpoint_of
from tunnel.core.audit.entry import GENESIS, ChainHead, digest_of
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.outcome import Failure, Outcome, Success, error_of, value_of
from tunnel.store import errors
from tunnel.store.errors import AlreadyExists, StoreError
from tunnel.store.port import AuditStore

ENTRIES_BETWEEN: Final = 1000
SECONDS_BETWEEN: Final = 300
"""A checkpoint is due after so many entries, or so long after the last when there are new ones: what came since can be
lost unseen (AUDIT-VERIFY-004)."""
BLOCK: Final = 500
"""Entries read at once."""


@final
class Keeper:
    """Follows one trail; lives as long as the process, or as one command."""

    def __init__(self, store: AuditStore, directory: Path, key: AuditKey, kept: Checkpoint | None) -> None:
        self._store: Final = store
        self._directory: Final = directory
        self._key: Final = key
        self._kept = kept
        self._followed = GENESIS if kept is None else ChainHead(kept.number, kept.digest)
        """Up to here every entry was seen to follow the one before it."""
        self._trouble = ""

    @property
    def kept(self) -> Checkpoint | None:
        """The last checkpoint that was signed here."""
        return self._kept

    @property
    def followed(self) -> ChainHead:
        """The last entry that was seen to follow from what was signed."""
        return self._followed

    @property
    def trouble(self) -> str:
        """Why nothing is signed any more: the trail is not what it was. "" while it is."""
        return self._trouble

    async def follow(self, now: UnixSeconds, *, at_once: bool) -> Outcome[Checkpoint | None, str]:
        """Look at what is new, and sign it when that is due or wanted `at_once`; None when it was not.

        Failure, in words: the database is away, or the trail was tampered with; the latter stays.
        """
        if self._trouble:
            return Failure(self._trouble)
        told = await self._store.audit_head()
        if not isinstance(told, Success):
            return _words(error_of(told))
        looked = await self._look(value_of(told))
        if not isinstance(looked, Success):
            return looked
        last = await self._store.last_checkpoint()
        if not isinstance(last, Success):
            return _words(error_of(last))
        before = value_of(last)
        if not _is_due(self._followed.number, before, now, at_once=at_once):
            return Success(None)
        return await self._sign(0 if before is None else before.number, now)

    async def _look(self, head: ChainHead) -> Outcome[None, str]:
        """Success when the entries up to `head` follow from those that were followed before."""
        followed = self._followed
        if head.number < followed.number:
            return self._stop(f"the entries {head.number + 1} to {followed.number} are gone from the database")
        if followed.number:
            again = await self._store.audit_range(followed.number, followed.number, 1)
            if not isinstance(again, Success):
                return _words(error_of(again))
            if [entry.digest for entry in value_of(again)] != [followed.digest]:
                return self._stop(f"entry {followed.number}, or one before it, is not what it was")
        while self._followed.number < head.number:
            block = await self._store.audit_range(self._followed.number + 1, head.number, BLOCK)
            if not isinstance(block, Success):
                return _words(error_of(block))
            if not value_of(block):
                return self._stop(f"entry {self._followed.number + 1} is gone from the database")
            for entry in value_of(block):
                is_next = (entry.number, entry.previous) == (self._followed.number + 1, self._followed.digest)
                if not is_next or digest_of(entry.previous, entry.number, entry.facts) != entry.digest:
                    return self._stop(f"entry {entry.number} does not follow from entry {self._followed.number}")
                self._followed = entry.head
        return Success(None)

    async def _sign(self, before: int, now: UnixSeconds) -> Outcome[Checkpoint | None, str]:
        point = checkpoint_of(self._followed, before, now, self._key.private)
        if point is None:
            return Failure("the key of the audit trail cannot be used")
        added = await self._store.add_checkpoint(point)
        if not isinstance(added, Success):
            error = error_of(added)
            # Another control process on the same database was first.
            return Success(None) if isinstance(error, AlreadyExists) else _words(error)
        kept = witness.keep_checkpoint(self._directory, point)
        if not isinstance(kept, Success):
            return Failure(witness.describe(error_of(kept)))
        self._kept = point
        return Success(point)

    def _stop(self, what: str) -> Failure[str]:
        """Sign nothing any more: a signature now would make the change good."""
        advice = (
            f"see `tunnel audit export` and `verify`; after a restore of an older database, remove {witness.CHECKPOINT}"
        )
        self._trouble = f"the audit trail was tampered with: {what}; {advice}"
        return Failure(self._trouble)


async def open_keeper(store: AuditStore, directory: Path) -> Outcome[Keeper, str]:
    """A keeper with the key and the last checkpoint of the state directory; Failure, in words: a file is damaged."""
    key = witness.audit_key(directory)
    if not isinstance(key, Success):
        return Failure(witness.describe(error_of(key)))
    kept = witness.kept_checkpoint(directory)
    if not isinstance(kept, Success):
        return Failure(witness.describe(error_of(kept)))
    return Success(Keeper(store, directory, value_of(key), value_of(kept)))


def _is_due(number: int, last: Checkpoint | None, now: UnixSeconds, *, at_once: bool) -> bool:
    if last is None:
        return number > 0
    new = number - last.number
    return new > 0 and (at_once or new >= ENTRIES_BETWEEN or now - last.at >= SECONDS_BETWEEN)


def _words(error: StoreError) -> Failure[str]:
    return Failure(errors.describe(error))
