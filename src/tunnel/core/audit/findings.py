"""What does not fit in an export of the audit trail, with its place: lines count from 1, entries by their numbers."""

from dataclasses import dataclass
from typing import Final, TypeAlias, final

from tunnel.core.audit.entry import ChainHead

_DIGITS: Final = 16
"""Of a digest in hexadecimal; enough to compare by eye, and all of it is in the file."""


@final
@dataclass(frozen=True, slots=True)
class LineUnknown:
    """Not a line of an export, or not in its one spelling."""

    line: int


@final
@dataclass(frozen=True, slots=True)
class HeaderMisplaced:
    """The first line is no header, or a later one is."""

    line: int


@final
@dataclass(frozen=True, slots=True)
class EntryAltered:
    """The content of an entry makes the digest `expected`, and it carries `seen`."""

    line: int
    number: int
    expected: bytes
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class EntriesMissing:
    """What stands in this line comes after the entries `first` to `last`, which are not there."""

    line: int
    first: int
    last: int


@final
@dataclass(frozen=True, slots=True)
class EntryOutOfPlace:
    """The entry `seen` stands where `expected` should: put in, doubled or moved."""

    line: int
    expected: int
    seen: int


@final
@dataclass(frozen=True, slots=True)
class LinkBroken:
    """The entry `number` was chained to one with the digest `seen`; the one before it here has `expected`."""

    line: int
    number: int
    expected: bytes
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class CheckpointForged:
    """The key that a checkpoint names did not sign it."""

    line: int
    number: int


@final
@dataclass(frozen=True, slots=True)
class KeyUnknown:
    """A checkpoint, or the header, names a key that is not among those to be trusted."""

    line: int
    key: bytes


@final
@dataclass(frozen=True, slots=True)
class CheckpointsMissing:
    """The checkpoint `number` says that the one before it is `seen`; in this file it is `expected`."""

    line: int
    number: int
    expected: int
    seen: int


@final
@dataclass(frozen=True, slots=True)
class CheckpointOutOfPlace:
    """The checkpoint `number` stands after the entry `after`, which is not the one that it signs."""

    line: int
    number: int
    after: int


@final
@dataclass(frozen=True, slots=True)
class ChainRewritten:
    """A checkpoint signed the digest `expected` for the entry `number`, which has `seen` now.

    The entries after `after`, where the checkpoint before still holds, were changed and chained anew, or some of them.
    """

    line: int
    after: int
    number: int
    expected: bytes
    seen: bytes


@final
@dataclass(frozen=True, slots=True)
class SealMissing:
    """The file ends without its seal after `line`: cut off behind the entry `last`, or not complete yet."""

    line: int
    last: int


@final
@dataclass(frozen=True, slots=True)
class SealBroken:
    """The lines are not those that were sealed: at least one was changed, put in or taken out after the export."""

    line: int


@final
@dataclass(frozen=True, slots=True)
class LineAfterSeal:
    """Something stands behind the end."""

    line: int


Finding: TypeAlias = (
    LineUnknown
    | HeaderMisplaced
    | EntryAltered
    | EntriesMissing
    | EntryOutOfPlace
    | LinkBroken
    | CheckpointForged
    | KeyUnknown
    | CheckpointsMissing
    | CheckpointOutOfPlace
    | ChainRewritten
    | SealMissing
    | SealBroken
    | LineAfterSeal
)


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """What an export held and what does not fit in it; `findings` are the first of `findings_total`.

    `covered_to` is the last entry that a checkpoint vouches for, `sealed_by` the key whose seal holds, b"" for none.
    """

    entries: int
    checkpoints: int
    last: ChainHead
    covered_to: int
    sealed_by: bytes
    findings: tuple[Finding, ...]
    findings_total: int


def describe(finding: Finding) -> str:
    """Where it is, what was expected and what was seen."""
    if isinstance(finding, (EntryAltered, EntriesMissing, EntryOutOfPlace, LinkBroken)):
        words = _describe_entry(finding)
    elif isinstance(finding, (CheckpointForged, CheckpointsMissing, CheckpointOutOfPlace, ChainRewritten)):
        words = _describe_checkpoint(finding)
    else:
        words = _describe_file(finding)
    return f"line {finding.line}: {words}"


def _describe_entry(finding: EntryAltered | EntriesMissing | EntryOutOfPlace | LinkBroken) -> str:
    if isinstance(finding, EntryAltered):
        made, carried = _digits(finding.expected), _digits(finding.seen)
        return f"entry {finding.number} was altered: its content makes the digest {made}, it carries {carried}"
    if isinstance(finding, EntriesMissing):
        return f"{_entries(finding.first, finding.last)} missing before this line"
    if isinstance(finding, EntryOutOfPlace):
        return f"entry {finding.seen} is out of place: entry {finding.expected} was expected here"
    expected, seen = _digits(finding.expected), _digits(finding.seen)
    return (
        f"entry {finding.number} does not follow the entry before it: it was chained to {seen}, that one is {expected}"
    )


def _describe_checkpoint(
    finding: CheckpointForged | CheckpointsMissing | CheckpointOutOfPlace | ChainRewritten,
) -> str:
    at = f"the checkpoint at entry {finding.number}"
    if isinstance(finding, CheckpointForged):
        return f"{at} is forged or damaged: the key that it names did not sign it"
    if isinstance(finding, CheckpointsMissing):
        return f"{at} follows the one at {finding.seen}; the one before it here is at {finding.expected}"
    if isinstance(finding, CheckpointOutOfPlace):
        return f"{at} stands after entry {finding.after}"
    signed, seen = _digits(finding.expected), _digits(finding.seen)
    within = f"between {finding.after + 1} and {finding.number}"
    return f"{at} signed the digest {signed}, the chain has {seen} there: entries {within} were rewritten"


def _describe_file(
    finding: LineUnknown | HeaderMisplaced | KeyUnknown | SealMissing | SealBroken | LineAfterSeal,
) -> str:
    if isinstance(finding, LineUnknown):
        return "this is no line of an export, or it is not spelled as an export spells it"
    if isinstance(finding, HeaderMisplaced):
        return "an export has one header, which is its first line"
    if isinstance(finding, KeyUnknown):
        return (
            f"signed by the key {finding.key.hex()}, which is not one of those given with --key, or, with none given, "
            "not the one in the first line; if it is another server's on the same database, give it too"
        )
    if isinstance(finding, SealMissing):
        return f"the file ends here without a seal: it was cut off behind entry {finding.last}, or is not complete yet"
    if isinstance(finding, SealBroken):
        return "the seal does not hold: a line before it was changed, put in or taken out after the export"
    return "there is something behind the seal"


def _entries(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def _digits(digest: bytes) -> str:
    return digest.hex()[:_DIGITS]
