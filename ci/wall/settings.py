"""The settings of the checkers are themselves under check, so that no row of the wall is switched off in a file.

WALL-SETTINGS-001: the strictness of mypy; -002: each excused ruff rule has its reason, and none is excused in the core.
"""

import re
from collections.abc import Iterator
from typing import Final

from ci.wall.finding import Finding
from ci.wall.tree import Tree

PROJECT: Final = "pyproject.toml"
RUFF: Final = "ruff.toml"
_ERROR_CODES: Final = frozenset({
    "exhaustive-match", "truthy-bool", "truthy-iterable", "redundant-expr", "possibly-undefined", "unused-awaitable",
    "deprecated", "ignore-without-code", "redundant-self", "explicit-override", "mutable-override",
})  # fmt: skip
_CORE_FLAGS: Final = ("disallow_any_expr", "disallow_any_explicit", "disallow_any_decorated")
_PLUGIN: Final = "ci/wall/totality_plugin.py"


def check_mypy_settings(tree: Tree) -> list[Finding]:
    """Mypy settings weaker than the wall says."""
    return [Finding(PROJECT, 1, text) for text in _mypy_faults(_table(tree.toml(PROJECT), "tool", "mypy"))]


def _table(value: object, *keys: str) -> dict[str, object]:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _mypy_faults(mypy: dict[str, object]) -> Iterator[str]:
    for flag in ("strict", "warn_unreachable"):
        if mypy.get(flag) is not True:
            yield f"mypy: {flag} is not on"
    missing = _ERROR_CODES - set(map(str, _list(mypy.get("enable_error_code"))))
    if missing:
        yield f"mypy: error codes not on: {', '.join(sorted(missing))}"
    if _PLUGIN not in _list(mypy.get("plugins")):
        yield "mypy: the totality plugin is not loaded"
    for weakening in ("disable_error_code", "exclude", "ignore_errors", "ignore_missing_imports"):
        if weakening in mypy:
            yield f"mypy: {weakening} takes something away"
    yield from _override_faults([each for each in _list(mypy.get("overrides")) if isinstance(each, dict)])


def _override_faults(overrides: list[dict[str, object]]) -> Iterator[str]:
    strict_core = False
    for override in overrides:
        modules = set(map(str, _list(override.get("module"))))
        settings = {key: value for key, value in override.items() if key != "module"}
        if modules == {"tunnel.core.*"}:
            strict_core = all(settings.get(flag) is True for flag in _CORE_FLAGS)
        elif any(module.startswith(("tunnel", "*")) for module in modules):
            named = modules == {"tunnel.core.base.outcome", "tunnel.core.base.partial"}
            if not (named and settings == {"disallow_any_expr": False}):
                yield f"mypy: an override weakens {', '.join(sorted(modules))}"
    if not strict_core:
        yield f"mypy: {', '.join(_CORE_FLAGS)} are not all on for tunnel.core.*"


def check_ruff_settings(tree: Tree) -> list[Finding]:
    """Ruff rules that are excused without a reason, or for the core."""
    ruff = tree.toml(RUFF)
    findings = []
    if _list(_table(ruff, "lint").get("select")) != ["ALL"]:
        findings.append(Finding(RUFF, 1, "not every rule is selected"))
    findings.extend(
        Finding(RUFF, 1, f"rules are excused for the core by {path}")
        for path in _table(ruff, "lint", "per-file-ignores")
        if path.startswith(("src/**", "src/tunnel/**", "src/tunnel/core", "*"))
    )
    if not (tree.root / RUFF).exists():
        return findings
    for number, line in enumerate(tree.source(RUFF).splitlines(), start=1):
        if re.match(r'\s*"[A-Z]+[0-9]+",', line) and not re.search(r"#\s*\S.{6,}", line):
            findings.append(Finding(RUFF, number, "a rule is excused without a reason on its line"))
    return findings


def check_marker(tree: Tree) -> list[Finding]:
    """The package tells type checkers that it is typed, and ships the file that says so (PEP 561)."""
    findings = []
    if not (tree.root / "src/tunnel/py.typed").exists():
        findings.append(Finding("src/tunnel/py.typed", 1, "the marker of a typed package is missing"))
    shipped = _table(tree.toml(PROJECT), "tool", "setuptools", "package-data").get("tunnel")
    if "py.typed" not in _list(shipped):
        findings.append(Finding(PROJECT, 1, "py.typed is not in the package data, so it is not installed"))
    return findings
