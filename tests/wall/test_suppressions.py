"""The committed numbers of suppressions fit exactly: more is refused, fewer asks to lower the number."""

import tomllib
from pathlib import Path

import pytest
from ci.wall.suppressions import COUNTS_FILE, lowered
from ci.wall.tree import Tree
from wall_support import found, planted_tree

FILE = "src/tunnel/drive/quiet.py"
QUIET = "from typing import cast\n\nX = 1  # noqa: F401\nY = cast(int, X)  # type: ignore[misc]\n"


def _tree(root: Path, committed: str) -> Tree:
    tree = planted_tree(root, {FILE: QUIET})
    (root / COUNTS_FILE).write_text(f"[files]\n{committed}", encoding="utf-8")
    return tree


@pytest.mark.shows("WALL-FORBID-002")
@pytest.mark.parametrize(
    ("committed", "files"),
    [
        (f'"{FILE}" = 3\n', []),
        (f'"{FILE}" = 2\n', [FILE]),
        ("", [FILE]),
        (f'"{FILE}" = 4\n', [COUNTS_FILE]),
        (f'"{FILE}" = 3\n"src/tunnel/drive/gone.py" = 1\n', [COUNTS_FILE]),
    ],
)
def test_the_number_fits_exactly(committed: str, files: list[str], tmp_path: Path) -> None:
    assert [finding.file for finding in found("suppressions", _tree(tmp_path, committed))] == files


@pytest.mark.shows("WALL-FORBID-002")
@pytest.mark.parametrize(("committed", "count"), [(4, 3), (3, 3), (2, 2), (0, None)])
def test_writing_lowers_a_number_and_never_raises_one(committed: int, count: int | None, tmp_path: Path) -> None:
    written = tomllib.loads(lowered(_tree(tmp_path, f'"{FILE}" = {committed}\n')))
    assert written["files"].get(FILE) == count
