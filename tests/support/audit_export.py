"""Exports of an audit trail for tests, and the ways to tamper with one, each with what has to be found of it."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, final

from tunnel.core.audit.checkpoint import Checkpoint, checkpoint_of
from tunnel.core.audit.entry import GENESIS, AuditEntry, AuditFacts, ChainHead, next_entry
from tunnel.core.audit.findings import (
    ChainRewritten,
    CheckpointForged,
    CheckpointOutOfPlace,
    CheckpointsMissing,
    EntriesMissing,
    EntryAltered,
    EntryOutOfPlace,
    Finding,
    KeyUnknown,
    LinkBroken,
    SealBroken,
    SealMissing,
    Verdict,
)
from tunnel.core.audit.lines import Header, Line, Seal, folded, line_bytes, seal_of
from tunnel.core.audit.verify import Verification
from tunnel.core.base.ids import UnixSeconds
from tunnel.core.base.partial import public_key_of
from tunnel.core.control.act import Act
from tunnel.core.token.token import AccountId

KEY: Final = bytes(range(32))
PUBLIC: Final = public_key_of(KEY) or b""
OTHER_KEY: Final = bytes(range(1, 33))
AT: Final = UnixSeconds(1_795_370_000)


@final
@dataclass(frozen=True, slots=True)
class Tampered:
    """What somebody without the key made of an export, and whether a verdict names what was done and where."""

    lines: Sequence[Line]
    is_located: Callable[[Verdict], bool]


def dice_of(seed: int) -> Random:
    """Randomness that repeats."""
    return Random(seed)  # noqa: S311 - test data


def some_facts(dice: Random) -> AuditFacts:
    """Facts such as a store writes, of random content."""
    word = dice.choice(("account.create", "token.revoke", "session.end", "name.reserve", "\u00e9tat", ""))
    act = Act(f"mail{dice.randrange(9)}@example.com", "192.0.2.7", "k_abc", f"r{dice.randrange(99)}")
    account = AccountId(dice.randbytes(16)) if dice.random() < 0.8 else None
    after = f'{{"n":{dice.randrange(10**6)}}}'
    return AuditFacts(act, word, f"subject {dice.randrange(10**6)}", account, "", after, UnixSeconds(AT + 1))


def some_chain(dice: Random, count: int, after: ChainHead = GENESIS) -> list[AuditEntry]:
    """`count` entries that follow each other."""
    entries: list[AuditEntry] = []
    for _ in range(count):
        entries.append(next_entry(entries[-1].head if entries else after, some_facts(dice)))
    return entries


def signed(head: ChainHead, before: int, key: bytes = KEY) -> Checkpoint:
    """A checkpoint of `head`."""
    point = checkpoint_of(head, before, AT, key)
    assert point is not None
    return point


def export_of(entries: Sequence[AuditEntry], points: Sequence[int], witness: Checkpoint | None = None) -> list[Line]:
    """The whole export of `entries` with checkpoints at these numbers, as the one who has the key writes it."""
    lines: list[Line] = [
        Header(entries[0].number if entries else 1, entries[0].previous if entries else bytes(32), PUBLIC)
    ]
    before = 0
    for entry in entries:
        lines.append(entry)
        if entry.number in points:
            lines.append(signed(entry.head, before))
            before = entry.number
    if witness is not None:
        lines.append(witness)
    return sealed(lines, KEY)


def sealed(lines: Sequence[Line], key: bytes) -> list[Line]:
    """The lines, and a seal of `key` over them."""
    fold = b""
    for line in lines:
        fold = folded(fold, line_bytes(line))
    numbers = [line.number for line in lines if isinstance(line, AuditEntry)]
    seal = seal_of(fold, numbers[-1] if numbers else 0, AT, key)
    assert seal is not None
    return [*lines, seal]


def verdict_of(lines: Sequence[Line], trusted: frozenset[bytes] = frozenset({PUBLIC})) -> Verdict:
    """What verification says of the lines."""
    return verdict_of_bytes([line_bytes(line) for line in lines], trusted)


def verdict_of_bytes(lines: Sequence[bytes], trusted: frozenset[bytes] = frozenset({PUBLIC})) -> Verdict:
    """What verification says of these bytes, line by line."""
    verification = Verification(trusted)
    for line in lines:
        verification.receive_line(line)
    return verification.verdict()


def _has(wanted: type[Finding], **facts: object) -> Callable[[Verdict], bool]:
    """Whether a verdict has such a finding with these facts."""

    def found(verdict: Verdict) -> bool:
        return any(
            isinstance(finding, wanted) and all(getattr(finding, name) == fact for name, fact in facts.items())
            for finding in verdict.findings
        )

    return found


def _rewritten(lines: Sequence[Line], changed: int) -> Callable[[Verdict], bool]:
    """What is to be found when entries from `changed` on were chained anew: at the first checkpoint, or the seal."""
    points = [line.number for line in lines if isinstance(line, Checkpoint)]
    later = [number for number in points if number >= changed]
    if not later:
        return _has(SealBroken)
    earlier = [number for number in points if number < changed]
    return _has(ChainRewritten, after=max(earlier, default=0), number=later[0])


def _rechained(lines: Sequence[Line]) -> list[Line]:
    """All entries numbered and chained anew, and checkpoints in their places: the best one can do without the key."""
    points = {line.number: line for line in lines if isinstance(line, Checkpoint)}
    head = GENESIS
    made: list[Line] = [lines[0]]
    for line in lines:
        if isinstance(line, AuditEntry):
            entry = next_entry(head, line.facts)
            head = entry.head
            made.append(entry)
            if entry.number in points:
                made.append(points.pop(entry.number))
    return [*made, *points.values(), lines[-1]]


def _entry_places(lines: Sequence[Line]) -> list[int]:
    return [place for place, line in enumerate(lines) if isinstance(line, AuditEntry)]


def _point_places(lines: Sequence[Line]) -> list[int]:
    return [place for place, line in enumerate(lines) if isinstance(line, Checkpoint)]


def _entry_at(lines: Sequence[Line], place: int) -> AuditEntry:
    line = lines[place]
    assert isinstance(line, AuditEntry)
    return line


def _changed(entry: AuditEntry, dice: Random) -> AuditFacts:
    """Other facts than those of the entry: one of them is different."""
    facts, act = entry.facts, entry.facts.act
    return dice.choice(
        [
            dataclasses.replace(facts, action=facts.action + "x"),
            dataclasses.replace(facts, subject=facts.subject[:-1]),
            dataclasses.replace(facts, account=AccountId(dice.randbytes(16))),
            dataclasses.replace(facts, before=facts.after, after=facts.before),
            dataclasses.replace(facts, at=UnixSeconds(facts.at + dice.choice((-1, 1)))),
            dataclasses.replace(facts, act=dataclasses.replace(act, identity="nobody@example.com")),
            dataclasses.replace(facts, act=dataclasses.replace(act, address=act.key, key=act.address)),
        ]
    )


def edit(lines: Sequence[Line], dice: Random) -> Tampered:
    """Change a fact of one entry."""
    place = dice.choice(_entry_places(lines))
    entry = _entry_at(lines, place)
    made = [*lines]
    made[place] = dataclasses.replace(entry, facts=_changed(entry, dice))
    return Tampered(made, _has(EntryAltered, line=place + 1, number=entry.number))


def edit_with_digest(lines: Sequence[Line], dice: Random) -> Tampered:
    """Change a fact and the digest of one entry."""
    place = dice.choice(_entry_places(lines))
    entry = _entry_at(lines, place)
    made = [*lines]
    made[place] = next_entry(ChainHead(entry.number - 1, entry.previous), _changed(entry, dice))
    after = lines[place + 1]
    if isinstance(after, AuditEntry):
        return Tampered(made, _has(LinkBroken, line=place + 2, number=entry.number + 1))
    return Tampered(made, _rewritten(lines, entry.number))


def edit_and_chain_anew(lines: Sequence[Line], dice: Random) -> Tampered:
    """Change a fact of one entry and all digests from there on."""
    place = dice.choice(_entry_places(lines))
    entry = _entry_at(lines, place)
    made = [*lines]
    made[place] = dataclasses.replace(entry, facts=_changed(entry, dice))
    return Tampered(_rechained(made), _rewritten(lines, entry.number))


def delete(lines: Sequence[Line], dice: Random) -> Tampered:
    """Take some entries out that follow each other; checkpoints among them stay."""
    places = _entry_places(lines)
    first = dice.randrange(len(places))
    gone = places[first : first + dice.randint(1, 3)]
    numbers = [_entry_at(lines, place).number for place in gone]
    made = [line for place, line in enumerate(lines) if place not in gone]
    # A checkpoint in the gap says itself what is missing before it: as out of place, when entries follow.
    within = any(isinstance(lines[place], Checkpoint) for place in range(gone[0], gone[-1] + 2))
    if not within:
        return Tampered(made, _has(EntriesMissing, first=numbers[0], last=numbers[-1]))
    return Tampered(made, lambda verdict: _names_a_gap(verdict, numbers))


def _names_a_gap(verdict: Verdict, numbers: Sequence[int]) -> bool:
    """Whether the gaps that the verdict names are exactly these numbers."""
    gaps = [range(one.first, one.last + 1) for one in verdict.findings if isinstance(one, EntriesMissing)]
    return {number for gap in gaps for number in gap} == set(numbers)


def delete_and_chain_anew(lines: Sequence[Line], dice: Random) -> Tampered:
    """Take one entry out and number and chain the rest anew."""
    place = dice.choice(_entry_places(lines))
    number = _entry_at(lines, place).number
    made = _rechained([line for at, line in enumerate(lines) if at != place])
    last = _entry_at(lines, _entry_places(lines)[-1]).number
    points = [line.number for line in lines if isinstance(line, Checkpoint) and line.number >= number]
    if points[:1] in ([], [last]):
        return Tampered(made, lambda verdict: _names_a_gap(verdict, [last]))
    return Tampered(made, _rewritten(lines, number))


def insert(lines: Sequence[Line], dice: Random) -> Tampered:
    """Put a forged entry behind another, with the number that comes next."""
    place = dice.choice(_entry_places(lines))
    entry = _entry_at(lines, place)
    forged = next_entry(entry.head, some_facts(dice))
    made = [*lines[: place + 1], forged, *lines[place + 1 :]]
    if isinstance(lines[place + 1], Checkpoint):
        return Tampered(made, _has(CheckpointOutOfPlace, line=place + 3, number=entry.number, after=forged.number))
    if isinstance(lines[place + 1], Seal):
        return Tampered(made, _has(SealBroken))
    return Tampered(made, _has(EntryOutOfPlace, line=place + 3, seen=forged.number))


def insert_and_chain_anew(lines: Sequence[Line], dice: Random) -> Tampered:
    """Put a forged entry behind another and number and chain the rest anew."""
    place = dice.choice(_entry_places(lines))
    entry = _entry_at(lines, place)
    made = _rechained([*lines[: place + 1], next_entry(entry.head, some_facts(dice)), *lines[place + 1 :]])
    return Tampered(made, _rewritten(lines, entry.number + 1))


def repeat(lines: Sequence[Line], dice: Random) -> Tampered:
    """Write an entry again somewhere behind itself."""
    places = _entry_places(lines)
    place = dice.choice(places)
    to = dice.choice([at for at in places if at >= place]) + 1
    made = [*lines[:to], lines[place], *lines[to:]]
    return Tampered(made, _has(EntryOutOfPlace, line=to + 1, seen=_entry_at(lines, place).number))


def swap(lines: Sequence[Line], dice: Random) -> Tampered:
    """Let two entries change their places."""
    one, other = sorted(dice.sample(_entry_places(lines), 2))
    made = [*lines]
    made[one], made[other] = lines[other], lines[one]
    return Tampered(made, _has(EntryOutOfPlace, line=other + 1, seen=_entry_at(lines, one).number))


def swap_and_chain_anew(lines: Sequence[Line], dice: Random) -> Tampered:
    """Let two entries change their places, and number and chain all anew."""
    one, other = sorted(dice.sample(_entry_places(lines), 2))
    made = [*lines]
    made[one], made[other] = lines[other], lines[one]
    return Tampered(_rechained(made), _rewritten(lines, _entry_at(lines, one).number))


def drop_checkpoint(lines: Sequence[Line], dice: Random) -> Tampered:
    """Take a checkpoint out."""
    places = _point_places(lines)
    at = dice.randrange(len(places))
    made = [line for place, line in enumerate(lines) if place != places[at]]
    if at + 1 == len(places):
        return Tampered(made, _has(SealBroken))
    gone = lines[places[at]]
    assert isinstance(gone, Checkpoint)
    return Tampered(made, _has(CheckpointsMissing, line=places[at + 1], seen=gone.number))


def swap_checkpoints(lines: Sequence[Line], dice: Random) -> Tampered:
    """Let two checkpoints change their places."""
    one, other = sorted(dice.sample(_point_places(lines), 2))
    made = [*lines]
    made[one], made[other] = lines[other], lines[one]
    return Tampered(made, _has(CheckpointOutOfPlace, line=one + 1))


def alter_checkpoint(lines: Sequence[Line], dice: Random) -> Tampered:
    """Let a checkpoint say another digest, and so vouch for another chain."""
    place = dice.choice(_point_places(lines))
    point = lines[place]
    assert isinstance(point, Checkpoint)
    made = [*lines]
    made[place] = dataclasses.replace(point, digest=dice.randbytes(32))
    return Tampered(made, _has(CheckpointForged, line=place + 1, number=point.number))


def sign_with_another_key(lines: Sequence[Line], dice: Random) -> Tampered:
    """Change an entry, chain all anew and sign it with a key of one's own, header and seal included."""
    tampered = edit_and_chain_anew(lines, dice)
    public = public_key_of(OTHER_KEY) or b""
    made: list[Line] = []
    head, before = GENESIS, 0
    for line in tampered.lines[1:-1]:
        if isinstance(line, Checkpoint):
            made.append(signed(head, before, OTHER_KEY))
            before = head.number
        elif isinstance(line, AuditEntry):
            head = line.head
            made.append(line)
    return Tampered(sealed([Header(1, bytes(32), public), *made], OTHER_KEY), _has(KeyUnknown, line=1, key=public))


