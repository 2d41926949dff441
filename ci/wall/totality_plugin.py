"""The totality rule inside mypy itself, so that every run of mypy and every editor shows it (WALL-TOTAL-001).

mypy asks a plugin about each call, operator and subscript by full name. The complete pass is totality.py: it also sees
what mypy does not ask about (values of callable type, statements, formats). Both judge by the same list.
"""

import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final, final

from mypy.errorcodes import ErrorCode
from mypy.nodes import Expression, IndexExpr, OpExpr
from mypy.options import Options
from mypy.plugin import FunctionContext, MethodContext, Plugin, ReportConfigContext
from mypy.types import Type, get_proper_type
from typing_extensions import override

ROOT: Final = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)  # mypy loads a plugin by its file; the rest of the wall is beside it

from ci.wall.callee import is_ours  # noqa: E402 - after the path is known
from ci.wall.kinds import constant_of  # noqa: E402 - likewise
from ci.wall.operations import LIST_FILE, Operand, Operation, TotalOperations, read_total_operations  # noqa: E402 - likewise

TOTALITY: Final = ErrorCode("totality", "An operation of the core that may raise", "Tunnel")
_CORE_PATH: Final = "src/tunnel/core/"
_EXCEPTIONS: Final = ("core/base/outcome.py", "core/base/partial.py")
_LEFT_TO_THE_WALK: Final = frozenset({
    "__iter__", "__next__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__contains__", "__init__",
    "__bool__", "__len__", "format", "__hash__", "__init_subclass__",
})  # fmt: skip
"""Asked for loops, comparisons and f-strings, where the walk knows more about the surroundings."""


@final
class TotalityPlugin(Plugin):
    """Refuses operations that are not on the list, in the core and nowhere else."""

    def __init__(self, options: Options) -> None:
        """Read the list once per run."""
        super().__init__(options)
        self._operations: Final = read_total_operations()
        self._digest: Final = sha256(LIST_FILE.read_bytes()).hexdigest()

    @override
    def report_config_data(self, ctx: ReportConfigContext) -> str | None:
        """What mypy's cache of a module depends on beside its source: for the core, the list."""
        return self._digest if is_ours(ctx.id) else None

    @override
    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        if is_ours(fullname) or fullname.startswith("<") or fullname in self._operations.decorators:
            return None  # displays and comprehensions have no name; decorators are the walk's
        return lambda context: _judged(context, fullname, self._operations)

    @override
    def get_method_hook(self, fullname: str) -> Callable[[MethodContext], Type] | None:
        if is_ours(fullname) or fullname.rpartition(".")[2] in _LEFT_TO_THE_WALK:
            return None
        return lambda context: _judged(context, fullname, self._operations)


def _judged(context: FunctionContext | MethodContext, name: str, operations: TotalOperations) -> Type:
    if _CORE_PATH in context.api.path and not context.api.path.endswith(_EXCEPTIONS) and not _is_literal(context):
        objection = operations.objection(Operation(name, _operands(context)))
        if objection is not None:
            context.api.fail(f"{objection} (WALL-TOTAL-001)", context.context, code=TOTALITY)
    return context.default_return_type


def _is_literal(context: FunctionContext | MethodContext) -> bool:
    """Arithmetic on constants is done by mypy, and a literal index into a tuple of known length is checked by it."""
    node = context.context
    if isinstance(node, IndexExpr):
        return node.analyzed is not None
    return isinstance(node, OpExpr) and constant_of(node) is not None


def _operands(context: FunctionContext | MethodContext) -> tuple[Operand, ...]:
    written: list[tuple[Expression, Type, str | None]] = [
        (expression, found, name)
        for expressions, types, names in zip(context.args, context.arg_types, context.arg_names, strict=False)
        for expression, found, name in zip(expressions, types, names, strict=False)
    ]
    return tuple(Operand(expression, get_proper_type(found), name) for expression, found, name in written)


def plugin(version: str) -> type[Plugin]:
    """What mypy calls to get the plugin; any version of mypy that runs the wall will do."""
    return TotalityPlugin if version else Plugin
