"""Other people's checkers, run over the tree with our settings; what they say becomes findings."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ci.wall.finding import Finding
from ci.wall.tree import CORE, Tree

_PLACE: Final = re.compile(r"(?P<file>[^:\n]+\.(?:py|toml)):(?P<line>\d+):(?:\d+:)? (?P<text>.*)")
_SEVERITY: Final = re.compile(r"error: ")
Done = subprocess.CompletedProcess[str]
TYPED_FOLDERS: Final = ("tests", "ci", "bench")


def _run(tree: Tree, module: str, *arguments: str, more: Mapping[str, str] = MappingProxyType({})) -> Done:
    command = [sys.executable, "-m", module, *arguments]
    environment = {"PYTHONPATH": f"{tree.root / 'src'}:{tree.root}", "PATH": "/usr/bin:/bin", "NO_COLOR": "1", **more}
    return subprocess.run(command, cwd=tree.root, env=environment, capture_output=True, text=True, check=False)


def findings_in(output: str) -> list[Finding]:
    """Lines of the form `file:line: text`, without notes."""
    found = []
    for line in output.splitlines():
        place = _PLACE.match(line)
        if place is not None and not place["text"].startswith("note:"):
            found.append(Finding(place["file"], int(place["line"]), _SEVERITY.sub("", place["text"], count=1)))
    return found


def _reported(done: Done, tool: str) -> list[Finding]:
    """What the tool found; if it failed without naming a place, its own words."""
    found = findings_in(done.stdout)
    if done.returncode and not found:
        words = " ".join(f"{done.stdout} {done.stderr}".split())
        return [Finding(tool, 1, words[-400:] or f"ended with {done.returncode}")]
    return found


def check_mypy(tree: Tree) -> list[Finding]:
    """Mypy --strict and the further error codes of pyproject.toml over src/; in the core, no Any at all."""
    inside = f"{tree.root}/"  # mypy names files relative to where it runs, others in full
    return findings_in("\n".join(error.removeprefix(inside) for error in tree.typed.errors))


def check_mypy_elsewhere(tree: Tree) -> list[Finding]:
    """The same over the tests, the checks themselves and the benchmark."""
    folders = [folder for folder in TYPED_FOLDERS if any(tree.files(folder))]
    cache = str(tree.cache.with_name("elsewhere"))
    options = (
        "--config-file",
        "pyproject.toml",
        "--explicit-package-bases",
        "--no-error-summary",
        "--cache-dir",
        cache,
    )
    # pytest puts the folder of each test on the path, so that is where tests find their helpers.
    helpers = {str(Path(file).parent) for file in tree.files("tests") if _is_helper(file)}
    beside = helpers & {str(Path(file).parent) for file in tree.files("tests") if not _is_helper(file)}
    paths = {"MYPYPATH": ":".join(["src", *sorted(beside)])}
    return _reported(_run(tree, "mypy", *options, *folders, more=paths), "mypy") if folders else []


def _is_helper(file: str) -> bool:
    return not Path(file).name.startswith(("test_", "conftest"))


def check_unproven(tree: Tree) -> list[Finding]:
    """Values taken out of outcomes that are not proven, as mypy sees them."""
    return [finding for finding in check_mypy(tree) if re.search(r'"(value_of|error_of)"', finding.message)]


def check_unreachable(tree: Tree) -> list[Finding]:
    """Code that nothing reaches, and cases that reach `assert_never`."""
    return [finding for finding in check_mypy(tree) if re.search(r'\[unreachable\]|"assert_never"', finding.message)]


def check_no_any(tree: Tree) -> list[Finding]:
    """Expressions of the core that have lost their type."""
    return [
        finding
        for finding in check_mypy(tree)
        if finding.file.startswith(f"{CORE}/") and re.search(r"\bAny\b", finding.message)
    ]


def check_debugger(tree: Tree) -> list[Finding]:
    """Debuggers and breakpoints, by ruff."""
    return _reported(
        _run(tree, "ruff", "check", "--select", "T10", "--output-format", "concise", "--no-cache", "."), "ruff"
    )


def check_ruff(tree: Tree) -> list[Finding]:
    """Every rule of ruff but those that ruff.toml excuses with a reason."""
    return _reported(_run(tree, "ruff", "check", "--output-format", "concise", "--no-cache", "."), "ruff")


def check_format(tree: Tree) -> list[Finding]:
    """One layout of the code, the formatter's."""
    return _reported(_run(tree, "ruff", "format", "--check", "--output-format", "concise", "--no-cache", "."), "ruff")


def check_arrows(tree: Tree) -> list[Finding]:
    """The contracts of pyproject.toml on who may import whom."""
    done = _run_importlinter(tree)
    if not done.returncode:
        return []
    found = re.findall(r"^- +(\S+ -> \S+) \(l\.(\d+)", done.stdout, re.MULTILINE)
    if not found:
        return _reported(done, "import-linter")
    return [Finding(_file_of(tree, arrow.split()[0]), int(line), f"forbidden import {arrow}") for arrow, line in found]


def _run_importlinter(tree: Tree) -> Done:
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    command = [sys.executable, "-c", code, "--config", "pyproject.toml", "--no-cache", "--no-logo"]
    environment = {"PYTHONPATH": str(tree.root / "src"), "PATH": "/usr/bin:/bin", "NO_COLOR": "1", "COLUMNS": "400"}
    return subprocess.run(command, cwd=tree.root, env=environment, capture_output=True, text=True, check=False)


def _file_of(tree: Tree, module: str) -> str:
    path = Path("src", *module.split("."))
    inside = path / "__init__.py"
    return (inside if (tree.root / inside).exists() else path.with_suffix(".py")).as_posix()
