"""Deliberate defects: each small breakage of the product must be caught by a test that it names (WALL-DEFECT-001).

`python -m ci.defects [--only NAME]... [--list]` applies the entries of ci/defects/*.toml one at a time to a copy of
src/, runs the tests named with it against that copy, and expects them to fail. The tree itself is never touched.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

ROOT: Final = Path(__file__).parents[1]
LISTS: Final = "ci/defects"
WORKERS: Final = 2
VECTORS_NAME: Final = "TUNNEL_SHARED_VECTORS"
SECONDS_MAX: Final = 300.0
"""One defect may turn a loop endless; a run that long counts as caught, as the suite would have hung visibly."""
_PASSED: Final = "the tests passed"
_FAILED: Final = 1
"""What pytest returns when tests failed; any other number is trouble of another kind and proves nothing."""


@final
@dataclass(frozen=True, slots=True)
class Defect:
    """One breakage: `old` occurs once in `file` and becomes `new`; one of `tests` has to fail then."""

    name: str
    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """What happened with one defect."""

    name: str
    caught: bool
    story: str
    seconds: float


def defects_in(root: Path) -> Iterator[Defect]:
    """All entries of all lists, by file and order."""
    for file in sorted((root / LISTS).glob("*.toml")):
        for row in tomllib.loads(file.read_text(encoding="utf-8")).get("defect", []):
            yield Defect(row["name"], row["file"], row["old"], row["new"], row["why"], tuple(row["tests"]))


def stale(root: Path, defect: Defect) -> str | None:
    """Why the entry no longer fits the code, or None."""
    path = root / defect.file
    if not path.exists():
        return f"{defect.file} does not exist"
    times = path.read_text(encoding="utf-8").count(defect.old)
    if times != 1:
        return f"the old text occurs {times} times in {defect.file}, it has to be once"
    missing = [test for test in defect.tests if not (root / test.partition("::")[0]).exists()]
    return f"no such test: {', '.join(missing)}" if missing or not defect.tests else None


def sound(root: Path, defects: Sequence[Defect]) -> str | None:
    """Why the named tests do not even pass on an unbroken copy (then a failure would prove nothing), or None."""
    tests = sorted({test for defect in defects for test in defect.tests})
    with tempfile.TemporaryDirectory(prefix="sound-") as folder:
        _copy_tree(root, Path(folder))
        failed, story = _run_tests(Path(folder), tests)
    return f"without any defect: {story}" if failed or not story.startswith(_PASSED) else None


def tried(root: Path, defect: Defect) -> Verdict:
    """Apply one defect to a copy and run its tests there."""
    began = time.monotonic()
    trouble = stale(root, defect)
    if trouble is not None:
        return Verdict(defect.name, caught=False, story=trouble, seconds=0.0)
    with tempfile.TemporaryDirectory(prefix="defect-") as folder:
        copy = Path(folder)
        _copy_tree(root, copy)
        broken = copy / defect.file
        broken.write_text(broken.read_text(encoding="utf-8").replace(defect.old, defect.new), encoding="utf-8")
        caught, story = _run_tests(copy, defect.tests)
    return Verdict(defect.name, caught, story, time.monotonic() - began)


def _copy_tree(root: Path, copy: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for folder in ("src", "tests", "ci", "spec", "bench"):
        if (root / folder).exists():
            shutil.copytree(root / folder, copy / folder, ignore=ignored)
    for file in ("pyproject.toml", "ruff.toml"):
        if (root / file).exists():
            shutil.copy(root / file, copy / file)
    known = Path(
        ".mypy_cache", "planted"
    )  # what mypy knows of other people's packages: saves 12 s a defect of the wall
    if (root / known).exists():
        shutil.copytree(root / known, copy / known)


def _run_tests(copy: Path, tests: Sequence[str]) -> tuple[bool, str]:
    # Our source comes first on the path, before the installed package that points at the tree.
    environment = {**os.environ, **_vectors(), "PYTHONPATH": f"{copy / 'src'}:{copy}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:randomly", "-p", "no:xdist", "--no-header", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        return True, "the tests did not end"
    last = next((line for line in reversed(done.stdout.splitlines()) if line.startswith("FAILED")), "")
    if done.returncode == _FAILED:
        return True, last.removeprefix("FAILED ").partition(" - ")[0].partition("[")[0].rpartition("/")[2]
    words = _PASSED if done.returncode == 0 else f"pytest ended with {done.returncode}"
    return False, f"{words}: {' '.join((done.stdout + done.stderr).split())[-200:]}"


def _vectors() -> dict[str, str]:
    """Where the shared vectors are: tests look beside the tree, which a copy does not stand in."""
    shared = ROOT.parent / "shared" / "vectors" / "http1.jsonl"
    return {VECTORS_NAME: str(shared)} if shared.exists() and VECTORS_NAME not in os.environ else {}


def _chosen(defects: Sequence[Defect], only: Sequence[str] | None, without: str | None) -> list[Defect]:
    left = [defect for defect in defects if not (without and defect.name.startswith(without))]
    return [defect for defect in left if not only or defect.name in only]


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """0 when every chosen defect is caught."""
    parser = argparse.ArgumentParser(prog="python -m ci.defects", description=__doc__)
    parser.add_argument("--only", action="append", help="try this defect alone (repeatable)")
    parser.add_argument("--without", metavar="PREFIX", help="leave out the defects whose names begin like this")
    parser.add_argument("--list", action="store_true", help="print the defects and stop")
    options = parser.parse_args(arguments)
    defects = _chosen(list(defects_in(root)), options.only, options.without)
    names = [defect.name for defect in defects]
    if len(set(names)) != len(names) or not names:
        print(f"✗ {len(names)} defects with {len(set(names))} names: each needs its own")
        return 1
    if options.list:
        for defect in defects:
            print(f"{defect.name:<40} {defect.why}")
        return 0
    current = [defect for defect in defects if stale(root, defect) is None]
    trouble = sound(root, current) if current else None
    if trouble is not None:
        print(f"✗ {trouble}")
        return 1
    missed = 0
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        for verdict in pool.map(lambda defect: tried(root, defect), defects):
            missed += not verdict.caught
            mark = "✓" if verdict.caught else "✗"
            print(f"{mark} {verdict.name:<36} {verdict.seconds:3.0f} s  {verdict.story}", flush=True)
    print(f"{len(defects) - missed} of {len(defects)} deliberate defects caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
