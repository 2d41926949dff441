"""No call, operator or subscript of the core can raise: each one is ours, or on the committed list (WALL-TOTAL-001).

The walk is closed: a kind of statement or expression that it does not know is itself a finding, as are the statements
that exist to raise. What mypy's own checks exclude (wrong types, wrong arity, missing names) is not repeated here.
"""

from collections.abc import Iterator
from typing import Final, final

from mypy.nodes import (
    AssertStmt,
    AssignmentStmt,
    AwaitExpr,
    CallExpr,
    ClassDef,
    ComparisonExpr,
    Decorator,
    DelStmt,
    DictExpr,
    DictionaryComprehension,
    ForStmt,
    FuncDef,
    GeneratorExpr,
    IndexExpr,
    MemberExpr,
    Node,
    OperatorAssignmentStmt,
    OpExpr,
    RaiseStmt,
    SetComprehension,
    SetExpr,
    StarExpr,
    TryStmt,
    UnaryExpr,
    WithStmt,
    YieldExpr,
    YieldFromExpr,
)

from ci.wall.children import parts_of
from ci.wall.cycles import cycles
from ci.wall.finding import Finding
from ci.wall.operations import TotalOperations, read_total_operations
from ci.wall.tree import CORE, NAMED_EXCEPTIONS, Tree
from ci.wall.typed import TypedModule, TypedTree
from ci.wall.uses import Uses

_RAISING: Final = (AssertStmt, AwaitExpr, RaiseStmt, TryStmt, WithStmt, YieldExpr, YieldFromExpr)


@final
class CoreWalk:
    """One walk over the core; `findings` and `calls` grow with each module."""

    def __init__(self, tree: TypedTree, operations: TotalOperations) -> None:
        """Walk with the types of `tree` and the list of `operations`."""
        self.findings: list[Finding] = []
        self.calls: dict[str, dict[str, Finding]] = {}
        self._uses = Uses(tree, operations)
        self._file = ""
        self._function = ""
        self._within = 0

    def walk(self, module: TypedModule) -> None:
        """Look at every node of one module."""
        self._file, self._function = module.file, module.name
        self._visit(module.syntax)

    def _visit(self, node: Node) -> None:
        for objection in self._objections(node):
            self.findings.append(Finding(self._file, node.line, objection))
        for name in self._uses.take_called():
            self.calls.setdefault(self._function, {}).setdefault(name, Finding(self._file, node.line, ""))
        outside = self._function
        if isinstance(node, FuncDef):
            self._function = node.fullname
            self._within += 1
        for part in parts_of(node) or []:
            self._visit(part)
        if isinstance(node, FuncDef):
            self._function = outside
            self._within -= 1

    def _objections(self, node: Node) -> Iterator[str]:
        if isinstance(node, _RAISING) or parts_of(node) is None:
            yield f"{type(node).__name__} does not belong into the core"
            return
        yield from self._expression(node)
        yield from self._statement(node)
        yield from self._definition(node)

    def _expression(self, node: Node) -> Iterator[str]:
        match node:
            case CallExpr() if node.analyzed is None or isinstance(node.analyzed, OpExpr):
                yield from self._uses.call(node)
            case OpExpr():
                yield from self._uses.operator(node)
            case UnaryExpr():
                yield from self._uses.unary(node)
            case ComparisonExpr():
                yield from self._uses.comparison(node)
            case IndexExpr():
                yield from self._uses.subscript(node)
            case MemberExpr():
                yield from self._uses.attribute(node)
            case _:
                yield from self._display(node)

    def _display(self, node: Node) -> Iterator[str]:
        match node:
            case DictExpr():
                yield from self._uses.dict_display(node)
            case SetExpr() | SetComprehension():
                yield from self._uses.set_display(node)
            case StarExpr():
                yield from self._uses.starred(node)
            case GeneratorExpr() | DictionaryComprehension():
                yield from self._uses.comprehension(node)
            case _:
                pass

    def _statement(self, node: Node) -> Iterator[str]:
        match node:
            case AssignmentStmt():
                yield from self._uses.assignment(node)
            case OperatorAssignmentStmt():
                yield from self._uses.in_place(node)
            case DelStmt():
                yield from self._uses.deletion(node)
            case ForStmt():
                yield from self._uses.loop(node)
            case _:
                pass

    def _definition(self, node: Node) -> Iterator[str]:
        match node:
            case ClassDef():
                yield from self._uses.definition(node)
            case Decorator():
                yield from self._uses.decoration(node)
            case FuncDef():
                yield from self._uses.function(node)
                if self._within:
                    yield "a function within a function is a value of callable type"
            case _:
                pass


def in_core(file: str) -> bool:
    """Whether the totality rule covers the file."""
    return file.startswith(f"{CORE}/") and file not in NAMED_EXCEPTIONS


def walked(tree: Tree) -> CoreWalk:
    """The walk over all of the core."""
    walk = CoreWalk(tree.typed, read_total_operations())
    for module in tree.typed.modules:
        if in_core(module.file):
            walk.walk(module)
    return walk


def check_totality(tree: Tree) -> list[Finding]:
    """Every use of an operation in the core that may raise."""
    return walked(tree).findings


def check_recursion(tree: Tree) -> list[Finding]:
    """Every circle of calls in the core: the depth of the stack must not depend on input (WALL-TOTAL-003)."""
    calls = walked(tree).calls
    found = []
    for circle in cycles({name: set(called) for name, called in calls.items()}):
        first, after = circle[0], circle[1 % len(circle)]
        place = calls[first][after]
        found.append(Finding(place.file, place.line, f"calls in a circle: {' -> '.join([*circle, first])}"))
    return found
