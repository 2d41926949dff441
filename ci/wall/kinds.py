"""Questions about mypy's types and expressions that the rules of the wall ask."""

from collections.abc import Sequence

from mypy.constant_fold import constant_fold_binary_op, constant_fold_unary_op
from mypy.nodes import (
    Decorator,
    Expression,
    FloatExpr,
    IntExpr,
    OpExpr,
    RefExpr,
    StrExpr,
    SymbolNode,
    TypeInfo,
    UnaryExpr,
    Var,
)
from mypy.types import (
    CallableType,
    FunctionLike,
    Instance,
    LiteralType,
    NoneType,
    Overloaded,
    ProperType,
    TupleType,
    Type,
    TypedDictType,
    TypeType,
    TypeVarType,
    UnionType,
    get_proper_type,
)

Constant = int | bool | float | complex | str


def constant_of(expression: Expression) -> Constant | None:
    """The value of a literal, of a `Final` name bound to one, or of arithmetic on these."""
    if isinstance(expression, IntExpr | FloatExpr | StrExpr):
        return expression.value
    if isinstance(expression, RefExpr):
        return _final_value(expression.node)
    if isinstance(expression, UnaryExpr):
        value = constant_of(expression.expr)
        return None if value is None else constant_fold_unary_op(expression.op, value)
    if isinstance(expression, OpExpr):
        left, right = constant_of(expression.left), constant_of(expression.right)
        return None if left is None or right is None else constant_fold_binary_op(expression.op, left, right)
    return None


def _final_value(node: SymbolNode | None) -> Constant | None:
    if isinstance(node, Var) and node.is_final and isinstance(node.final_value, int | float | str):
        return node.final_value
    return None


def members_of(found: Type) -> list[ProperType]:
    """The alternatives of a type: a union's items, a type variable's bound, itself."""
    proper = get_proper_type(found)
    if isinstance(proper, UnionType):
        return [member for item in proper.items for member in members_of(item)]
    if isinstance(proper, TypeVarType):
        return [member for item in proper.values or [proper.upper_bound] for member in members_of(item)]
    return [proper]


def instance_of(member: ProperType) -> Instance | None:
    """The class instance behind one alternative: a literal's, a tuple's, a function's, or what a NewType stands for."""
    if isinstance(member, Instance):
        return instance_of(get_proper_type(member.type.bases[0])) if member.type.is_newtype else member
    if isinstance(member, TupleType):
        return member.partial_fallback
    if isinstance(member, LiteralType | TypedDictType | FunctionLike):
        return member.fallback
    return None


def class_of(member: ProperType) -> TypeInfo | None:
    """The class of one alternative when it is a value, or None for class objects, None and lost types."""
    found = instance_of(member)
    return None if found is None else found.type


def class_object(member: ProperType) -> TypeInfo | None:
    """The class itself, when the alternative is a class object such as `int` or `type[Label]`."""
    if isinstance(member, TypeType):
        return class_of(member.item)
    if isinstance(member, CallableType | Overloaded) and member.is_type_obj():
        return member.type_object()
    return None


def is_none(member: ProperType) -> bool:
    """Whether the alternative is the value None."""
    return isinstance(member, NoneType)


def names_of(found: Type) -> list[str]:
    """Full names of the classes of all alternatives; "" for one that has none."""
    classes = [class_of(member) for member in members_of(found) if not is_none(member)]
    return ["" if info is None else info.fullname for info in classes]


def defining(info: TypeInfo, name: str) -> tuple[TypeInfo, SymbolNode | None] | None:
    """The class in the MRO that defines `name`, with what it defines."""
    for base in info.mro:
        symbol = base.names.get(name)
        if symbol is not None:
            return base, symbol.node
    return None


def is_property(node: SymbolNode | None) -> bool:
    """Whether reading the attribute runs code."""
    return (isinstance(node, Decorator) and node.var.is_property) or (isinstance(node, Var) and node.is_property)


_ALWAYS_HASHABLE = frozenset({"builtins.int", "builtins.str", "builtins.bytes", "builtins.float", "builtins.bool"})


def hashable(found: Type) -> bool:
    """Whether every value of the type can be a key; mypy itself does not ask."""
    return all(_member_hashable(member) for member in members_of(found))


def _member_hashable(member: ProperType) -> bool:
    if is_none(member) or class_object(member) is not None:
        return True
    if isinstance(member, TupleType):
        return all(hashable(item) for item in member.items)
    found = instance_of(member)
    if found is None:
        return False
    if found.type.fullname in _ALWAYS_HASHABLE or found.type.is_enum:
        return True
    return _arguments_hashable(found.args) and _class_hashable(found.type)


def _arguments_hashable(arguments: Sequence[Type]) -> bool:
    return all(hashable(argument) for argument in arguments)


def _class_hashable(info: TypeInfo) -> bool:
    if info.fullname == "builtins.object":
        return False
    made = info.metadata.get("dataclass")
    if made is not None:
        return bool(made.get("frozen"))
    hash_method = defining(info, "__hash__")
    if hash_method is None or isinstance(hash_method[1], Var):
        return False
    equals = defining(info, "__eq__")
    return equals is None or equals[0] is hash_method[0] or info.mro.index(hash_method[0]) <= info.mro.index(equals[0])
