"""Totality: each kind of operation that may raise is planted once and found; what is total is let through.

All cases are modules of one planted tree, so mypy runs once; the plugin sees the same tree.
"""

import tomllib
from pathlib import Path

import pytest
from ci.wall.finding import Finding
from ci.wall.table import CHECKS
from ci.wall.tree import CORE
from wall_support import found, planted_tree

CASES = tomllib.loads((Path(__file__).parent / "planted" / "totality.toml").read_text(encoding="utf-8"))
PLANTED: dict[str, dict[str, str]] = {case["name"]: case for case in CASES["planted"]}
ALLOWED: dict[str, str] = {case["name"]: case["source"] for case in CASES["allowed"]}
CIRCLES = {
    "itself": "def f(n: int) -> int:\n    return f(n)  # here\n",
    "each_other": "def g(n: int) -> int:\n    return f(n)\n\n\ndef f(n: int) -> int:\n    return g(n)  # here\n",
    "methods": (
        "class A:\n    def f(self) -> None:\n        self.g()  # here\n\n"
        "    def g(self) -> None:\n        B().h()\n\n\nclass B:\n    def h(self) -> None:\n        A().f()\n"
    ),
}


def _file(name: str) -> str:
    return f"{CORE}/planted/{name}.py"


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """Findings of the checks that read types, over one tree with all cases."""
    sources = {name: case["source"] for name, case in PLANTED.items()} | ALLOWED | CIRCLES
    files = {_file(name): source for name, source in sources.items()}
    tree = planted_tree(tmp_path_factory.mktemp("totality"), files)
    return {check: found(check, tree) for check in ("totality", "recursion", "mypy")}


def _line(source: str) -> int:
    return next(number for number, line in enumerate(source.splitlines(), start=1) if "# here" in line)


@pytest.mark.shows("WALL-TOTAL-001", "WALL-TOTAL-002")
@pytest.mark.parametrize("name", sorted(PLANTED))
def test_each_planted_partial_operation_is_found_on_its_line(name: str, findings: dict[str, list[Finding]]) -> None:
    here = [each for each in findings["totality"] if each.file == _file(name)]
    lines = {each.line for each in here if PLANTED[name]["finds"] in each.message}
    assert lines == {_line(PLANTED[name]["source"])}, [each.text() for each in here]


@pytest.mark.shows("WALL-TOTAL-002")
@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_what_is_total_is_let_through(name: str, findings: dict[str, list[Finding]]) -> None:
    assert [each.text() for each in findings["totality"] if each.file == _file(name)] == []


@pytest.mark.shows("WALL-TOTAL-003")
@pytest.mark.parametrize("name", sorted(CIRCLES))
def test_each_circle_of_calls_is_found(name: str, findings: dict[str, list[Finding]]) -> None:
    assert [each.line for each in findings["recursion"] if each.file == _file(name)] == [_line(CIRCLES[name])]


@pytest.mark.shows("WALL-TOTAL-003")
def test_a_core_without_circles_has_no_finding(findings: dict[str, list[Finding]]) -> None:
    assert {each.file for each in findings["recursion"]} == {_file(name) for name in CIRCLES}


@pytest.mark.shows("WALL-TOTAL-005")
@pytest.mark.parametrize("name", ["dict_subscript", "int_of_bytes", "floor_division", "list_pop", "decode", "power"])
def test_the_plugin_says_the_same_within_mypy(name: str, findings: dict[str, list[Finding]]) -> None:
    here = [each for each in findings["mypy"] if each.file == _file(name) and "[totality]" in each.message]
    assert {each.line for each in here} == {_line(PLANTED[name]["source"])}


@pytest.mark.shows("WALL-TOTAL-005")
@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_the_plugin_lets_through_what_is_total(name: str, findings: dict[str, list[Finding]]) -> None:
    assert [each.text() for each in findings["mypy"] if each.file == _file(name) and "[totality]" in each.message] == []


def test_the_checks_are_those_of_the_table() -> None:
    assert {"totality", "recursion", "mypy"} <= set(CHECKS)
