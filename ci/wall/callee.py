"""Which named thing a call, an attribute or an operator means, from mypy's symbols and types."""

from dataclasses import dataclass
from typing import Final, final

from mypy.nodes import (
    CallExpr,
    Decorator,
    Expression,
    FuncDef,
    IndexExpr,
    LambdaExpr,
    MemberExpr,
    MypyFile,
    OverloadedFuncDef,
    RefExpr,
    SuperExpr,
    TypeApplication,
    TypeInfo,
    Var,
)

from ci.wall.kinds import class_object, class_of, defining, is_none, members_of
from ci.wall.typed import TypedTree

OURS: Final = "tunnel.core."


@final
@dataclass(frozen=True, slots=True)
class Named:
    """A callee with a name; `owner` is the class for a method or a constructor."""

    name: str
    owner: TypeInfo | None = None


@final
@dataclass(frozen=True, slots=True)
class Nameless:
    """A callee that only a value of the program knows, with the words for the finding."""

    why: str


Callee = Named | Nameless


def is_ours(name: str) -> bool:
    """Whether the name belongs to the core, whose bodies are checked themselves."""
    return name.startswith(OURS)


def callees_of(call: CallExpr, tree: TypedTree) -> list[Callee]:
    """Everything the call may mean: one answer for each alternative of the receiver's type."""
    return _meant_by(call.callee, tree)


def _meant_by(expression: Expression, tree: TypedTree) -> list[Callee]:
    if isinstance(expression, IndexExpr) and isinstance(expression.analyzed, TypeApplication):
        return _meant_by(expression.analyzed.expr, tree)
    if isinstance(expression, TypeApplication):
        return _meant_by(expression.expr, tree)
    if isinstance(expression, SuperExpr):
        return _inherited(expression)
    if isinstance(expression, LambdaExpr):
        return [Nameless("a lambda is called where it stands")]
    if isinstance(expression, RefExpr) and isinstance(
        expression.node, FuncDef | OverloadedFuncDef | Decorator | TypeInfo
    ):
        return [_symbol(expression.node)]
    if isinstance(expression, MemberExpr) and not _is_module(expression.expr):
        return _methods(expression, tree)
    return [Nameless("the called thing has no name: a value of callable type")]


def _is_module(expression: Expression) -> bool:
    return isinstance(expression, RefExpr) and isinstance(expression.node, MypyFile)


def _symbol(node: FuncDef | OverloadedFuncDef | Decorator | TypeInfo) -> Callee:
    if isinstance(node, TypeInfo):
        return _constructor(node)
    return Named(node.fullname, node.info or None)


def _constructor(info: TypeInfo) -> Callee:
    if info.is_enum:
        return Nameless(f"{info.name}(...) looks a member up and is a ValueError when there is none")
    made_by = defining(info, "__init__")
    if is_ours(info.fullname) and made_by is not None and not info.is_newtype and not info.is_named_tuple:
        base = made_by[0]
        if not is_ours(base.fullname) and base.fullname != "builtins.object":
            return Named(f"{base.fullname}.__init__")
    return Named(info.fullname, info)


def _inherited(expression: SuperExpr) -> list[Callee]:
    info = expression.info
    for base in info.mro[1:] if info is not None else []:
        if expression.name in base.names:
            return [Named(f"{base.fullname}.{expression.name}", base)]
    return [Nameless("super() of something unknown")]


def _methods(member: MemberExpr, tree: TypedTree) -> list[Callee]:
    receiver = tree.type_of(member.expr)
    if receiver is None:
        return [Named(member.fullname)] if member.fullname else [Nameless("mypy sees no way to get here")]
    found: list[Callee] = []
    for one in members_of(receiver):
        if is_none(one):
            continue
        info = class_object(one) or class_of(one)
        found.append(Nameless("the receiver has lost its type (Any)") if info is None else method_of(info, member.name))
    return found


def method_of(info: TypeInfo, name: str) -> Callee:
    """The method `name` of a class, or why there is none to name."""
    place = defining(info, name) or (defining(info.metaclass_type.type, name) if info.metaclass_type else None)
    if place is None:
        return Nameless(f"{info.name} has no method {name} that mypy can name")
    base, node = place
    if isinstance(node, Var):
        return Nameless(f"{info.name}.{name} holds a value of callable type")
    if isinstance(node, TypeInfo):
        return _constructor(node)
    return Named(f"{base.fullname}.{name}", base)
