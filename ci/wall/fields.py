"""Every attribute of a core object exists from `__init__` on: a later first assignment is an AttributeError in waiting.

mypy takes an attribute for granted as soon as any method assigns it (WALL-TOTAL-004).
"""

import ast
from collections.abc import Iterator

from ci.wall.finding import Finding
from ci.wall.tree import CORE, Tree


def check_fields(tree: Tree) -> list[Finding]:
    """Attributes that some method assigns, or the class declares, but `__init__` does not set on every path."""
    return [
        Finding(file, line, text)
        for file in tree.files(CORE)
        for node in ast.walk(tree.syntax(file))
        if isinstance(node, ast.ClassDef) and not _is_generated(node)
        for line, text in _late_fields(node)
    ]


def _is_generated(node: ast.ClassDef) -> bool:
    """Dataclasses, enums, named tuples and protocols get or need no fields from `__init__`."""
    words = [_word(each) for each in (*node.bases, *node.decorator_list)]
    return bool({"dataclass", "Enum", "IntEnum", "NamedTuple", "Protocol"} & set(words))


def _word(node: ast.expr) -> str:
    inner = node.func if isinstance(node, ast.Call) else node.value if isinstance(node, ast.Subscript) else node
    return inner.attr if isinstance(inner, ast.Attribute) else getattr(inner, "id", "")


def _late_fields(node: ast.ClassDef) -> Iterator[tuple[int, str]]:
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    made = {name for each in node.body for name in _class_values(each)} | {method.name for method in methods}
    for method in methods:
        if method.name == "__init__":
            made |= {name for statement in method.body for name, _ in _assigned_always(statement)}
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.target.id not in made:
            yield each.lineno, f"{node.name}.{each.target.id} is declared but not set by __init__"
    for method in methods:
        for inner in ast.walk(method):
            for name, line in _assigned(inner):
                if name not in made:
                    yield line, f"{node.name}.{name} is first set in {method.name}: set it in __init__"


def _class_values(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    if isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
        yield node.target.id


def _assigned(node: ast.AST) -> Iterator[tuple[str, int]]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return
    for target in targets:
        for inner in target.elts if isinstance(target, ast.Tuple) else [target]:
            if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "self":
                yield inner.attr, inner.lineno


def _assigned_always(statement: ast.stmt) -> set[tuple[str, int]]:
    """Attributes a statement of `__init__` sets whichever way it goes."""
    if isinstance(statement, ast.If) and statement.orelse:
        return _names_of(statement.body) & _names_of(statement.orelse)
    return {(name, 0) for name, _ in _assigned(statement)}


def _names_of(body: list[ast.stmt]) -> set[tuple[str, int]]:
    return {each for statement in body for each in _assigned_always(statement)}
