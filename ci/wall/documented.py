"""Everything public in src/ says what it is: modules, classes, functions, methods, and the names a module offers."""

import ast
from collections.abc import Iterator

from ci.wall.finding import Finding
from ci.wall.tree import Tree

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def check_documented(tree: Tree) -> list[Finding]:
    """Public definitions without a docstring."""
    findings = []
    for file in tree.files("src"):
        module = tree.syntax(file)
        if not ast.get_docstring(module):
            findings.append(Finding(file, 1, "the module does not say what it is for"))
        findings.extend(Finding(file, line, text) for line, text in _undocumented(module))
    return findings


def _undocumented(parent: Documented) -> Iterator[tuple[int, str]]:
    for node in parent.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and not _described_elsewhere(node):
            yield node.lineno, f"{node.name} has no docstring"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node)


def _described_elsewhere(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """An override is described where it was declared; overloads and setters by their other half."""
    names = {each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in node.decorator_list}
    return bool(names & {"override", "overload", "setter"})
