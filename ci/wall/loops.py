"""Loops over a living dict, set or deque: changing one while it is walked is a RuntimeError."""

from collections.abc import Iterator, Sequence
from typing import Final

from mypy.maptype import map_instance_to_supertype
from mypy.nodes import CallExpr, DelStmt, Expression, IndexExpr, MemberExpr, Node
from mypy.types import Instance, ProperType, TupleType, Type, UnionType

from ci.wall.callee import Named, callees_of, is_ours
from ci.wall.children import every_node
from ci.wall.kinds import class_of, instance_of, members_of
from ci.wall.typed import TypedTree

_LIVE: Final = frozenset({
    "builtins.dict", "builtins.set", "collections.deque", "collections.OrderedDict", "typing.Mapping",
    "_collections_abc.dict_items",
    "_collections_abc.dict_keys", "_collections_abc.dict_values", "typing.ItemsView", "typing.KeysView",
    "typing.ValuesView",
})  # fmt: skip
_CHANGING: Final = frozenset({
    "pop", "popitem", "clear", "update", "setdefault", "add", "discard", "remove", "append", "appendleft", "extend",
    "extendleft", "popleft", "insert",
})  # fmt: skip
_PURE_HELPERS: Final = ("tunnel.core.base.partial.", "tunnel.core.base.outcome.")


def live_loop_objections(source: Expression, repeated: Sequence[Node], tree: TypedTree) -> Iterator[str]:
    """Objections when what is repeated might change the collection that `source` walks."""
    found = tree.type_of(source)
    if found is None or not any(_is_live(member) for member in members_of(found)):
        return
    for part in repeated:
        for node in every_node(part):
            if _may_change(node, tree):
                yield f"line {node.line} may change the collection while it is walked: walk list(...) of it"
                return


def _is_live(member: ProperType) -> bool:
    info = class_of(member)
    return info is not None and info.fullname in _LIVE


def _may_change(node: Node, tree: TypedTree) -> bool:
    if isinstance(node, DelStmt):
        return isinstance(node.expr, IndexExpr)
    if not isinstance(node, CallExpr):
        return False
    if isinstance(node.callee, MemberExpr) and node.callee.name in _CHANGING:
        receiver = tree.type_of(node.callee.expr)
        return receiver is not None and any(_is_live(member) for member in members_of(receiver))
    return any(
        isinstance(callee, Named) and is_ours(callee.name) and not callee.name.startswith(_PURE_HELPERS)
        for callee in callees_of(node, tree)
        if not (isinstance(callee, Named) and callee.owner is not None and callee.name == callee.owner.fullname)
    )


def item_type(member: ProperType, tree: TypedTree) -> Type | None:
    """The type of the items that iterating over a value gives, or None when it is not known."""
    if isinstance(member, TupleType):
        return UnionType.make_union(list(member.items))
    found = instance_of(member)
    iterable = tree.library_class("typing", "Iterable")
    if found is None or iterable is None or not found.type.has_base("typing.Iterable"):
        return None
    above: Instance = map_instance_to_supertype(found, iterable)
    return above.args[0] if above.args else None
