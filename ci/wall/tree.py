"""The tree under check: its files, its syntax and, on demand, the types that mypy finds in it."""

import ast
import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import final

from ci.wall.typed import TypedTree, build_typed_tree

CORE = "src/tunnel/core"
NAMED_EXCEPTIONS = (f"{CORE}/base/outcome.py", f"{CORE}/base/partial.py")
"""Where the untyped and partial edges of libraries become typed and total: outside `forbid` and totality."""


@final
class Tree:
    """A checkout, or a planted copy of a part of one; syntax and types are made once and kept."""

    def __init__(self, root: Path, cache: Path) -> None:
        """Look at `root`; mypy keeps what it knows of other people's packages in `cache`."""
        self.root = root
        self.cache = cache
        self._syntax: dict[str, ast.Module] = {}

    def files(self, under: str) -> Iterator[str]:
        """Python files below a folder (or the file itself), as paths relative to the root, sorted."""
        base = self.root / under
        if base.is_file():
            yield under
        for path in sorted(base.rglob("*.py")):
            if "__pycache__" not in path.parts:
                yield path.relative_to(self.root).as_posix()

    def source(self, file: str) -> str:
        """The text of one file."""
        return (self.root / file).read_text(encoding="utf-8")

    def syntax(self, file: str) -> ast.Module:
        """The syntax tree of one file."""
        if file not in self._syntax:
            self._syntax[file] = ast.parse(self.source(file), filename=file)
        return self._syntax[file]

    def toml(self, file: str) -> dict[str, object]:
        """A TOML file of the tree, or an empty table when the tree has none."""
        path = self.root / file
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    @cached_property
    def typed(self) -> TypedTree:
        """The package as mypy sees it, checked anew (a module that comes from a cache has no bodies)."""
        return build_typed_tree(self.root, self.cache)
