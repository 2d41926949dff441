"""Fuzz targets of the audit trail: whatever the bytes, verification has a verdict, and a line has one spelling."""

from collections.abc import Callable
from typing import Final

from tunnel.core.audit.entry import AuditEntry, digest_of, storable_facts
from tunnel.core.audit.findings import describe
from tunnel.core.audit.lines import line_bytes, line_of
from tunnel.core.audit.verify import FINDINGS_KEPT, Verification
from tunnel.core.base.partial import public_key_of

PUBLIC_KEY: Final = public_key_of(bytes(range(32))) or b""


def fuzz_audit_export(data: bytes) -> None:
    """Bytes as a file, line by line: trusted by its own word or by a key, it is judged and each finding has words."""
    lines = data.splitlines(keepends=True)
    for trusted in (frozenset[bytes](), frozenset({PUBLIC_KEY})):
        verification = Verification(trusted)
        for line in lines:
            verification.receive_line(line)
        verdict = verification.verdict()
        assert len(verdict.findings) == min(verdict.findings_total, FINDINGS_KEPT)
        assert verdict.entries + verdict.checkpoints <= len(lines)
        assert verdict.findings_total or verdict.sealed_by
        for finding in verdict.findings:
            assert 0 <= finding.line <= len(lines)
            assert describe(finding).startswith(f"line {finding.line}: ")


def fuzz_audit_line(data: bytes) -> None:
    """Bytes as one line: what is read is written again as it was, and holds what can be stored."""
    line = line_of(data)
    if line is None:
        return
    assert line_bytes(line) == data
    if isinstance(line, AuditEntry):
        assert storable_facts(line.facts) == line.facts
        assert len(digest_of(line.previous, line.number, line.facts)) == 32


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "audit_export": fuzz_audit_export,
    "audit_line": fuzz_audit_line,
}
