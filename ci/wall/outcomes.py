"""A function that promises an Outcome keeps the promise: it neither raises nor unwraps (WALL-OUTCOME-001, -002)."""

import ast
from collections.abc import Iterator
from typing import Final

from ci.wall.finding import Finding
from ci.wall.tree import NAMED_EXCEPTIONS, Tree

Function = ast.FunctionDef | ast.AsyncFunctionDef
_UNWRAPPING: Final = frozenset({"unwrap", "failure", "result"})


def _promising(tree: Tree) -> Iterator[tuple[str, Function]]:
    for file in tree.files("src"):
        if file in NAMED_EXCEPTIONS:
            continue
        for node in ast.walk(tree.syntax(file)):
            if isinstance(node, Function) and node.returns is not None and "Outcome[" in ast.unparse(node.returns):
                yield file, node


def check_raising(tree: Tree) -> list[Finding]:
    """`raise` and `assert` in functions whose return type is an Outcome."""
    return [
        Finding(file, node.lineno, f"{function.name} returns an Outcome, so it may not raise")
        for file, function in _promising(tree)
        for node in ast.walk(function)
        if isinstance(node, ast.Raise | ast.Assert) and id(node) not in _caught_again(function)
    ]


def _caught_again(function: Function) -> set[int]:
    """A bare `raise` after a clean-up, inside the body of another `try` of the same function."""
    return {
        id(node)
        for outer in ast.walk(function)
        if isinstance(outer, ast.Try) and outer.handlers
        for statement in outer.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Raise) and node.exc is None
    }


def check_unwrapping_inside(tree: Tree) -> list[Finding]:
    """Unwrapping of another outcome, or of a future, in functions whose return type is an Outcome."""
    return [
        Finding(
            file, node.lineno, f"{function.name} returns an Outcome, so it may not unwrap one by .{node.func.attr}()"
        )
        for file, function in _promising(tree)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _UNWRAPPING
        if not node.args
    ]
