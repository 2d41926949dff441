"""f-strings: mypy keeps each part as a call of `format`; here is which of them cannot raise."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from mypy.nodes import CallExpr, Expression, MemberExpr, StrExpr

from ci.wall.kinds import class_of, members_of
from ci.wall.typed import TypedTree

_SHAPES: Final = frozenset({"{:{}}", "{!r:{}}", "{!s:{}}", "{!a:{}}"})
_SPECS: Final[Mapping[str, re.Pattern[str]]] = {
    "builtins.int": re.compile(r"[<>^]?0?[0-9]{0,3},?[dxXb]?"),
    "builtins.bool": re.compile(r""),
    "builtins.float": re.compile(r"[<>^]?0?[0-9]{0,3}(\.[0-9]{1,2}[fge])?"),
    "builtins.str": re.compile(r"[<>^]?[0-9]{0,3}"),
}


def formatted(call: CallExpr) -> str | None:
    """The shape of an f-string part (or of a `str.format` that looks the same), or None for any other call."""
    callee = call.callee
    if isinstance(callee, MemberExpr) and callee.name == "format" and isinstance(callee.expr, StrExpr):
        return callee.expr.value if callee.expr.value in _SHAPES else None
    return None


def format_objections(call: CallExpr, tree: TypedTree) -> Iterator[str]:
    """Objections to one part of an f-string: plain values only, and a literal format that fits them."""
    shape, (value, *specs) = formatted(call), call.args
    spec = specs[0] if specs else None
    text = spec.value if isinstance(spec, StrExpr) else None
    if text is None:
        yield "a format that is computed may not fit its value"
        return
    if shape != "{:{}}":
        if not _SPECS["builtins.str"].fullmatch(text):
            yield f"the format {text!r} does not fit text"
        return
    yield from _value_objections(value, text, tree)


def _value_objections(value: Expression, spec: str, tree: TypedTree) -> Iterator[str]:
    found = tree.type_of(value)
    for member in [] if found is None else members_of(found):
        info = class_of(member)
        known = None if info is None else _SPECS.get(info.fullname)
        if known is None:
            yield f"a value of type {member} in an f-string runs its own formatting: name what is meant, or use !r"
        elif not known.fullmatch(spec):
            yield f"the format {spec!r} does not fit {member}"
