"""Verification of an export of the audit trail: one that was not touched has no finding, every tampering is located.

`tests/support/audit_export.py` has the ways to tamper, sixteen of them, as somebody does who has everything but the
key; each is planted at random places, the ends among them, and says itself which finding has to name it. Single bytes
of the file are changed, too. What no chain can show is shown as well: that nothing is claimed of it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from hashlib import sha256
from random import Random
from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.audit_export import (
    AT,
    KEY,
    KINDS,
    OTHER_KEY,
    PUBLIC,
    Tampered,
    dice_of,
    export_of,
    sealed,
    signed,
    some_chain,
    verdict_of,
    verdict_of_bytes,
)

from tunnel.core.audit.checkpoint import Checkpoint
from tunnel.core.audit.entry import AuditEntry, ChainHead, next_entry
from tunnel.core.audit.findings import (
    CheckpointsMissing,
    EntriesMissing,
    EntryAltered,
    Finding,
    HeaderMisplaced,
    KeyUnknown,
    LineAfterSeal,
    LineUnknown,
    SealBroken,
    SealMissing,
    describe,
)
from tunnel.core.audit.lines import LINE_BYTES_MAX, Header, Line, Seal, line_bytes, line_of, seal_of
from tunnel.core.audit.verify import FINDINGS_KEPT
from tunnel.core.base.partial import public_key_of

SEEDS = st.integers(0, 1 << 32)


@pytest.mark.shows("AUDIT-VERIFY-001")
@given(SEEDS, st.integers(0, 30), st.sets(st.integers(1, 30)), st.integers(0, 30))
def test_an_export_that_nobody_touched_has_no_finding(seed: int, count: int, points: set[int], left_out: int) -> None:
    entries = some_chain(dice_of(seed), count)
    part = entries[left_out:]
    lines = export_of(part, sorted(points))
    if part and part[0].number > 1:
        # The first checkpoint of a part follows one that stood before it.
        place = next((at for at, line in enumerate(lines) if isinstance(line, Checkpoint)), None)
        if place is not None:
            first = lines[place]
            assert isinstance(first, Checkpoint)
            lines[place] = signed(ChainHead(first.number, first.digest), part[0].number - 1)
            lines = sealed(lines[:-1], KEY)
    verdict = verdict_of(lines)
    assert verdict.findings == ()
    assert verdict.entries == len(part)
    assert verdict.sealed_by == PUBLIC
    covered = [number for number in points if any(entry.number == number for entry in part)]
    assert verdict.covered_to == max(covered, default=0)
    assert verdict.checkpoints == len(covered)
    assert not part or verdict.last == part[-1].head


@pytest.mark.shows("AUDIT-VERIFY-002", "AUDIT-VERIFY-003")
@pytest.mark.parametrize("plant", KINDS, ids=[kind.__name__ for kind in KINDS])
@settings(max_examples=40)
@given(SEEDS, st.integers(3, 14), st.data())
def test_each_tampering_is_found_and_located(
    plant: Callable[[Sequence[Line], Random], Tampered], seed: int, count: int, data: st.DataObject
) -> None:
    dice = dice_of(seed)
    points = data.draw(st.sets(st.integers(1, count), min_size=2))
    lines = export_of(some_chain(dice, count), sorted(points))
    tampered = plant(lines, dice)
    if [line_bytes(line) for line in tampered.lines] == [line_bytes(line) for line in lines]:
        return
    verdict = verdict_of(tampered.lines)
    assert tampered.is_located(verdict), (plant.__name__, verdict.findings)
    assert verdict.findings_total >= len(verdict.findings) > 0


@pytest.mark.shows("AUDIT-VERIFY-002", "AUDIT-FORM-002")
@settings(max_examples=150)
@given(SEEDS, st.integers(1, 6), st.sets(st.integers(1, 6)), st.data())
def test_any_byte_changed_put_in_or_taken_out_is_found(
    seed: int, count: int, points: set[int], data: st.DataObject
) -> None:
    whole = b"".join(line_bytes(line) for line in export_of(some_chain(dice_of(seed), count), sorted(points)))
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.sampled_from([b"", b"0", b"1", b" ", b"\n", b'"', b"\\", b"?", bytes([whole[at] ^ 0x20])]))
    width = data.draw(st.integers(0, 2))
    changed = whole[:at] + byte + whole[at + width :]
    verdict = verdict_of_bytes(changed.splitlines(keepends=True))
    assert (verdict.findings_total == 0) == (changed == whole)
    if changed != whole:
        line = whole[:at].count(b"\n") + 1
        assert verdict.findings[0].line >= line - 1


@pytest.mark.shows("AUDIT-VERIFY-004")
@given(SEEDS, st.integers(2, 12), st.data())
def test_a_database_cut_back_behind_a_checkpoint_is_found_by_the_one_kept_apart(
    seed: int, count: int, data: st.DataObject
) -> None:
    entries = some_chain(dice_of(seed), count)
    last = data.draw(st.integers(1, count - 1))
    kept = data.draw(st.integers(last + 1, count))
    witness = signed(entries[kept - 1].head, 0)
    verdict = verdict_of(export_of(entries[:last], (), witness))
    assert EntriesMissing(last + 2, last + 1, kept) in verdict.findings
    # The chain alone does not show it: what came after the last checkpoint that anybody has is not vouched for.
    verdict = verdict_of(export_of(entries[:last], (1,)))
    assert verdict.findings == ()
    assert verdict.covered_to == 1


@pytest.mark.shows("AUDIT-VERIFY-005")
def test_a_key_is_trusted_when_it_is_given_or_when_none_is() -> None:
    entries = some_chain(dice_of(1), 4)
    other = public_key_of(OTHER_KEY) or b""
    first = signed(entries[1].head, 0, OTHER_KEY)
    lines = sealed([Header(1, bytes(32), PUBLIC), *entries[:2], first, *entries[2:], signed(entries[3].head, 2)], KEY)
    assert verdict_of(lines, frozenset({PUBLIC, other})).findings == ()
    assert verdict_of(lines).findings == (KeyUnknown(4, other),)
    assert verdict_of(lines, frozenset()).findings == (KeyUnknown(4, other),)
    assert verdict_of(lines, frozenset({other})).findings == (
        KeyUnknown(1, PUBLIC),
        KeyUnknown(7, PUBLIC),
        SealBroken(8),
    )
    assert verdict_of(export_of(entries, (4,)), frozenset()).sealed_by == PUBLIC


@pytest.mark.shows("AUDIT-FORM-001")
def test_a_file_that_is_no_export_has_findings() -> None:
    entries = some_chain(dice_of(1), 2)
    lines = export_of(entries, (2,))
    assert verdict_of([]).findings == (SealMissing(0, 0),)
    assert verdict_of(lines[1:-1]).findings == (HeaderMisplaced(1), SealMissing(3, 2))
    assert verdict_of(lines[-1:]).findings == (HeaderMisplaced(1), EntriesMissing(1, 1, 2), SealBroken(1))
    assert verdict_of([lines[0], *lines]).findings == (HeaderMisplaced(2), SealBroken(6))
    assert verdict_of([*lines, lines[1]]).findings == (LineAfterSeal(6),)
    assert verdict_of(sealed([Header(1, bytes([1]) * 32, PUBLIC)], KEY)).findings == (HeaderMisplaced(1),)
    assert HeaderMisplaced(1) in verdict_of(sealed([Header(0, bytes(32), PUBLIC)], KEY)).findings
    assert verdict_of_bytes([b"", b"GET / HTTP/1.1\r\n"]).findings == (
        HeaderMisplaced(1),
        LineUnknown(1),
        LineUnknown(2),
        SealMissing(2, 0),
    )
    assert verdict_of([signed(entries[0].head, 0)]).findings == (
        HeaderMisplaced(1),
        EntriesMissing(1, 1, 1),
        SealMissing(1, 0),
    )
    assert seal_of(b"", 0, AT, KEY[1:]) is None


@pytest.mark.shows("AUDIT-VERIFY-002")
def test_a_part_whose_checkpoint_names_one_that_should_be_in_it_lacks_that() -> None:
    entries = some_chain(dice_of(1), 5)[2:]
    lines = sealed([Header(3, entries[0].previous, PUBLIC), *entries, signed(entries[2].head, 4)], KEY)
    assert verdict_of(lines).findings == (CheckpointsMissing(5, 5, 0, 4),)


@pytest.mark.shows("AUDIT-VERIFY-006")
def test_findings_are_counted_and_the_first_are_kept() -> None:
    lines = export_of(some_chain(dice_of(1), 3 * FINDINGS_KEPT), ())
    made = [dataclasses.replace(line, digest=bytes(32)) if isinstance(line, AuditEntry) else line for line in lines]
    verdict = verdict_of(made)
    assert len(verdict.findings) == FINDINGS_KEPT
    assert verdict.findings_total == 6 * FINDINGS_KEPT  # each digest, each link, and the seal; the first link holds


@pytest.mark.shows("AUDIT-FORM-002")
@given(st.binary())
@example(b'{"number":1}\n')
@example(b'{"number":true,"at":-1}\n')
@example(b'{"tunnel-audit":1,"first":01,"previous":"","key":""}\n')
def test_arbitrary_bytes_are_no_line(data: bytes) -> None:
    assert line_of(data) is None


@pytest.mark.shows("AUDIT-FORM-002")
@given(SEEDS, st.integers(1, 4))
def test_a_line_is_read_as_it_was_written_and_in_no_other_spelling(seed: int, count: int) -> None:
    for line in export_of(some_chain(dice_of(seed), count), range(1, count)):
        data = line_bytes(line)
        assert line_of(data) == line
        assert line_of(data.replace(b'":', b'": ', 1)) is None
        assert line_of(data[:-1]) is None
        assert line_of(data[:-1] + b"\r\n") is None
        assert line_of(b" " + data) is None


@pytest.mark.shows("AUDIT-FORM-002")
def test_a_text_that_no_entry_holds_is_no_other_way_to_write_one_that_it_does() -> None:
    facts = some_chain(dice_of(1), 1)[0].facts
    entry = next_entry(ChainHead(0, bytes(32)), dataclasses.replace(facts, action="a?b", subject="\ufffd"))
    data = line_bytes(entry)
    assert line_of(data) == entry
    assert line_of(data.replace(b"a?b", b"a\\ud800b")) is None
    assert line_of(data.replace(b"\\ufffd", b"\\u0000")) is None


@pytest.mark.shows("AUDIT-FORM-003")
def test_the_longest_entry_fits_a_line() -> None:
    facts = some_chain(dice_of(1), 1)[0].facts
    long = "\U0001f600" * (1 << 14)
    act = dataclasses.replace(facts.act, identity=long, address=long, key=long, request=long)
    entry = next_entry(
        ChainHead((1 << 62), bytes(32)),
        dataclasses.replace(facts, act=act, action=long, subject=long, before=long, after=long),
    )
    assert (1 << 14) * 24 < len(line_bytes(entry)) < LINE_BYTES_MAX


def test_every_finding_has_words_with_its_line() -> None:
    """One of each kind, by the names of its fields: numbers count from 7, digests and keys are bytes."""
    for kind in get_args(Finding):
        names = [field.name for field in dataclasses.fields(kind)]
        values: dict[str, int | bytes] = {name: 7 + at for at, name in enumerate(names)}
        if kind is KeyUnknown:
            values["key"] = b"\x07"
        if (
            "seen" in values
            and "expected" in values
            and kind.__name__ in {"EntryAltered", "LinkBroken", "ChainRewritten"}
        ):
            values |= {"seen": b"\x08", "expected": b"\x09"}
        assert describe(kind(**values)).startswith("line 7: ")
    assert "entry 4 is missing" in describe(EntriesMissing(1, 4, 4))
    assert "entries 4 to 6 are missing" in describe(EntriesMissing(1, 4, 6))
    assert describe(EntryAltered(9, 8, bytes(32), b"\xab" * 32)) == (
        "line 9: entry 8 was altered: its content makes the digest 0000000000000000, it carries abababababababab"
    )


@pytest.mark.shows("AUDIT-FORM-004")
@given(SEEDS, st.integers(0, 4))
def test_the_seal_is_that_of_the_specification(seed: int, count: int) -> None:
    *lines, seal = export_of(some_chain(dice_of(seed), count), ())
    assert isinstance(seal, Seal)
    fold = b""
    for line in lines:
        fold = sha256(fold + line_bytes(line)).digest()
    message = b"tunnel/audit-export/1\0" + fold + count.to_bytes(8, "big") + AT.to_bytes(8, "big")
    assert seal.signature == Ed25519PrivateKey.from_private_bytes(KEY).sign(message)
