"""The chain from sentence to test breaks loudly: each way to break it is planted in a small tree of its own.

The tree that every case starts from is whole, so a fault that is found is the planted one.
"""

from pathlib import Path

import pytest
from ci.trace import COVERAGE, ENTRIES, EXCEPTIONS, EXCEPTIONS_MAX, KNOWN_BUGS, Trace, main, snapshot_faults, trace

SPEC = """# Wire
- **MUX-FLOW-001** MUST count bytes. (yamux)
- **MUX-FLOW-002** MUST send credit. (yamux)
- **MUX-FLOW-003** SHOULD be fast. (ADR 0004)
- **MUX-FLOW-004** retired: replaced by MUX-FLOW-002
"""
TESTS = "import pytest\n\n\n@pytest.mark.shows('MUX-FLOW-001')\n{bugs}def test_x() -> None:\n    assert True\n"
EXCUSE = '[[exception]]\nid = "MUX-FLOW-002"\nreason = "comes with the next release"\ndate = "2026-11-22"\n'
BUG = '[[known_bug]]\nentry = "B8"\nreason = "we have no caches"\ndate = "2026-11-22"\n'


def _tree(root: Path, *, spec: str = SPEC, exceptions: str = EXCUSE + BUG, test: str = "") -> Path:
    """A whole tree, but for what the arguments break."""
    marked = "".join(f"@pytest.mark.bug('{entry}')\n" for entry in ENTRIES if entry != "B8")
    rows = "".join(f"| {entry} | words for {entry} | - |\n" for entry in ENTRIES)
    for file, text in {
        "spec/wire.md": spec,
        EXCEPTIONS: exceptions,
        KNOWN_BUGS: rows,
        "tests/property/test_mux.py": TESTS.format(bugs=marked),
        "tests/property/test_more.py": test,
    }.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text, encoding="utf-8")
    return root


def _faults(root: Path) -> tuple[str, ...]:
    return trace(root).faults


def test_a_whole_tree_has_no_fault(tmp_path: Path) -> None:
    assert _faults(_tree(tmp_path)) == ()


@pytest.mark.shows("WALL-TRACE-001")
def test_a_must_without_test_or_exception_is_found(tmp_path: Path) -> None:
    (fault,) = _faults(_tree(tmp_path, exceptions=BUG))
    assert fault == "spec/wire.md:3: MUX-FLOW-002 has neither a test nor an exception"


@pytest.mark.shows("WALL-TRACE-001")
@pytest.mark.parametrize(
    "broken", [EXCUSE.replace("2026-11-22", "soon"), EXCUSE.replace("comes with the next release", "later")]
)
def test_an_exception_needs_a_date_and_a_reason(broken: str, tmp_path: Path) -> None:
    (fault,) = _faults(_tree(tmp_path, exceptions=broken + BUG))
    assert fault.startswith(f"{EXCEPTIONS}: MUX-FLOW-002 has no ")


@pytest.mark.shows("WALL-TRACE-001")
def test_more_than_four_exceptions_are_found(tmp_path: Path) -> None:
    ids = [f"MUX-MORE-{number:03}" for number in range(EXCEPTIONS_MAX)]
    spec = SPEC + "".join(f"- **{each}** MUST hold.\n" for each in ids)
    more = "".join(EXCUSE.replace("MUX-FLOW-002", each) for each in ids)
    (fault,) = _faults(_tree(tmp_path, spec=spec, exceptions=EXCUSE + more + BUG))
    assert "5 exceptions, 4 are allowed" in fault


@pytest.mark.shows("WALL-TRACE-002")
@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("import pytest\npytestmark = pytest.mark.shows('MUX-FLOW-999')\n", "MUX-FLOW-999 is not in the specification"),
        ("import pytest\npytestmark = pytest.mark.shows('MUX-FLOW-004')\n", "MUX-FLOW-004 is retired"),
        (
            "import pytest\npytestmark = pytest.mark.shows('MUX-FLOW-002')\n",
            "MUX-FLOW-002 is tested by property/test_more",
        ),
        ("import pytest\npytestmark = pytest.mark.shows(*IDS)\n", "takes IDs written out"),
        ("import pytest\npytestmark = pytest.mark.bug('A99')\n", "there is no known bug A99"),
    ],
)
def test_a_marker_that_names_nothing_or_the_excused_is_found(test: str, words: str, tmp_path: Path) -> None:
    (fault,) = _faults(_tree(tmp_path, test=test))
    assert words in fault


