"""Nothing half done: no stub bodies, no words that promise work for later (WALL-DONE-001, WALL-DONE-002)."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from typing import Final

from ci.wall.finding import Finding
from ci.wall.tree import Tree

Function = ast.FunctionDef | ast.AsyncFunctionDef
_LATER: Final = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK|TBD)\b")


def check_stubs(tree: Tree) -> list[Finding]:
    """Functions without a body, outside Protocols and overloads, and NotImplemented in any form."""
    findings = []
    for file in tree.files("src"):
        module = tree.syntax(file)
        declared = {id(method) for node in ast.walk(module) if _declares(node) for method in ast.walk(node)}
        for node in ast.walk(module):
            if isinstance(node, Function) and id(node) not in declared and _is_stub(node):
                findings.append(Finding(file, node.lineno, f"{node.name} has no body yet"))
            if isinstance(node, ast.Name) and node.id in {"NotImplementedError", "NotImplemented"}:
                findings.append(Finding(file, node.lineno, f"{node.id} promises what is not there"))
    return findings


def _declares(node: ast.AST) -> bool:
    """Whether definitions inside `node` may be without body: a Protocol, an overload."""
    if isinstance(node, ast.ClassDef):
        return any(_word(base) == "Protocol" for base in node.bases)
    return isinstance(node, Function) and any(_word(each) == "overload" for each in node.decorator_list)


def _word(node: ast.expr) -> str:
    bare = node.value if isinstance(node, ast.Subscript) else node
    return bare.attr if isinstance(bare, ast.Attribute) else getattr(bare, "id", "")


def _is_stub(node: Function) -> bool:
    body = node.body[1:] if _is_docstring(node.body[0]) and len(node.body) > 1 else node.body
    return all(isinstance(each, ast.Pass) or _is_ellipsis(each) for each in body)


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def check_later(tree: Tree) -> list[Finding]:
    """Comments that put work off: it is an issue or it is done."""
    return [
        Finding(file, line, "work put off in a comment: do it, or open an issue")
        for folder in ("src", "ci", "tests", "bench")
        for file in tree.files(folder)
        for line in _put_off(tree.source(file))
    ]


def _put_off(source: str) -> Iterator[int]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and _LATER.search(token.string):
            yield token.start[0]