def cut(lines: Sequence[Line], dice: Random) -> Tampered:
    """Cut the file off behind a line."""
    kept = dice.randint(1, len(lines) - 1)
    numbers = [line.number for line in lines[:kept] if isinstance(line, AuditEntry)]
    return Tampered(lines[:kept], _has(SealMissing, line=kept, last=numbers[-1] if numbers else 0))


def cut_and_keep_the_seal(lines: Sequence[Line], dice: Random) -> Tampered:
    """Take the last entries out, and every checkpoint behind them, and leave the seal."""
    places = _entry_places(lines)
    first = dice.choice(places)
    number = _entry_at(lines, first).number
    last = _entry_at(lines, places[-1]).number
    return Tampered([*lines[:first], lines[-1]], _has(EntriesMissing, first=number, last=last))


KINDS: Final[tuple[Callable[[Sequence[Line], Random], Tampered], ...]] = (
    edit,
    edit_with_digest,
    edit_and_chain_anew,
    delete,
    delete_and_chain_anew,
    insert,
    insert_and_chain_anew,
    repeat,
    swap,
    swap_and_chain_anew,
    drop_checkpoint,
    swap_checkpoints,
    alter_checkpoint,
    sign_with_another_key,
    cut,
    cut_and_keep_the_seal,
)
"""Every way of tampering. All but the last two of them take an export that has at least two entries and checkpoints."""
