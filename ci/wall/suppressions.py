"""Outside the core each suppression is counted, file by file, in a number that may only fall (WALL-FORBID-002).

`python -m ci.wall.suppressions --write` lowers the numbers after a clean-up; it refuses to raise one.
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ci.wall.finding import Finding
from ci.wall.forbid import SUPPRESSION
from ci.wall.tree import CORE, Tree

COUNTS_FILE: Final = "ci/wall/suppressions.toml"
_HEAD: Final = """\
# Suppressions in src/ outside the core: comments that quieten a checker, `cast`, and `Any`.
# A number may fall (`python -m ci.wall.suppressions --write`), never rise; the core has none and no line here.
"""


def _comments(source: str) -> Iterator[int]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and SUPPRESSION.search(token.string):
            yield token.start[0]


def _words(syntax: ast.Module) -> Iterator[int]:
    for node in ast.walk(syntax):
        if (isinstance(node, ast.Name) and node.id in {"Any", "cast"}) or (
            isinstance(node, ast.Attribute) and node.attr in {"Any", "cast"}
        ):
            yield node.lineno


def suppressions_in(tree: Tree) -> dict[str, list[int]]:
    """The lines with suppressions of each file of src/ outside the core; files without any are left out."""
    found = {}
    for file in tree.files("src"):
        if not file.startswith(f"{CORE}/"):
            lines = sorted([*_comments(tree.source(file)), *_words(tree.syntax(file))])
            if lines:
                found[file] = lines
    return found


def committed_counts(tree: Tree) -> Counter[str]:
    """The committed numbers."""
    files = tree.toml(COUNTS_FILE).get("files", {})
    return Counter({str(file): int(str(count)) for file, count in files.items()} if isinstance(files, dict) else {})


def check_suppressions(tree: Tree) -> list[Finding]:
    """Files with more suppressions than committed, and committed numbers that are too high by now."""
    found, allowed = suppressions_in(tree), committed_counts(tree)
    findings = []
    for file in sorted({*found, *allowed}):
        lines, limit = found.get(file, []), allowed[file]
        if len(lines) > limit:
            text = f"{len(lines)} suppressions, {limit} are committed: remove one (lines {', '.join(map(str, lines))})"
            findings.append(Finding(file, lines[-1], text))
        elif len(lines) < limit:
            text = f"{limit} suppressions are committed for {file}, {len(lines)} are left: lower the number"
            findings.append(Finding(COUNTS_FILE, 1, text))
    return findings


def lowered(tree: Tree) -> str:
    """The file with each number at what is found, none higher than committed: raising one takes a hand and a diff."""
    found, allowed = suppressions_in(tree), committed_counts(tree)
    counts = {file: min(len(lines), allowed[file]) for file, lines in sorted(found.items())}
    rows = [f'"{file}" = {count}' for file, count in counts.items() if count]
    return "\n".join([_HEAD, "[files]", *rows]) + "\n"


if __name__ == "__main__":
    here = Tree(Path.cwd(), Path(".mypy_cache/wall"))
    if sys.argv[1:] == ["--write"]:
        Path(COUNTS_FILE).write_text(lowered(here), encoding="utf-8")
    print(lowered(here), end="")