@pytest.mark.shows("WALL-TRACE-002")
def test_an_exception_for_nothing_is_found(tmp_path: Path) -> None:
    (fault,) = _faults(_tree(tmp_path, exceptions=EXCUSE + EXCUSE.replace("002", "888") + BUG))
    assert fault == f"{EXCEPTIONS}: MUX-FLOW-888 is not in the specification"


@pytest.mark.shows("WALL-TRACE-003")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("- **MUX-FLOW-001** MUST again.\n", "MUX-FLOW-001 is already defined"),
        ("- **MUX-FLOW-004** MUST anew.\n", "MUX-FLOW-004 was retired"),
        ("- **MUX-FLOW-005** SHALL hold.\n", "says SHALL"),
    ],
)
def test_an_id_used_twice_or_again_is_found(line: str, words: str, tmp_path: Path) -> None:
    faults = _faults(_tree(tmp_path, spec=SPEC + line))
    assert any(words in fault for fault in faults), faults


def _snapshots(root: Path, *, write: bool = False) -> list[str]:
    found: Trace = trace(root)
    return list(snapshot_faults(root, found, write=write))


@pytest.mark.shows("WALL-TRACE-004")
def test_a_snapshot_that_differs_is_found_and_write_renews_it(tmp_path: Path) -> None:
    root = _tree(tmp_path)
    assert [fault.split()[0] for fault in _snapshots(root)] == [COVERAGE, KNOWN_BUGS]
    assert _snapshots(root, write=True) == []
    assert _snapshots(root) == []
    written = (root / COVERAGE).read_text("utf-8")
    assert "MUX-FLOW-001          MUST    property/test_mux\n" in written
    assert "MUX-FLOW-002          MUST    exception of 2026-11-22\n" in written
    assert "| A1 | words for A1 | property/test_mux |" in (root / KNOWN_BUGS).read_text("utf-8")
    assert "| B8 | words for B8 | exception |" in (root / KNOWN_BUGS).read_text("utf-8")
    (root / COVERAGE).write_text(written.replace("test_mux", "test_mix"), encoding="utf-8")
    assert [fault.split()[0] for fault in _snapshots(root)] == [COVERAGE]


@pytest.mark.shows("WALL-TRACE-005")
def test_a_known_bug_without_test_or_reason_is_found(tmp_path: Path) -> None:
    (fault,) = _faults(_tree(tmp_path, exceptions=EXCUSE))
    assert fault.startswith("known bug B8 has neither")


@pytest.mark.shows("WALL-TRACE-005")
@pytest.mark.parametrize(("entry", "words"), [("A1", "known bug A1 is tested by"), ("E1", "there is no known bug E1")])
def test_a_reason_for_a_tested_or_unknown_bug_is_found(entry: str, words: str, tmp_path: Path) -> None:
    (fault,) = _faults(_tree(tmp_path, exceptions=EXCUSE + BUG + BUG.replace("B8", entry)))
    assert words in fault


@pytest.mark.shows("WALL-TRACE-005")
def test_a_table_of_known_bugs_without_an_entry_is_found(tmp_path: Path) -> None:
    root = _tree(tmp_path)
    table = root / KNOWN_BUGS
    table.write_text(table.read_text("utf-8").replace("| C7 | words for C7 | - |\n", ""), encoding="utf-8")
    assert any("the rows are not" in fault for fault in _snapshots(root))


@pytest.mark.shows("WALL-TRACE-001")
def test_the_program_fails_with_a_fault_and_passes_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = _tree(tmp_path)
    assert main([], root) == 1
    assert main(["--write"], root) == 0
    assert main(["--quiet"], root) == 0
    assert "1 of 2 MUST shown, 1 excepted" in capsys.readouterr().out
