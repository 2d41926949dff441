"""Runs the wall and prints it, a tick or the findings per row: `python -m ci.wall [--only CHECK]... [--markdown]`.

`--only totality --only must-use` runs single checks and prints their findings, one a line.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from ci.wall.finding import Finding
from ci.wall.table import CHECKS, OURS, ROWS, RUST, SLOW, Row, markdown
from ci.wall.tree import Tree

ROOT: Final = Path(__file__).parents[2]
SHOWN_MAX: Final = 8
"""Findings printed under one row; `--only` prints all."""

Results = dict[str, list[Finding]]


def run(tree: Tree, names: Sequence[str]) -> Results:
    """The findings of each check; checks that are other programs run beside those that are ours."""
    results: Results = {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        beside = {name: pool.submit(CHECKS[name], tree) for name in names if name in SLOW}
        for name in names:
            if name not in SLOW:
                results[name] = sorted(set(CHECKS[name](tree)))
        for name, future in beside.items():
            results[name] = sorted(set(future.result()))
    return results


def _print_row(row: Row, results: Results) -> None:
    count = sum(len(results[check]) for check in row.checks)
    mark = "✓" if not count else f"✗ {count}"
    print(f"{row.lint:<21} {row.here:<51} {mark}")
    findings = [finding for check in row.checks for finding in results[check]]
    for finding in findings[:SHOWN_MAX]:
        print(f"    {finding.text()}")
    if len(findings) > SHOWN_MAX:
        print(f"    ... and {len(findings) - SHOWN_MAX} more: python -m ci.wall --only {row.checks[0]}")


def _print_table(results: Results, seconds: float) -> None:
    print(f"{'Rust':<21} {'here':<51} result")
    print("-" * 80)
    for row in RUST:
        _print_row(row, results)
    print("-" * 80)
    for row in OURS:
        _print_row(row, results)
    print("-" * 80)
    standing = sum(not any(results[check] for check in row.checks) for row in ROWS)
    print(f"{standing} of {len(ROWS)} rows hold, {seconds:.0f} s")


def main(arguments: Sequence[str]) -> int:
    """0 when every row holds, 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m ci.wall", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(CHECKS), help="run this check alone (repeatable)")
    parser.add_argument("--markdown", action="store_true", help="print the table of spec/wall.md and stop")
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree to check")
    options = parser.parse_args(arguments)
    if options.markdown:
        print(markdown(), end="")
        return 0
    began = time.monotonic()
    tree = Tree(options.root, options.root / ".mypy_cache" / "wall")
    results = run(tree, options.only or list(CHECKS))
    if options.only:
        for findings in results.values():
            for finding in findings:
                print(finding.text())
    else:
        _print_table(results, time.monotonic() - began)
    return 1 if any(results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
