"""Objections to one statement or expression of the core, by kind: what in it could raise (WALL-TOTAL-001)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, final

from mypy.nodes import (
    ArgKind,
    AssignmentStmt,
    CallExpr,
    ClassDef,
    ComparisonExpr,
    Decorator,
    DelStmt,
    DictExpr,
    DictionaryComprehension,
    Expression,
    ForStmt,
    FuncDef,
    GeneratorExpr,
    IndexExpr,
    ListExpr,
    MemberExpr,
    OperatorAssignmentStmt,
    OpExpr,
    RefExpr,
    SetComprehension,
    SetExpr,
    StarExpr,
    TupleExpr,
    UnaryExpr,
    Var,
)
from mypy.types import AnyType, ProperType, TupleType, Type

from ci.wall.callee import Callee, Named, Nameless, callees_of, is_ours, method_of
from ci.wall.comparisons import comparison_objections
from ci.wall.formats import format_objections, formatted
from ci.wall.kinds import class_object, class_of, constant_of, defining, hashable, is_none, is_property, members_of
from ci.wall.loops import item_type, live_loop_objections
from ci.wall.operations import Operand, Operation, TotalOperations
from ci.wall.typed import TypedTree

_OPERATORS: Final[Mapping[str, str]] = {
    "+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod", "**": "pow", "@": "matmul",
    "&": "and", "|": "or", "^": "xor", "<<": "lshift", ">>": "rshift",
}  # fmt: skip
_UNARY: Final[Mapping[str, str]] = {"-": "__neg__", "+": "__pos__", "~": "__invert__"}
_NUMBER_PAIR: Final = ("builtins.int", "builtins.float")

_CONSUMING: Final = frozenset({
    "builtins.list", "builtins.tuple", "builtins.set", "builtins.frozenset", "builtins.sum", "builtins.any",
    "builtins.all", "builtins.sorted", "builtins.enumerate", "builtins.zip", "builtins.bytes.join", "builtins.str.join",
    "builtins.list.extend", "builtins.set.update", "collections.deque", "collections.deque.extend",
})  # fmt: skip
"""Functions that walk an argument to its end."""

Objections = Iterator[str]


@final
class Uses:
    """Judges single nodes; it keeps nothing between two questions but the calls it has named."""

    def __init__(self, tree: TypedTree, operations: TotalOperations) -> None:
        """Judge with the types of `tree` and the list of `operations`."""
        self._tree = tree
        self._operations = operations
        self._called: list[str] = []

    def take_called(self) -> list[str]:
        """The names called since the last question, once; a constructor counts as its `__init__`."""
        called, self._called = self._called, []
        return called

    # Calls, operators and subscripts.

    def call(self, node: CallExpr) -> Objections:
        """Objections to one call."""
        if formatted(node) is not None:
            yield from format_objections(node, self._tree)
            return
        if any(kind in {ArgKind.ARG_STAR, ArgKind.ARG_STAR2} for kind in node.arg_kinds):
            yield "a call with *arguments may have the wrong number of them"
        operands = tuple(
            Operand(argument, self._tree.type_of(argument), name)
            for argument, name in zip(node.args, node.arg_names, strict=True)
        )
        for callee in callees_of(node, self._tree):
            yield from self._judge(callee, operands)
            if isinstance(callee, Named) and callee.name in _CONSUMING:
                yield from self._consumed(node)

    def _consumed(self, node: CallExpr) -> Objections:
        """A function that walks its argument is as total as that walk; one value among several is no collection."""
        alone = len(node.args) == 1
        for argument in node.args:
            found = self._tree.type_of(argument)
            members = [] if found is None else members_of(found)
            if alone or any(info is not None and info.has_base("typing.Iterable") for info in map(class_of, members)):
                yield from self.method(argument, "__iter__")

    def _judge(self, callee: Callee, operands: tuple[Operand, ...]) -> Objections:
        if isinstance(callee, Nameless):
            yield callee.why
            return
        constructed = callee.owner is not None and callee.name == callee.owner.fullname
        self._called.append(f"{callee.name}.__init__" if constructed else callee.name)
        if is_ours(callee.name):
            if callee.name.endswith(".__call__"):
                yield "calling an instance hides a name: give the method one"
            return
        objection = self._operations.objection(Operation(callee.name, operands))
        if objection is not None:
            yield objection

    def method(self, receiver: Expression, name: str, *arguments: Expression) -> Objections:
        """Objections to a special method that a statement or operator calls on each kind of receiver."""
        found = self._tree.type_of(receiver)
        operands = tuple(Operand(argument, self._tree.type_of(argument)) for argument in arguments)
        if found is None:
            yield "mypy sees no way to get here"
            return
        for member in members_of(found):
            if not is_none(member):
                yield from self._member_method(member, name, operands)

    def _member_method(self, member: ProperType, name: str, operands: tuple[Operand, ...]) -> Objections:
        of_class = class_object(member)
        meta = None if of_class is None or of_class.metaclass_type is None else of_class.metaclass_type.type
        info = class_of(member) if of_class is None else meta
        if isinstance(member, AnyType) or info is None:
            yield f"{name} is used on a value that has lost its type (Any)"
            return
        yield from self._judge(method_of(info, name), operands)

    def operator(self, node: OpExpr) -> Objections:
        """Objections to one binary operator."""
        if node.op in {"and", "or"} or constant_of(node) is not None:
            return
        yield from self._binary(node.op, node.left, node.right)

    def _binary(self, op: str, left: Expression, right: Expression) -> Objections:
        name = _OPERATORS.get(op)
        if name is None:
            yield f"the operator {op} is not among those of the core"
        elif self._is_kind(left, _NUMBER_PAIR[0]) and self._is_kind(right, _NUMBER_PAIR[1]):
            yield from self.method(right, f"__r{name}__", left)
        else:
            yield from self.method(left, f"__{name}__", right)

    def _is_kind(self, expression: Expression, fullname: str) -> bool:
        found = self._tree.type_of(expression)
        classes = [] if found is None else [class_of(member) for member in members_of(found)]
        return bool(classes) and all(info is not None and info.fullname == fullname for info in classes)

    def in_place(self, node: OperatorAssignmentStmt) -> Objections:
        """Objections to `x += y`: the in-place method where the class has one, else the plain operator."""
        members = self._target_members(node.lvalue)
        name = f"__i{_OPERATORS.get(node.op, node.op)}__"
        infos = [class_of(member) for member in members]
        if infos and all(info is not None and defining(info, name) is not None for info in infos):
            operand = Operand(node.rvalue, self._tree.type_of(node.rvalue))
            for member in members:
                yield from self._member_method(member, name, (operand,))
        else:
            yield from self._binary(node.op, node.lvalue, node.rvalue)
        if isinstance(node.lvalue, IndexExpr):
            yield from self.method(node.lvalue.base, "__setitem__", node.lvalue.index)

    def _target_members(self, target: Expression) -> list[ProperType]:
        """The alternatives of what `+=` changes; for an attribute mypy keeps no type of the target itself."""
        found: Type | None = self._tree.type_of(target)
        if found is None and isinstance(target, MemberExpr):
            receiver = self._tree.type_of(target.expr)
            info = None if receiver is None else class_of(receiver)
            place = None if info is None else defining(info, target.name)
            found = place[1].type if place is not None and isinstance(place[1], Var) else None
        return [] if found is None else members_of(found)

    def unary(self, node: UnaryExpr) -> Objections:
        """Objections to `-x`, `+x` and `~x`; `not` is defined for everything."""
        if node.op != "not" and constant_of(node) is None:
            yield from self.method(node.expr, _UNARY.get(node.op, node.op))

    def subscript(self, node: IndexExpr) -> Objections:
        """Objections to reading `x[i]`; a literal index into a tuple of known length is mypy's to check."""
        if node.analyzed is not None:
            return
        found = self._tree.type_of(node.base)
        members = [] if found is None else members_of(found)
        fixed = bool(members) and all(isinstance(member, TupleType) for member in members)
        if fixed and isinstance(constant_of(node.index), int):
            return
        yield from self.method(node.base, "__getitem__", node.index)

    def attribute(self, node: MemberExpr) -> Objections:
        """Objections to reading `x.y`: through Any, or by somebody else's property."""
        found = self._tree.type_of(node.expr)
        for member in [] if found is None else members_of(found):
            if isinstance(member, AnyType):
                yield f"{node.name} is read from a value that has lost its type (Any)"
                continue
            info = class_object(member) or class_of(member)
            place = None if info is None else defining(info, node.name)
            if place is not None and is_property(place[1]) and class_object(member) is None:
                yield from self._judge(Named(f"{place[0].fullname}.{node.name}", place[0]), ())

    # Assignments and loops.

    def assignment(self, node: AssignmentStmt) -> Objections:
        """Objections to the targets of an assignment."""
        if node.is_alias_def:
            return
        for target in node.lvalues:
            if isinstance(target, IndexExpr):
                yield from self.method(target.base, "__setitem__", target.index)
            elif isinstance(target, TupleExpr | ListExpr):
                found = self._tree.type_of(node.rvalue)
                yield from self._unpacking(target, [] if found is None else members_of(found))

    def _unpacking(self, target: TupleExpr | ListExpr, members: Sequence[ProperType]) -> Objections:
        for member in members:
            fixed = isinstance(member, TupleType) and len(member.items) == len(target.items)
            starred = any(isinstance(item, StarExpr) for item in target.items)
            if not fixed or starred:
                yield f"taking {member} apart may find another number of values"
                continue
            for item, part in zip(target.items, member.items if isinstance(member, TupleType) else [], strict=False):
                if isinstance(item, TupleExpr | ListExpr):
                    yield from self._unpacking(item, members_of(part))

    def deletion(self, node: DelStmt) -> Objections:
        """Objections to `del`: only parts of a collection can be deleted, by a slice."""
        if isinstance(node.expr, IndexExpr):
            yield from self.method(node.expr.base, "__delitem__", node.expr.index)
        else:
            yield "a deleted name or attribute may be read again"

    def loop(self, node: ForStmt) -> Objections:
        """Objections to a loop: its iterable, its targets, and changes to what it walks."""
        if node.is_async:
            yield "an asynchronous loop"
        yield from self._iteration(node.index, node.expr)
        yield from live_loop_objections(node.expr, [node.body], self._tree)

    def comprehension(self, node: GeneratorExpr | DictionaryComprehension) -> Objections:
        """Objections to a comprehension, as to a loop."""
        if any(node.is_async):
            yield "an asynchronous loop"
        made = [node.left_expr] if isinstance(node, GeneratorExpr) else [node.key, node.value]
        if isinstance(node, DictionaryComprehension) and node.key is not None:
            yield from self._key(node.key)
        for target, source in zip(node.indices, node.sequences, strict=True):
            yield from self._iteration(target, source)
            conditions = [each for group in node.condlists for each in group]
            repeated = [each for each in (*conditions, *made) if each is not None]
            yield from live_loop_objections(source, repeated, self._tree)

    def _iteration(self, target: Expression, source: Expression) -> Objections:
        yield from self.method(source, "__iter__")
        if isinstance(target, TupleExpr | ListExpr):
            found = self._tree.type_of(source)
            items = [item_type(member, self._tree) for member in members_of(found)] if found is not None else []
            for item in items:
                yield from self._unpacking(target, [] if item is None else members_of(item))

    def starred(self, node: StarExpr) -> Objections:
        """Objections to `*x` inside a list, tuple or set."""
        yield from self.method(node.expr, "__iter__")

    # Collections and definitions.

    def dict_display(self, node: DictExpr) -> Objections:
        """Objections to the keys of a dict written out."""
        for key, _ in node.items:
            if key is not None:
                yield from self._key(key)

    def set_display(self, node: SetExpr | SetComprehension) -> Objections:
        """Objections to the items of a set written out, or of one made by a comprehension."""
        for item in node.items if isinstance(node, SetExpr) else [node.generator.left_expr]:
            yield from self._key(item)

    def _key(self, key: Expression) -> Objections:
        found = self._tree.type_of(key)
        if found is not None and not hashable(found):
            yield f"a key of type {found} may not be hashable"

    def comparison(self, node: ComparisonExpr) -> Objections:
        """Objections to a chain of comparisons."""
        yield from comparison_objections(node, self._tree, self._operations)

    def function(self, node: FuncDef) -> Objections:
        """Objections to the kind of a function: generators and coroutines hand control away."""
        if node.is_generator or node.is_coroutine or node.is_async_generator:
            yield "the core has neither generators nor coroutines"

    def decoration(self, node: Decorator) -> Objections:
        """Objections to decorators that change what a call does."""
        for decorator in node.original_decorators:
            yield from self._decorator(decorator)

    def _decorator(self, decorator: Expression) -> Objections:
        named = decorator.callee if isinstance(decorator, CallExpr) else decorator
        setter = isinstance(named, MemberExpr) and named.name == "setter"
        name = named.fullname if isinstance(named, RefExpr) else ""
        if not setter and name not in self._operations.decorators:
            yield f"the decorator {name or named} is not on the list"

    def definition(self, node: ClassDef) -> Objections:
        """Objections to a class: bases that bring partial methods, metaclasses, decorators."""
        for base in node.info.bases:
            name = base.type.fullname
            if not is_ours(name) and name not in self._operations.bases:
                yield f"the base class {name} is not on the list"
        if node.metaclass is not None:
            yield "a metaclass decides what construction does"
        for decorator in node.decorators:
            yield from self._decorator(decorator)
