"""Small trees with planted violations, and the findings of one check in them."""

import shutil
from pathlib import Path

from ci.wall.finding import Finding
from ci.wall.table import CHECKS
from ci.wall.tree import CORE, Tree

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".mypy_cache" / "planted"


def planted_tree(root: Path, files: dict[str, str]) -> Tree:
    """A tree with the base of the core, the settings of the project and these files."""
    shutil.copytree(ROOT / CORE / "base", root / CORE / "base", ignore=shutil.ignore_patterns("__pycache__"))
    for package in ("src/tunnel", CORE):
        (root / package / "__init__.py").write_text('"""A package."""\n', encoding="utf-8")
    for settings in ("pyproject.toml", "ruff.toml"):
        shutil.copy(ROOT / settings, root / settings)
    (root / "src/tunnel/py.typed").touch()
    shutil.copytree(ROOT / "ci/wall", root / "ci/wall", ignore=shutil.ignore_patterns("__pycache__"))
    for file, source in files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        for folder in path.relative_to(root).parents:
            init = root / folder / "__init__.py"
            if str(folder).startswith("src/tunnel") and not init.exists():
                init.write_text('"""A package."""\n', encoding="utf-8")
    return Tree(root, CACHE)


def found(check: str, tree: Tree) -> list[Finding]:
    """What the check of this name, as the table knows it, finds in the tree."""
    return CHECKS[check](tree)


def found_in(check: str, tree: Tree, file: str) -> list[str]:
    """The messages of a check for one file."""
    return [finding.message for finding in found(check, tree) if finding.file == file]
