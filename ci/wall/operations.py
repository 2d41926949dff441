"""The committed list of operations that cannot raise, and the question whether one use of an operation is on it."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from mypy.nodes import BytesExpr, Expression, FloatExpr, IntExpr, OpExpr, RefExpr, SliceExpr, StrExpr, UnaryExpr, Var
from mypy.types import Instance, LiteralType, ProperType, TupleType, Type

from ci.wall.kinds import constant_of, hashable, is_none, members_of, names_of

LIST_FILE: Final = Path(__file__).with_name("total_operations.toml")
_BYTES_LIKE: Final = frozenset({"builtins.bytes", "builtins.bytearray"})
_WHOLE: Final = frozenset({"builtins.int", "builtins.bool"})
_ORDERED: Final = frozenset({"builtins.int", "builtins.bool", "builtins.float", "builtins.str", "builtins.bytes"})
_PLAIN: Final = _ORDERED | {"builtins.bytearray"}


@final
@dataclass(frozen=True, slots=True)
class Operand:
    """One argument as written, with its type (None where mypy saw no way to get there)."""

    expression: Expression
    type: ProperType | None
    keyword: str | None = None


@final
@dataclass(frozen=True, slots=True)
class Operation:
    """One use of a named callable, operator or subscript; operators and subscripts are their special methods."""

    name: str
    operands: tuple[Operand, ...]

    def positional(self, at: int) -> Operand | None:
        """The argument at this position, or None."""
        plain = [operand for operand in self.operands if operand.keyword is None]
        return plain[at] if at < len(plain) else None

    def keyword(self, name: str) -> Operand | None:
        """The argument given by this name, or None."""
        return next((operand for operand in self.operands if operand.keyword == name), None)


def _first_is(operation: Operation, classes: frozenset[str]) -> bool:
    first = operation.positional(0)
    return first is not None and first.type is not None and set(names_of(first.type)) <= classes


def _literal(operand: Operand | None) -> int | float | str | None:
    if operand is None:
        return None
    value = constant_of(operand.expression)
    if value is None:
        value = _value_in_type(operand.type)
    return None if isinstance(value, complex) else value


def _value_in_type(found: ProperType | None) -> int | float | str | None:
    """The one value a type allows: `Literal[...]`, or a `Final` name whose value mypy remembers."""
    literal = found.last_known_value if isinstance(found, Instance) else found
    value = literal.value if isinstance(literal, LiteralType) else None
    return value if isinstance(value, int | float | str) else None


def _first_is_slice(operation: Operation) -> bool:
    first = operation.positional(0)
    return first is not None and is_plain_slice(first.expression)


def is_plain_slice(index: Expression) -> bool:
    """A slice whose step, if any, is a literal other than zero."""
    if not isinstance(index, SliceExpr):
        return False
    return index.stride is None or constant_of(index.stride) not in {None, 0}


def _separator_not_empty(operation: Operation) -> bool:
    first = operation.positional(0)
    if first is None:
        return True
    written = first.expression.value if isinstance(first.expression, BytesExpr | StrExpr) else _literal(first)
    return isinstance(written, str) and bool(written)


def _pattern_is_literal(operation: Operation) -> bool:
    first = operation.positional(0)
    return first is not None and _is_text(first.expression)


def _is_text(expression: Expression) -> bool:
    """Bytes or text written out, concatenated, or bound to a `Final` name."""
    if isinstance(expression, OpExpr) and expression.op == "+":
        return _is_text(expression.left) and _is_text(expression.right)
    if isinstance(expression, RefExpr):
        return isinstance(expression.node, Var) and expression.node.is_final
    return isinstance(expression, BytesExpr | StrExpr)


def _first_has_length_two_or_more(operation: Operation) -> bool:
    return operation.positional(1) is not None or operation.keyword("default") is not None


def _bounded_arguments(operation: Operation) -> bool:
    step = operation.positional(2)
    return step is None or _literal(step) not in {None, 0}


def _first_hashable(operation: Operation) -> bool:
    first = operation.positional(0)
    return first is not None and first.type is not None and hashable(first.type)


def _float_with_float(operation: Operation) -> bool:
    first = operation.positional(0)
    if first is None or first.type is None:
        return False
    whole = any(name in _WHOLE for name in names_of(first.type))
    return not whole or isinstance(first.expression, IntExpr | FloatExpr | UnaryExpr)


def _arguments_of(found: ProperType) -> list[Type]:
    """The types of the items of a collection, as far as its type tells."""
    if isinstance(found, TupleType):
        return list(found.items)
    return list(found.args[:1]) if isinstance(found, Instance) else []


def _orderable(found: Type) -> bool:
    return all(
        all(_orderable(item) for item in member.items)
        if isinstance(member, TupleType)
        else set(names_of(member)) <= _ORDERED and not is_none(member)
        for member in members_of(found)
    )


def _items_comparable(operation: Operation) -> bool:
    first = operation.positional(0)
    if first is None or first.type is None:
        return False
    items = [item for member in members_of(first.type) for item in _arguments_of(member)]
    return bool(items) and all(_orderable(item) for item in items)


def _values_comparable(operation: Operation) -> bool:
    if operation.positional(1) is None:
        return _items_comparable(operation)
    return all(operand.type is not None and _orderable(operand.type) for operand in operation.operands)


def _items_hashable(operation: Operation) -> bool:
    return all(
        operand.type is not None
        and all(
            _arguments_of(member) and all(map(hashable, _arguments_of(member))) for member in members_of(operand.type)
        )
        for operand in operation.operands
    )


def _plain(operation: Operation) -> bool:
    first = operation.positional(0)
    return first is not None and first.type is not None and set(names_of(first.type)) <= _PLAIN


def _literal_in(low: int, high: int) -> Callable[[Operation], bool]:
    def holds(operation: Operation) -> bool:
        value = _literal(operation.positional(0))
        return isinstance(value, int) and low <= value <= high

    return holds


def _non_zero(operation: Operation) -> bool:
    return _literal(operation.positional(0)) not in {None, 0}


CONDITIONS: Final[Mapping[str, Callable[[Operation], bool]]] = {
    "no arguments": lambda operation: not operation.operands,
    "no keywords": lambda operation: all(operand.keyword is None for operand in operation.operands),
    "a default is given": lambda operation: operation.positional(1) is not None,
    "two or more values, or a default": _first_has_length_two_or_more,
    "the index is a slice": _first_is_slice,
    "the divisor is a literal other than zero": _non_zero,
    "the shift is a literal from 0 to 4096": _literal_in(0, 4096),
    "the right side is a whole number": lambda operation: _first_is(operation, _WHOLE),
    "the right side is a float or a literal": _float_with_float,
    "the argument is bytes": lambda operation: _first_is(operation, _BYTES_LIKE),
    "the argument is a literal number": lambda operation: isinstance(_literal(operation.positional(0)), int | float),
    "the argument is text": lambda operation: _first_is(operation, frozenset({"builtins.str"})),
    "the separator is a literal that is not empty": _separator_not_empty,
    "the pattern is a literal": _pattern_is_literal,
    "the step is a literal other than zero": _bounded_arguments,
    "the key can be hashed": _first_hashable,
    "the items can be compared": _items_comparable,
    "the values can be compared": _values_comparable,
    "the items can be hashed": _items_hashable,
    "the argument is a plain value": _plain,
    "the second argument is the literal big or little": lambda operation: (
        _literal(operation.positional(1)) in {"big", "little"}
    ),
    "there is no limit on its length": lambda operation: operation.keyword("maxlen") is None,
    "it is given none or one argument": lambda operation: operation.positional(1) is None,
}


@final
@dataclass(frozen=True, slots=True)
class Total:
    """One entry of the list: under these conditions the operation cannot raise, for this reason."""

    conditions: tuple[str, ...]
    why: str


@final
@dataclass(frozen=True, slots=True)
class TotalOperations:
    """The committed list, by full name."""

    entries: Mapping[str, tuple[Total, ...]]
    bases: frozenset[str]
    decorators: frozenset[str]

    def objection(self, operation: Operation) -> str | None:
        """Why this use may raise, or None when the list says that it cannot."""
        entries = self.entries.get(operation.name)
        if entries is None:
            return f"{operation.name} is not on the list of total operations"
        if any(all(CONDITIONS[each](operation) for each in entry.conditions) for entry in entries):
            return None
        wanted = "; or ".join(" and ".join(entry.conditions) for entry in entries)
        return f"{operation.name} is total only when {wanted}"


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def read_total_operations(file: Path = LIST_FILE) -> TotalOperations:
    """The list in `file`; an unknown condition or an entry without a reason is a KeyError or ValueError here."""
    table: dict[str, object] = tomllib.loads(file.read_text(encoding="utf-8"))
    entries: dict[str, tuple[Total, ...]] = {}
    rows = table["total"]
    for row in rows if isinstance(rows, list) else []:
        conditions = _texts(row.get("when", []))
        unknown = [each for each in conditions if each not in CONDITIONS]
        if unknown or not row["why"]:
            message = f"{file.name}: {row['of']}: unknown condition {unknown} or no reason"
            raise ValueError(message)
        for name in _texts(row["names"]):
            full = f"{row['of']}.{name}"
            entries[full] = (*entries.get(full, ()), Total(conditions, row["why"]))
    return TotalOperations(entries, frozenset(_texts(table["bases"])), frozenset(_texts(table["decorators"])))
