"""Words that have one home: unwrapping in `outcome.py`, printing and exiting in `cli/` (WALL-HOME-001, -002)."""

import ast
from collections.abc import Iterator
from typing import Final

from ci.wall.finding import Finding
from ci.wall.tree import CORE, Tree

OUTCOME_FILE: Final = f"{CORE}/base/outcome.py"
OUTCOMES: Final = "tunnel.core.base.outcome"
TLS_FILE: Final = "src/tunnel/drive/secure.py"
"""Python's `ssl` has named TLS's goodbye `unwrap`: allowed there as long as that file knows no Outcome at all."""
CLI: Final = "src/tunnel/cli/"
_UNWRAPPING: Final = frozenset({"unwrap", "failure", "unwrap_or_raise", "_inner_value"})
_EXITS: Final = frozenset({"exit", "quit", "breakpoint"})
_SYSTEM_EXITS: Final = frozenset(
    {("sys", "exit"), ("os", "_exit"), ("os", "abort"), ("os", "kill"), ("signal", "raise_signal")}
)
_STREAMS: Final = frozenset({"stdout", "stderr"})


def check_unwrapping(tree: Tree) -> list[Finding]:
    """Calls that take a value out of an Outcome without asking first, anywhere but in `outcome.py`."""
    return [
        Finding(file, node.lineno, f".{node.attr} outside {OUTCOME_FILE}: ask isinstance(..., Success), then value_of")
        for file in tree.files("src")
        if file != OUTCOME_FILE
        for node in ast.walk(tree.syntax(file))
        if isinstance(node, ast.Attribute) and node.attr in _UNWRAPPING
        if not (file == TLS_FILE and node.attr == "unwrap" and OUTCOMES not in tree.source(file))
    ]


def check_printing(tree: Tree) -> list[Finding]:
    """`print` and the standard streams outside `cli/`."""
    return [
        Finding(file, line, f"{text} belongs into cli/")
        for file in tree.files("src")
        if not file.startswith(CLI)
        for node in ast.walk(tree.syntax(file))
        for line, text in _printing(node)
    ]


def _printing(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Name) and node.id in {"print", "pprint"}:
        yield node.lineno, node.id
    if (
        isinstance(node, ast.Attribute)
        and node.attr in _STREAMS
        and isinstance(node.value, ast.Name)
        and node.value.id == "sys"
    ):
        yield node.lineno, f"sys.{node.attr}"
    if isinstance(node, ast.ImportFrom) and node.module == "sys":
        for alias in node.names:
            if alias.name in _STREAMS:
                yield node.lineno, f"sys.{alias.name}"


def check_exiting(tree: Tree) -> list[Finding]:
    """Ways to end the process outside `cli/`."""
    return [
        Finding(file, line, f"{text} belongs into cli/")
        for file in tree.files("src")
        if not file.startswith(CLI)
        for node in ast.walk(tree.syntax(file))
        for line, text in _exiting(node)
    ]


def _exiting(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Name) and node.id in {*_EXITS, "SystemExit"}:
        yield node.lineno, node.id
    if isinstance(node, ast.Attribute) and (getattr(node.value, "id", ""), node.attr) in _SYSTEM_EXITS:
        yield node.lineno, ast.unparse(node)
    if isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if (node.module, alias.name) in _SYSTEM_EXITS:
                yield node.lineno, f"{node.module}.{alias.name}"
