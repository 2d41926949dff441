"""An `Outcome`, or an awaitable of one, that is computed and dropped is an error, in all of src/ (WALL-USE-001)."""

from collections.abc import Iterator
from typing import Final

from mypy.nodes import AssignmentStmt, AwaitExpr, Expression, ExpressionStmt, NameExpr, Node, TupleExpr
from mypy.types import Instance, ProperType

from ci.wall.children import every_node
from ci.wall.finding import Finding
from ci.wall.kinds import members_of
from ci.wall.tree import Tree
from ci.wall.typed import TypedTree

_OUTCOMES: Final = frozenset({"returns.result.Success", "returns.result.Failure", "returns.result.Result"})
_CARRIERS: Final = frozenset({
    "typing.Coroutine", "typing.Awaitable", "types.CoroutineType", "asyncio.tasks.Task", "_asyncio.Task",
    "_asyncio.Future", "asyncio.futures.Future", "typing.Generator",
})  # fmt: skip


def carries_outcome(found: ProperType) -> bool:
    """Whether a value of this type is an outcome, or will be one when awaited."""
    for member in members_of(found):
        if not isinstance(member, Instance):
            continue
        if member.type.fullname in _OUTCOMES:
            return True
        if member.type.fullname in _CARRIERS and any(
            carries_outcome(inner) for argument in member.args for inner in members_of(argument)
        ):
            return True
    return False


def _dropped(node: Node) -> Iterator[Expression]:
    """Expressions whose value nothing will see: statements, and assignments to `_`."""
    if isinstance(node, ExpressionStmt):
        yield node.expr
    if isinstance(node, AssignmentStmt):
        for target in node.lvalues:
            names = target.items if isinstance(target, TupleExpr) else [target]
            values = node.rvalue.items if isinstance(node.rvalue, TupleExpr) else [node.rvalue]
            for name, value in zip(names, values, strict=False):
                if isinstance(name, NameExpr) and name.name == "_":
                    yield value


def check_must_use(tree: Tree) -> list[Finding]:
    """Every outcome that is dropped."""
    return [
        Finding(
            module.file,
            node.line,
            "an Outcome is computed and dropped: look at it, or say in code what a failure means here",
        )
        for module in tree.typed.modules
        for node in every_node(module.syntax)
        for expression in _dropped(node)
        if _is_outcome(expression, tree.typed)
    ]


def _is_outcome(expression: Expression, typed: TypedTree) -> bool:
    found = typed.type_of(expression)
    if found is None and isinstance(expression, AwaitExpr):
        found = typed.type_of(expression.expr)
    return found is not None and carries_outcome(found)
