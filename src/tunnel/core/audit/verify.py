"""Checks an export of the audit trail line by line, in the memory of one line (AUDIT-VERIFY).

What a chain cannot show: the loss of entries after the last checkpoint, when it happened before the export was written.
That is why the one who signs keeps the last checkpoint apart from the database, and the export has it (ADR 0058).
"""

from collections.abc import Set as AbstractSet
from typing import Final, final

from tunnel.core.audit.checkpoint import Checkpoint, checkpoint_holds
from tunnel.core.audit.entry import GENESIS, AuditEntry, ChainHead, digest_of
from tunnel.core.audit.findings import (
    ChainRewritten,
    CheckpointForged,
    CheckpointOutOfPlace,
    CheckpointsMissing,
    EntriesMissing,
    EntryAltered,
    EntryOutOfPlace,
    Finding,
    HeaderMisplaced,
    KeyUnknown,
    LineAfterSeal,
    LineUnknown,
    LinkBroken,
    SealBroken,
    SealMissing,
    Verdict,
)
from tunnel.core.audit.lines import Header, Seal, folded, line_of, seal_holds

FINDINGS_KEPT: Final = 100
"""A file that was cut about in so many places is read by nobody to its end; the rest are counted."""


@final
class Verification:
    """Feed every line in, each with its end; finished by `verdict`. What does not fit is a finding, never the end."""

    def __init__(self, trusted: AbstractSet[bytes]) -> None:
        """`trusted` are the public keys that may sign; with none, the key that the file names is taken at its word."""
        self._trusted: Final = set(trusted)
        self._findings: list[Finding] = []
        self._findings_total = 0
        self._line = 0
        self._fold = b""
        self._key = b""
        self._head: ChainHead | None = None
        """The last entry in place, by what it carries; None before a header or an entry was seen."""
        self._first = 1
        self._entries = 0
        self._checkpoints = 0
        self._point: int | None = None
        """The last checkpoint seen; None before the first in a file that does not begin with entry 1."""
        self._ahead: tuple[int, int] | None = None
        """Line and number of a checkpoint for an entry that has not come: it is out of place, or the entry is gone."""
        self._covered_to = 0
        self._seal_line = 0
        self._sealed_by = b""

    def receive_line(self, data: bytes) -> None:
        """Take the next line."""
        self._line += 1
        if self._seal_line:
            self._find(LineAfterSeal(self._line))
            return
        line = line_of(data)
        if isinstance(line, Seal):
            self._on_seal(line)
        elif isinstance(line, Header):
            self._on_header(line)
        else:
            if self._line == 1:
                self._find(HeaderMisplaced(1))
            if isinstance(line, AuditEntry):
                self._on_entry(line)
            elif isinstance(line, Checkpoint):
                self._on_checkpoint(line)
            else:
                self._find(LineUnknown(self._line))
        self._fold = folded(self._fold, data)

    def verdict(self) -> Verdict:
        """What was found, once the last line was taken."""
        head = GENESIS if self._head is None else self._head
        if not self._seal_line:
            self._seal_line = self._line
            self._miss_what_is_ahead(head)
            self._find(SealMissing(self._line, head.number))
        return Verdict(
            self._entries,
            self._checkpoints,
            head,
            self._covered_to,
            self._sealed_by,
            tuple(self._findings),
            self._findings_total,
        )

    def _on_header(self, header: Header) -> None:
        if self._line > 1:
            self._find(HeaderMisplaced(self._line))
            return
        self._key = header.key
        self._first = header.first
        self._head = ChainHead(header.first - 1, header.previous)
        if header.first <= 1:
            self._point = 0
        if header.first < 1 or (header.first == 1 and header.previous != GENESIS.digest):
            self._find(HeaderMisplaced(1))
        if not self._trusted:
            self._trusted.add(header.key)
        elif header.key not in self._trusted:
            self._find(KeyUnknown(1, header.key))

    def _on_entry(self, entry: AuditEntry) -> None:
        self._entries += 1
        if self._ahead is not None:
            line, number = self._ahead
            self._ahead = None
            self._find(CheckpointOutOfPlace(line, number, entry.number - 1))
        made = digest_of(entry.previous, entry.number, entry.facts)
        if made != entry.digest:
            self._find(EntryAltered(self._line, entry.number, made, entry.digest))
        head = self._head
        if head is None:
            self._first = entry.number
        elif entry.number <= head.number:
            # The place is kept: what follows is compared with the entry that was here in its turn.
            self._find(EntryOutOfPlace(self._line, head.number + 1, entry.number))
            return
        elif entry.number > head.number + 1:
            self._find(EntriesMissing(self._line, head.number + 1, entry.number - 1))
        elif entry.previous != head.digest:
            self._find(LinkBroken(self._line, entry.number, head.digest, entry.previous))
        self._head = entry.head

    def _on_checkpoint(self, point: Checkpoint) -> None:
        self._checkpoints += 1
        if not checkpoint_holds(point):
            self._find(CheckpointForged(self._line, point.number))
        elif point.key not in self._trusted:
            self._find(KeyUnknown(self._line, point.key))
            self._point = point.number
        else:
            self._check_order(point)
            self._check_place(point)

    def _check_order(self, point: Checkpoint) -> None:
        """Each checkpoint names the one before it, so none can be taken out of the middle."""
        if self._point is None:
            if point.before >= self._first:
                self._find(CheckpointsMissing(self._line, point.number, 0, point.before))
        elif point.before != self._point:
            self._find(CheckpointsMissing(self._line, point.number, self._point, point.before))
        self._point = point.number

    def _check_place(self, point: Checkpoint) -> None:
        head = GENESIS if self._head is None else self._head
        if point.number > head.number:
            self._ahead = (self._line, point.number)
        elif point.number < head.number:
            self._find(CheckpointOutOfPlace(self._line, point.number, head.number))
        elif point.digest != head.digest:
            after = max(self._covered_to, self._first - 1)
            self._find(ChainRewritten(self._line, after, point.number, point.digest, head.digest))
        else:
            self._covered_to = point.number

    def _on_seal(self, seal: Seal) -> None:
        self._seal_line = self._line
        if self._line == 1:
            self._find(HeaderMisplaced(1))
        head = GENESIS if self._head is None else self._head
        self._miss_what_is_ahead(head)
        if seal.last > head.number:
            self._find(EntriesMissing(self._line, head.number + 1, seal.last))
        if self._key in self._trusted and seal_holds(seal, self._fold, self._key):
            self._sealed_by = self._key
        else:
            self._find(SealBroken(self._line))

    def _miss_what_is_ahead(self, head: ChainHead) -> None:
        if self._ahead is not None:
            line, number = self._ahead
            self._find(EntriesMissing(line, head.number + 1, number))

    def _find(self, finding: Finding) -> None:
        self._findings_total += 1
        if len(self._findings) < FINDINGS_KEPT:
            self._findings.append(finding)
