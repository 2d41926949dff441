"""Comparisons: which classes may be compared, ordered and searched without an exception."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from mypy.nodes import ComparisonExpr, Expression
from mypy.types import AnyType, ProperType, TupleType

from ci.wall.callee import Nameless, is_ours, method_of
from ci.wall.kinds import class_object, class_of, defining, is_none, members_of, names_of
from ci.wall.operations import Operand, Operation, TotalOperations
from ci.wall.typed import TypedTree

_ORDERED: Final = frozenset({
    "builtins.int", "builtins.float", "builtins.bool", "builtins.str", "builtins.bytes", "builtins.bytearray",
    "builtins.set", "builtins.frozenset",
})  # fmt: skip
_PLAIN: Final = _ORDERED - {"builtins.set", "builtins.frozenset"}
_TRUSTED_MODULES: Final = ("builtins.", "enum.", "returns.", "typing.", "collections.", "types.")


def comparison_objections(node: ComparisonExpr, tree: TypedTree, operations: TotalOperations) -> Iterator[str]:
    """Objections to each link of a chain of comparisons."""
    for op, (left, right) in zip(node.operators, pairwise(node.operands), strict=True):
        if op in {"in", "not in"}:
            yield from _membership(left, right, tree, operations)
        elif op in {"==", "!="}:
            yield from _equality(left, tree)
            yield from _equality(right, tree)
        elif op not in {"is", "is not"}:
            yield from _order(left, tree)
            yield from _order(right, tree)


def _members(expression: Expression, tree: TypedTree) -> list[ProperType]:
    found = tree.type_of(expression)
    return [] if found is None else [member for member in members_of(found) if not is_none(member)]


def _membership(item: Expression, container: Expression, tree: TypedTree, operations: TotalOperations) -> Iterator[str]:
    operand = Operand(item, tree.type_of(item))
    for member in _members(container, tree):
        of_class = class_object(member)
        info = class_of(member) if of_class is None else None
        if info is None:
            yield f"`in` on {member}, which has no class with a total search"
            continue
        callee = method_of(info, "__contains__")
        if isinstance(callee, Nameless):
            yield callee.why
        elif not is_ours(callee.name):
            objection = operations.objection(Operation(callee.name, (operand,)))
            if objection is not None:
                yield objection


def _equality(side: Expression, tree: TypedTree) -> Iterator[str]:
    for member in _members(side, tree):
        info = class_of(member)
        if isinstance(member, AnyType):
            yield "a value that has lost its type (Any) is compared"
        elif info is not None:
            place = defining(info, "__eq__")
            name = "" if place is None else place[0].fullname
            if not is_ours(name) and not name.startswith(_TRUSTED_MODULES):
                yield f"{name or info.fullname}.__eq__ is somebody else's code"


def _order(side: Expression, tree: TypedTree) -> Iterator[str]:
    for member in _members(side, tree):
        if isinstance(member, TupleType):
            if not all(set(names_of(item)) <= _PLAIN for item in member.items):
                yield f"items of {member} may not compare"
            continue
        info = class_of(member)
        if info is None or not (info.fullname in _ORDERED or is_ours(info.fullname)):
            yield f"ordering of {member} is not known to be total"
