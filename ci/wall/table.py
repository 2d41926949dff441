"""The wall as a table: each lint of the Rust wall, what enforces the same here, and the requirement it shows.

The rows above the line are Rust's, in its order; those below are what Python needs beside them. spec/wall.md holds the
same table, and a test compares the two.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, final

from ci.wall.documented import check_documented
from ci.wall.fields import check_fields
from ci.wall.finding import Finding
from ci.wall.forbid import check_forbidden
from ci.wall.guards import check_guards
from ci.wall.must_use import check_must_use
from ci.wall.outcomes import check_raising, check_unwrapping_inside
from ci.wall.settings import check_marker, check_mypy_settings, check_ruff_settings
from ci.wall.sizes import check_sizes
from ci.wall.suppressions import check_suppressions
from ci.wall.tools import (
    check_arrows,
    check_debugger,
    check_format,
    check_mypy,
    check_mypy_elsewhere,
    check_no_any,
    check_ruff,
    check_unproven,
    check_unreachable,
)
from ci.wall.totality import check_recursion, check_totality
from ci.wall.tree import Tree
from ci.wall.unfinished import check_later, check_stubs
from ci.wall.words import check_exiting, check_printing, check_unwrapping

Check = Callable[[Tree], list[Finding]]

CHECKS: Final[Mapping[str, Check]] = {
    "arrows": check_arrows,
    "debugger": check_debugger,
    "documented": check_documented,
    "exiting": check_exiting,
    "fields": check_fields,
    "forbidden": check_forbidden,
    "format": check_format,
    "guards": check_guards,
    "later": check_later,
    "marker": check_marker,
    "must-use": check_must_use,
    "mypy": check_mypy,
    "mypy-elsewhere": check_mypy_elsewhere,
    "mypy-settings": check_mypy_settings,
    "no-any": check_no_any,
    "printing": check_printing,
    "raising": check_raising,
    "recursion": check_recursion,
    "ruff": check_ruff,
    "ruff-settings": check_ruff_settings,
    "sizes": check_sizes,
    "stubs": check_stubs,
    "suppressions": check_suppressions,
    "totality": check_totality,
    "unproven": check_unproven,
    "unreachable": check_unreachable,
    "unwrapping": check_unwrapping,
    "unwrapping-inside": check_unwrapping_inside,
}
"""Every check by name; `--only NAME` runs one."""

SLOW: Final = ("mypy-elsewhere", "ruff", "debugger", "format", "arrows")
"""Checks that are programs of their own and run beside the rest."""


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One line of the wall."""

    lint: str
    here: str
    checks: tuple[str, ...]
    requirement: str


RUST: Final = (
    Row("unsafe_code (forbid)", "no ctypes, eval, setattr; imports by list", ("forbidden",), "WALL-FORBID-001"),
    Row("missing_docs", "each public name has a docstring", ("documented",), "WALL-DOCS-001"),
    Row("unused_must_use", "an Outcome may not be dropped", ("must-use",), "WALL-USE-001"),
    Row("clippy::all", "ruff, every rule", ("ruff",), "WALL-RUFF-001"),
    Row("clippy::pedantic", "mypy --strict and 11 further codes", ("mypy",), "WALL-TYPES-001"),
    Row("unwrap_used", "no .unwrap() but in outcome.py", ("unwrapping",), "WALL-HOME-001"),
    Row("expect_used", "value_of takes a proven Success only", ("unproven",), "WALL-TYPES-002"),
    Row("panic", "no raise, assert or partial call in core", ("forbidden", "totality"), "WALL-TOTAL-001"),
    Row("unreachable", "mypy warn_unreachable, assert_never", ("unreachable",), "WALL-TYPES-003"),
    Row("todo", "no work put off in comments", ("later",), "WALL-DONE-002"),
    Row("unimplemented", "no stub bodies", ("stubs",), "WALL-DONE-001"),
    Row("dbg_macro", "no breakpoint or debugger import", ("debugger", "exiting"), "WALL-RUFF-002"),
    Row("print_stdout", "print only in cli/", ("printing",), "WALL-HOME-002"),
    Row("print_stderr", "sys.stderr only in cli/", ("printing",), "WALL-HOME-003"),
    Row("exit", "sys.exit only in cli/", ("exiting",), "WALL-HOME-004"),
    Row("panic_in_result_fn", "no raise where an Outcome is returned", ("raising",), "WALL-OUTCOME-001"),
    Row("unwrap_in_result", "nor .unwrap(), .failure(), .result()", ("unwrapping-inside",), "WALL-OUTCOME-002"),
)

OURS: Final = (
    Row("(totality)", "operations of the core are on the list", ("totality",), "WALL-TOTAL-002"),
    Row("(recursion)", "no circle of calls in the core", ("recursion",), "WALL-TOTAL-003"),
    Row("(fields)", "__init__ sets every attribute", ("fields",), "WALL-TOTAL-004"),
    Row("(no Any)", "no Any in an expression of the core", ("no-any",), "WALL-ANY-001"),
    Row("(forbid, not deny)", "a suppression in the core is an error", ("forbidden",), "WALL-FORBID-003"),
    Row("(ratchet)", "suppressions elsewhere may only fall", ("suppressions",), "WALL-FORBID-002"),
    Row("(arrows)", "import-linter contracts", ("arrows",), "WALL-ARROWS-001"),
    Row("(guards)", "one guard at each loop callback", ("guards",), "WALL-GUARD-001"),
    Row("(typed tests)", "mypy --strict on tests, ci and bench", ("mypy-elsewhere",), "WALL-TYPES-004"),
    Row("(py.typed)", "the package ships its types", ("marker",), "WALL-TYPES-005"),
    Row("(settings)", "the checkers are not switched off", ("mypy-settings", "ruff-settings"), "WALL-SETTINGS-001"),
    Row("(sizes)", "files and functions of the core are small", ("sizes",), "WALL-SIZE-001"),
    Row("(format)", "ruff format", ("format",), "WALL-RUFF-003"),
)

ROWS: Final = (*RUST, *OURS)


def markdown() -> str:
    """The table as spec/wall.md holds it."""
    lines = ["| Rust | here | check | requirement |", "|---|---|---|---|"]
    for row in ROWS:
        checks = ", ".join(f"`{check}`" for check in row.checks)
        lines.append(f"| {row.lint} | {row.here} | {checks} | {row.requirement} |")
    return "\n".join(lines) + "\n"
