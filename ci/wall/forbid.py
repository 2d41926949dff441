"""What the core may not even contain (WALL-FORBID-001): read from its syntax and its comments, so no setting undoes it.

Forbid, not deny: there is no comment that switches this off, and a comment that tries is itself a finding.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from typing import Final

from ci.wall.finding import Finding
from ci.wall.tree import CORE, NAMED_EXCEPTIONS, Tree

SUPPRESSION: Final = re.compile(
    r"#.*?\b(noqa|type:\s*ignore|pyright:|mypy:|pragma:|ruff:|pylint:|isort:|nosec|flake8:)", re.IGNORECASE
)
"""Comments that speak to a checker; `fmt:` only speaks to the formatter and is allowed."""

_STATEMENTS: Final[Mapping[type[ast.AST], str]] = {
    ast.Raise: "raise", ast.Assert: "assert", ast.Try: "try", ast.TryStar: "try", ast.With: "with",
    ast.AsyncWith: "async", ast.AsyncFor: "async", ast.AsyncFunctionDef: "async", ast.Await: "await",
    ast.Global: "global", ast.Nonlocal: "nonlocal", ast.Yield: "yield", ast.YieldFrom: "yield",
}  # fmt: skip
_NAMES: Final = frozenset({
    "Any", "__import__", "breakpoint", "cast", "compile", "delattr", "eval", "exec", "exit", "getattr", "globals",
    "input", "locals", "memoryview", "open", "print", "quit", "setattr", "vars",
})  # fmt: skip
_ATTRIBUTES: Final = frozenset(
    {"__setattr__", "__dict__", "__class__", "__globals__", "__code__", "__builtins__", "cast", "Any"}
)

_MODULES: Final[Mapping[str, frozenset[str] | None]] = {
    "typing": frozenset({
        "ClassVar", "Final", "Literal", "NamedTuple", "NewType", "Protocol", "Self", "TypeAlias", "TypeVar",
        "TYPE_CHECKING", "assert_never", "final", "overload", "Generic", "Never", "NoReturn", "TypeGuard", "Annotated",
    }),
    "dataclasses": None,
    "enum": None,
    "re": None,
    "collections": frozenset({"OrderedDict", "deque"}),
    "collections.abc": None,
    "math": frozenset({"inf"}),
    "typing_extensions": frozenset({"override"}),
}  # fmt: skip
"""Importable modules (None: all their names); `re` only compiles patterns, which totality sees to."""

_EXTRA_MODULES: Final[Mapping[str, frozenset[str]]] = {
    f"{CORE}/base/outcome.py": frozenset({"returns.result"}),
    f"{CORE}/base/partial.py": frozenset({
        "struct", "base64", "binascii", "hashlib", "hmac", "html", "ipaddress", "itertools", "json",
        "cryptography.exceptions", "cryptography.hazmat.primitives.asymmetric.ed25519",
    }),
}  # fmt: skip


def check_forbidden(tree: Tree) -> list[Finding]:
    """Every forbidden word, import and comment of the core; the two named exceptions may only `try` and import more."""
    found: list[Finding] = []
    for file in tree.files(CORE):
        named = file in NAMED_EXCEPTIONS
        for node in ast.walk(tree.syntax(file)):
            found.extend(Finding(file, line, text) for line, text in _node_findings(node, file, named=named))
        found.extend(_comment_findings(tree, file))
    return found


def _node_findings(node: ast.AST, file: str, *, named: bool) -> Iterator[tuple[int, str]]:
    word = _STATEMENTS.get(type(node))
    line = getattr(node, "lineno", 1)
    if word is not None and not (named and word == "try"):
        yield line, f"`{word}` does not exist in the core"
    if isinstance(node, ast.Name) and node.id in _NAMES:
        yield line, f"`{node.id}` does not exist in the core"
    if isinstance(node, ast.Attribute) and node.attr in _ATTRIBUTES:
        yield line, f"`.{node.attr}` does not exist in the core"
    if isinstance(node, ast.MatchClass) and node.patterns and _last_name(node.cls) in {"Success", "Failure"}:
        yield line, "a positional pattern on an Outcome crashes mypyc: use isinstance"
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from _import_findings(node, file)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _import_findings(node: ast.Import | ast.ImportFrom, file: str) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if not _may_import(alias.name, None, file):
                yield node.lineno, f"`import {alias.name}` does not exist in the core"
        return
    module = node.module or ""
    if node.level:
        yield node.lineno, "a relative import hides the arrow it draws"
    for alias in node.names:
        if not node.level and not _may_import(module, alias.name, file):
            yield node.lineno, f"`from {module} import {alias.name}` does not exist in the core"


def _may_import(module: str, name: str | None, file: str) -> bool:
    if name is not None and (module == "tunnel.core" or module.startswith("tunnel.core.")):
        return name != "*"
    if module in _EXTRA_MODULES.get(file, frozenset()):
        return True
    if module not in _MODULES:
        return False
    names = _MODULES[module]
    return names is None or (name is not None and name in names)


def _comment_findings(tree: Tree, file: str) -> Iterator[Finding]:
    for token in tokenize.generate_tokens(io.StringIO(tree.source(file)).readline):
        if token.type == tokenize.COMMENT:
            said = SUPPRESSION.search(token.string)
            if said is not None:
                yield Finding(file, token.start[0], f"a suppression in the core (`{said.group(1)}`) is itself an error")
