"""The vectors of the audit trail in `spec/vectors/`, which another verifier can run, hold for this one."""

import json
from pathlib import Path
from typing import Final, TypedDict

import pytest
from tests.support.audit_export import verdict_of_bytes

from tunnel.core.audit.checkpoint import Checkpoint, checkpoint_holds, checkpoint_of
from tunnel.core.audit.entry import GENESIS, AuditEntry, next_entry
from tunnel.core.audit.lines import line_bytes, line_of


class Case(TypedDict):
    """One export, the keys to be trusted, and what is found in it: the kind of each finding and its line."""

    name: str
    lines: list[str]
    keys: list[str]
    entries: int
    covered_to: int
    sealed: bool
    findings: list[list[object]]


class Vectors(TypedDict):
    """The whole file."""

    private_key: str
    chain: list[str]
    checkpoint: str
    cases: list[Case]


FILE: Final = Path(__file__).parents[2] / "spec" / "vectors" / "audit-exports.json"
VECTORS: Final[Vectors] = json.loads(FILE.read_text("utf-8"))


@pytest.mark.shows("AUDIT-VERIFY-001", "AUDIT-VERIFY-002", "AUDIT-VERIFY-003", "AUDIT-VERIFY-005")
@pytest.mark.parametrize("case", VECTORS["cases"], ids=[case["name"] for case in VECTORS["cases"]])
def test_an_export_gets_its_verdict(case: Case) -> None:
    keys = frozenset(bytes.fromhex(key) for key in case["keys"])
    verdict = verdict_of_bytes([line.encode() for line in case["lines"]], keys)
    assert (verdict.entries, verdict.covered_to, bool(verdict.sealed_by)) == (
        case["entries"],
        case["covered_to"],
        case["sealed"],
    )
    assert [[type(finding).__name__, finding.line] for finding in verdict.findings] == case["findings"]


@pytest.mark.shows("AUDIT-CHAIN-002", "AUDIT-POINT-001", "AUDIT-FORM-002")
def test_entries_and_their_checkpoint_are_made_as_they_stand() -> None:
    head = GENESIS
    for text in VECTORS["chain"]:
        entry = line_of(text.encode())
        assert isinstance(entry, AuditEntry)
        assert next_entry(head, entry.facts) == entry
        head = entry.head
    point = line_of(VECTORS["checkpoint"].encode())
    assert isinstance(point, Checkpoint)
    assert checkpoint_holds(point)
    assert checkpoint_of(head, point.before, point.at, bytes.fromhex(VECTORS["private_key"])) == point
    assert line_bytes(point) == VECTORS["checkpoint"].encode()
