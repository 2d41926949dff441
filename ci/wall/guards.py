"""Every callback that the event loop calls goes through the one guard (WALL-GUARD-001).

An exception in such a callback would otherwise reach the loop's handler, which logs it and leaves a session half alive.
"""

import ast
from collections.abc import Iterator, Sequence
from typing import Final

from ci.wall.finding import Finding
from ci.wall.tree import Tree

FOLDERS: Final = ("src/tunnel/drive", "src/tunnel/server", "src/tunnel/agent")
GUARD: Final = "guarded"
CALLBACKS: Final = frozenset({
    "connection_made", "data_received", "get_buffer", "buffer_updated", "eof_received", "connection_lost",
    "pause_writing", "resume_writing", "datagram_received", "error_received",
})  # fmt: skip
_SCHEDULERS: Final = {
    "call_soon": 0, "call_soon_threadsafe": 0, "call_later": 1, "call_at": 1, "add_done_callback": 0,
    "add_signal_handler": 1, "add_reader": 1, "add_writer": 1,
}  # fmt: skip
"""Methods that hand a callback to the loop, with the position of that callback."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def check_guards(tree: Tree) -> list[Finding]:
    """Callbacks without the guard, in the shells that face the event loop."""
    findings: list[Finding] = []
    for folder in FOLDERS:
        for file in tree.files(folder):
            module = tree.syntax(file)
            guarded = {node.name for node in ast.walk(module) if isinstance(node, Function) and _is_guarded(node)}
            found = [*_unguarded_methods(module), *_unguarded_callbacks(module, guarded)]
            findings.extend(Finding(file, line, text) for line, text in found)
    return findings


def _is_guarded(node: Function) -> bool:
    names = [each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in node.decorator_list]
    return GUARD in names


def _is_protocol(node: ast.ClassDef) -> bool:
    return any(getattr(base, "id", getattr(base, "attr", "")) == "Protocol" for base in node.bases)


def _unguarded_methods(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        if not isinstance(node, ast.ClassDef) or _is_protocol(node):
            continue
        for method in node.body:
            if isinstance(method, Function) and method.name in CALLBACKS and not _is_guarded(method):
                # The loop needs a buffer, which a guard could not give it; reading an attribute cannot fail.
                if method.name == "get_buffer" and _only_returns_attribute(method):
                    continue
                yield method.lineno, f"{node.name}.{method.name} is called by the event loop without @{GUARD}"


def _only_returns_attribute(method: Function) -> bool:
    body = [each for each in method.body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
    value = body[0].value if len(body) == 1 and isinstance(body[0], ast.Return) else None
    while isinstance(value, ast.Attribute):
        value = value.value
    return isinstance(value, ast.Name)


def _unguarded_callbacks(module: ast.Module, guarded: set[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SCHEDULERS:
            callback = _argument(node.args, _SCHEDULERS[node.func.attr])
            if callback is None or _name(callback) not in guarded:
                yield node.lineno, f"{node.func.attr} gets a callback without @{GUARD}, defined in this file"


def _argument(arguments: Sequence[ast.expr], position: int) -> ast.expr | None:
    return arguments[position] if position < len(arguments) else None


def _name(callback: ast.expr) -> str:
    if isinstance(callback, ast.Attribute):
        return callback.attr
    return callback.id if isinstance(callback, ast.Name) else ""
