"""What each kind of statement and expression is made of, for walks that look at every node once."""

from collections.abc import Iterator
from typing import Final

from mypy.nodes import (
    AssertStmt,
    AssignmentExpr,
    AssignmentStmt,
    AwaitExpr,
    Block,
    BreakStmt,
    BytesExpr,
    CallExpr,
    ClassDef,
    ComparisonExpr,
    ConditionalExpr,
    ContinueStmt,
    Decorator,
    DelStmt,
    DictExpr,
    DictionaryComprehension,
    EllipsisExpr,
    EnumCallExpr,
    Expression,
    ExpressionStmt,
    FloatExpr,
    ForStmt,
    FuncDef,
    GeneratorExpr,
    IfStmt,
    Import,
    ImportFrom,
    IndexExpr,
    IntExpr,
    LambdaExpr,
    ListComprehension,
    ListExpr,
    MatchStmt,
    MemberExpr,
    MypyFile,
    NamedTupleExpr,
    NameExpr,
    NewTypeExpr,
    Node,
    OperatorAssignmentStmt,
    OpExpr,
    OverloadedFuncDef,
    ParamSpecExpr,
    PassStmt,
    RaiseStmt,
    ReturnStmt,
    SetComprehension,
    SetExpr,
    SliceExpr,
    StarExpr,
    StrExpr,
    SuperExpr,
    TempNode,
    TryStmt,
    TupleExpr,
    TypeAliasExpr,
    TypeApplication,
    TypedDictExpr,
    TypeVarExpr,
    UnaryExpr,
    WhileStmt,
    WithStmt,
    YieldExpr,
    YieldFromExpr,
)
from mypy.patterns import (
    AsPattern,
    ClassPattern,
    MappingPattern,
    OrPattern,
    Pattern,
    SequencePattern,
    SingletonPattern,
    StarredPattern,
    ValuePattern,
)

Parts = list[Node | None]

_DECLARATIONS: Final = (
    EnumCallExpr,
    NamedTupleExpr,
    NewTypeExpr,
    ParamSpecExpr,
    TypeAliasExpr,
    TypedDictExpr,
    TypeVarExpr,
)

_LEAVES: Final = (
    BreakStmt,
    BytesExpr,
    ContinueStmt,
    EllipsisExpr,
    FloatExpr,
    Import,
    ImportFrom,
    IntExpr,
    NamedTupleExpr,
    NameExpr,
    NewTypeExpr,
    PassStmt,
    SingletonPattern,
    StrExpr,
    SuperExpr,
    TempNode,
    TypeAliasExpr,
    TypeApplication,
    TypeVarExpr,
)


def parts_of(node: Node) -> list[Node] | None:
    """The direct parts of a node in the order they run, or None for a kind of node this file does not know."""
    if isinstance(node, _LEAVES):
        return []
    for look in (_definition, _simple_statement, _compound_statement, _operator, _collection, _other, _pattern):
        found = look(node)
        if found is not None:
            return [part for part in found if part is not None]
    return None


def every_node(node: Node) -> Iterator[Node]:
    """The node and everything below it; unknown kinds are leaves."""
    waiting: list[Node] = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(parts_of(current) or [])


def target_parts(target: Expression) -> Parts:
    """What is evaluated to assign to a target: the receiver and the index, but not the old value."""
    if isinstance(target, IndexExpr):
        return [target.base, target.index]
    if isinstance(target, MemberExpr):
        return [target.expr]
    if isinstance(target, TupleExpr | ListExpr):
        return [part for item in target.items for part in target_parts(item)]
    if isinstance(target, StarExpr):
        return target_parts(target.expr)
    return []


def _definition(node: Node) -> Parts | None:
    match node:
        case MypyFile():
            return [*node.defs]
        case ClassDef():
            keywords = node.keywords.values()
            return [*node.decorators, *keywords, node.defs]
        case Decorator():
            return [*node.original_decorators, node.func]
        case OverloadedFuncDef():
            return [*node.items]
        case FuncDef() | LambdaExpr():
            return [*(argument.initializer for argument in node.arguments), node.body]
        case _:
            return None


