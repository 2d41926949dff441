"""Each check of the wall finds the violation planted for it, and every row of the table has such a proof.

A check is looked up in the table by name: a row or a check that is taken out makes its planted cases fail.
"""

import tomllib
from pathlib import Path

import pytest
from ci.wall.finding import Finding
from ci.wall.table import CHECKS, ROWS, RUST, Row, markdown
from ci.wall.tree import Tree
from wall_support import ROOT, found, planted_tree

CASES: list[dict[str, str]] = tomllib.loads(
    (Path(__file__).parent / "planted" / "rules.toml").read_text(encoding="utf-8")
)["planted"]
ARROW_GROUND = {
    "src/tunnel/core/link/names.py": '"""Names."""\n',
    "src/tunnel/server/state.py": '"""State."""\n',
    **{
        f"src/tunnel/{folder}/__init__.py": '"""A layer."""\n'
        for folder in ("cli", "server", "agent", "drive", "store", "observe", "demo")
    },
    **{
        f"src/tunnel/core/{folder}/__init__.py": '"""A part."""\n'
        for folder in (
            "relay",
            "cluster",
            "route",
            "http",
            "mux",
            "proxy",
            "tls",
            "journal",
            "directory",
            "audit",
            "control",
            "policy",
            "token",
        )
    },
    "src/tunnel/ports.py": '"""Ports."""\n',
}
OUTCOME = "from tunnel.core.base.outcome import Outcome"
RUST_LINTS = (
    "unsafe_code (forbid)", "missing_docs", "unused_must_use", "clippy::all", "clippy::pedantic", "unwrap_used",
    "expect_used", "panic", "unreachable", "todo", "unimplemented", "dbg_macro", "print_stdout", "print_stderr", "exit",
    "panic_in_result_fn", "unwrap_in_result",
)  # fmt: skip
PROVED_ELSEWHERE = {
    "WALL-TOTAL-001": "test_totality.py",
    "WALL-TOTAL-002": "test_totality.py",
    "WALL-TOTAL-003": "test_totality.py",
    "WALL-TYPES-005": "test_settings.py",
    "WALL-SETTINGS-001": "test_settings.py",
}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """The findings of every check that has a case here; arrows in a tree of their own, as it has to import cleanly."""
    arrows = {case["file"]: case["source"] for case in CASES if case["check"] == "arrows"}
    others = {case["file"]: case["source"] for case in CASES if case["check"] != "arrows"}
    tree = planted_tree(tmp_path_factory.mktemp("rules"), others)
    layers = planted_tree(tmp_path_factory.mktemp("arrows"), {**ARROW_GROUND, **arrows})
    checks = {case["check"] for case in CASES} - {"arrows"}
    return {"arrows": found("arrows", layers), **{check: found(check, tree) for check in checks}}


@pytest.mark.shows(
    "WALL-ANY-001",
    "WALL-ARROWS-001",
    "WALL-DOCS-001",
    "WALL-DONE-001",
    "WALL-DONE-002",
    "WALL-FORBID-001",
    "WALL-FORBID-002",
    "WALL-FORBID-003",
    "WALL-GUARD-001",
    "WALL-HOME-001",
    "WALL-HOME-002",
    "WALL-HOME-003",
    "WALL-HOME-004",
    "WALL-OUTCOME-001",
    "WALL-OUTCOME-002",
    "WALL-RUFF-001",
    "WALL-RUFF-002",
    "WALL-RUFF-003",
    "WALL-SIZE-001",
    "WALL-TOTAL-004",
    "WALL-TYPES-001",
    "WALL-TYPES-002",
    "WALL-TYPES-003",
    "WALL-TYPES-004",
    "WALL-USE-001",
)
@pytest.mark.parametrize("case", CASES, ids=[f"{case['check']}-{Path(case['file']).stem}" for case in CASES])
def test_the_planted_violation_is_found(case: dict[str, str], findings: dict[str, list[Finding]]) -> None:
    here = [finding.text() for finding in findings[case["check"]] if finding.file == case["file"]]
    assert any(case["finds"] in text for text in here), here


@pytest.mark.shows("WALL-HOME-001")
@pytest.mark.parametrize(
    ("file", "imported", "is_found"),
    [("drive/secure.py", "", False), ("drive/secure.py", OUTCOME, True), ("drive/secured.py", "", True)],
)
def test_the_goodbye_of_tls_is_told_from_unwrapping(
    tmp_path: Path, file: str, imported: str, *, is_found: bool
) -> None:
    source = f'"""TLS."""\n\n{imported}\n\ndef bye(records: object) -> None:\n    """End."""\n    records.unwrap()\n'
    tree = planted_tree(tmp_path, {f"src/tunnel/{file}": source})
    assert bool(found("unwrapping", tree)) is is_found


@pytest.mark.shows("WALL-TABLE-001")
def test_the_table_has_each_lint_of_the_rust_wall_in_its_order() -> None:
    assert tuple(row.lint for row in RUST) == RUST_LINTS


@pytest.mark.shows("WALL-TABLE-001")
@pytest.mark.parametrize("row", ROWS, ids=[row.lint for row in ROWS])
def test_each_row_is_enforced_and_proved(row: Row) -> None:
    assert row.checks
    assert set(row.checks) <= set(CHECKS)
    proofs = {case["check"] for case in CASES if case["shows"] == row.requirement}
    if row.requirement in PROVED_ELSEWHERE:
        assert row.requirement in (Path(__file__).parent / PROVED_ELSEWHERE[row.requirement]).read_text("utf-8")
    else:
        assert proofs & set(row.checks), f"no planted violation shows {row.requirement}"


@pytest.mark.shows("WALL-TABLE-001")
def test_each_check_is_used_by_a_row() -> None:
    assert {check for row in ROWS for check in row.checks} == set(CHECKS)


def test_the_markers_above_name_what_the_cases_show(request: pytest.FixtureRequest) -> None:
    marked = next(
        set(mark.args)
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function is test_the_planted_violation_is_found
        for mark in item.iter_markers("shows")
    )
    assert marked == {case["shows"] for case in CASES}


@pytest.mark.shows("WALL-TABLE-002")
def test_the_specification_holds_the_same_table() -> None:
    assert markdown() in (ROOT / "spec" / "wall.md").read_text("utf-8")


def test_a_tree_without_violations_has_no_findings(tmp_path: Path) -> None:
    tree: Tree = planted_tree(tmp_path, {})
    quick = set(CHECKS) - {"mypy-elsewhere", "ruff", "debugger", "format", "arrows", "suppressions"}
    assert {check: [each.text() for each in found(check, tree)] for check in sorted(quick)} == {
        check: [] for check in sorted(quick)
    }
