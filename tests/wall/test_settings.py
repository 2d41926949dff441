"""The settings of the checkers cannot be weakened unseen (WALL-SETTINGS-001), and the package stays typed.

Each case edits a copy of the project's own settings; the unedited copy has no finding.
"""

import shutil
from pathlib import Path

import pytest
from ci.wall.tree import Tree
from wall_support import CACHE, ROOT, found

WEAKENED = {
    "mypy not strict": ("mypy-settings", "pyproject.toml", "strict = true", "strict = false"),
    "unreachable code unseen": (
        "mypy-settings",
        "pyproject.toml",
        "warn_unreachable = true",
        "warn_unreachable = false",
    ),
    "an error code missing": ("mypy-settings", "pyproject.toml", '    "exhaustive-match",\n', ""),
    "no plugin": ("mypy-settings", "pyproject.toml", "ci/wall/totality_plugin.py", "another.py"),
    "Any allowed in the core": (
        "mypy-settings",
        "pyproject.toml",
        "disallow_any_expr = true",
        "disallow_any_expr = false",
    ),
    "an override for a part of the core": (
        "mypy-settings",
        "pyproject.toml",
        '"tunnel.core.base.partial"]',
        '"tunnel.core.base.partial", "tunnel.core.mux.session"]',
    ),
    "errors disabled": (
        "mypy-settings",
        "pyproject.toml",
        "strict = true",
        'strict = true\ndisable_error_code = ["misc"]',
    ),
    "not every ruff rule": ("ruff-settings", "ruff.toml", 'select = ["ALL"]', 'select = ["E"]'),
    "an excuse without reason": (
        "ruff-settings",
        "ruff.toml",
        "[lint]\nselect",
        '[lint]\nextend-ignore = [\n    "E501",\n]\nselect',
    ),
    "an excuse for the core": (
        "ruff-settings",
        "ruff.toml",
        '"tests/**" = [',
        '"src/tunnel/core/**" = ["E501"]\n"tests/**" = [',
    ),
    "types not shipped": ("marker", "pyproject.toml", '"py.typed", ', ""),
}


def _copy(root: Path) -> Tree:
    for file in ("pyproject.toml", "ruff.toml", "src/tunnel/py.typed"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, root / file)
    return Tree(root, CACHE)


@pytest.mark.shows("WALL-SETTINGS-001", "WALL-TYPES-005")
@pytest.mark.parametrize("name", sorted(WEAKENED))
def test_a_weakened_setting_is_found(name: str, tmp_path: Path) -> None:
    check, file, old, new = WEAKENED[name]
    tree = _copy(tmp_path)
    assert found(check, tree) == []
    source = tree.source(file)
    assert source.count(old) >= 1
    (tmp_path / file).write_text(source.replace(old, new, 1), encoding="utf-8")
    assert found(check, tree) != []


@pytest.mark.shows("WALL-TYPES-005")
def test_a_package_without_its_marker_is_found(tmp_path: Path) -> None:
    tree = _copy(tmp_path)
    (tmp_path / "src/tunnel/py.typed").unlink()
    assert [each.file for each in found("marker", tree)] == ["src/tunnel/py.typed"]