def _simple_statement(node: Node) -> Parts | None:
    match node:
        case ExpressionStmt():
            return [node.expr]
        case AssignmentStmt():
            return _assignment(node)
        case OperatorAssignmentStmt():
            return [node.lvalue, node.rvalue]
        case ReturnStmt() | RaiseStmt() | YieldExpr() | AwaitExpr() | YieldFromExpr() | StarExpr():
            return [node.expr]
        case DelStmt():
            return target_parts(node.expr)
        case AssertStmt():
            return [node.expr, node.msg]
        case AssignmentExpr():
            return [node.value]
        case _:
            return None


def _assignment(node: AssignmentStmt) -> Parts:
    if node.is_alias_def:
        return []
    return [node.rvalue, *(part for target in node.lvalues for part in target_parts(target))]


def _compound_statement(node: Node) -> Parts | None:
    match node:
        case Block():
            return [] if node.is_unreachable else [*node.body]
        case IfStmt():
            return [*node.expr, *node.body, node.else_body]
        case WhileStmt():
            return [node.expr, node.body, node.else_body]
        case ForStmt():
            return [node.expr, *target_parts(node.index), node.body, node.else_body]
        case MatchStmt():
            return [node.subject, *node.patterns, *node.guards, *node.bodies]
        case TryStmt():
            return [node.body, *node.types, *node.handlers, node.else_body, node.finally_body]
        case WithStmt():
            return [*node.expr, node.body]
        case _:
            return None


def _operator(node: Node) -> Parts | None:
    match node:
        case OpExpr():
            return [node.left, node.right]
        case ComparisonExpr():
            return [*node.operands]
        case UnaryExpr() | MemberExpr():
            return [node.expr]
        case ConditionalExpr():
            return [node.cond, node.if_expr, node.else_expr]
        case IndexExpr():
            return [] if node.analyzed is not None else [node.base, node.index]
        case SliceExpr():
            return [node.begin_index, node.end_index, node.stride]
        case CallExpr():
            return _call(node)
        case _:
            return None


def is_declaration(node: CallExpr) -> bool:
    """Whether the call only tells the type checker something: `TypeVar(...)`, `NewType(...)` and their like."""
    return isinstance(node.analyzed, _DECLARATIONS)


def _call(node: CallExpr) -> Parts:
    if is_declaration(node):
        return []
    # mypy keeps `divmod(a, b)` as an operator of its own; any other rewritten call (`cast`) is what it was made into.
    if node.analyzed is None or isinstance(node.analyzed, OpExpr):
        return [node.callee, *node.args]
    return [node.analyzed]


def _collection(node: Node) -> Parts | None:
    match node:
        case ListExpr() | TupleExpr() | SetExpr():
            return [*node.items]
        case DictExpr():
            return [part for pair in node.items for part in pair]
        case ListComprehension() | SetComprehension():
            return [node.generator]
        case _:
            return None


def _other(node: Node) -> Parts | None:
    match node:
        case GeneratorExpr():
            return [*node.sequences, *(each for group in node.condlists for each in group), node.left_expr]
        case DictionaryComprehension():
            conditions = [each for group in node.condlists for each in group]
            return [*node.sequences, *conditions, node.key, node.value]
        case _:
            return None


def _pattern(node: Node) -> Parts | None:
    if not isinstance(node, Pattern):
        return None
    match node:
        case AsPattern():
            return [node.pattern]
        case OrPattern() | SequencePattern():
            return [*node.patterns]
        case ValuePattern():
            return [node.expr]
        case StarredPattern():
            return []
        case MappingPattern():
            return [*node.keys, *node.values]
        case ClassPattern():
            return [*node.positionals, *node.keyword_values]
        case _:
            return None
