"""Planted bugs: each must be found by the simulation within the number of seeds stated with it (SIM-PLANT-001).

`python -m tests.simulation.planted [--only NAME]... [--list]` applies the entries of `planted.toml` one at a time to a
copy of the tree and runs the simulation there until a world is not sound. The tree itself is never touched.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

ROOT: Final = Path(__file__).parents[2]
LIST: Final = "tests/simulation/planted.toml"
_JOBS: Final = 2
_SECONDS_MAX: Final = 900.0


@final
@dataclass(frozen=True, slots=True)
class Planted:
    """One bug: `old` occurs once in `file` and becomes `new`; found within `seeds` seeds."""

    name: str
    file: str
    old: str
    new: str
    why: str
    seeds: int
    has_control: bool
    """Whether it is looked for in the worlds that have a control plane."""


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """What the simulation made of it."""

    name: str
    is_found: bool
    story: str
    seconds: float


def planted_in(root: Path) -> Iterator[Planted]:
    """All entries, in order."""
    for row in tomllib.loads((root / LIST).read_text(encoding="utf-8"))["bug"]:
        yield Planted(
            row["name"], row["file"], row["old"], row["new"], row["why"], row["seeds"], row.get("control", False)
        )


def stale(root: Path, bug: Planted) -> str | None:
    """Why the entry no longer fits the code, or None."""
    path = root / bug.file
    if not path.exists():
        return f"{bug.file} does not exist"
    times = path.read_text(encoding="utf-8").count(bug.old)
    return None if times == 1 else f"the old text occurs {times} times in {bug.file}, it has to be once"


def tried(root: Path, bug: Planted) -> Verdict:
    """Plant one bug in a copy and look for it there."""
    began = time.monotonic()
    trouble = stale(root, bug)
    if trouble is not None:
        return Verdict(bug.name, is_found=False, story=trouble, seconds=0.0)
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copy = Path(folder)
        for each in ("src", "tests/simulation", "tests/support"):
            shutil.copytree(root / each, copy / each, ignore=shutil.ignore_patterns("__pycache__", "test_*"))
        broken = copy / bug.file
        broken.write_text(broken.read_text(encoding="utf-8").replace(bug.old, bug.new), encoding="utf-8")
        is_found, story = _searched(copy, bug)
    return Verdict(bug.name, is_found, story, time.monotonic() - began)


def _searched(copy: Path, bug: Planted) -> tuple[bool, str]:
    environment = {**os.environ, "PYTHONPATH": f"{copy / 'src'}:{copy}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "tests.simulation", "--jobs", "1", "--stop", "--seeds", str(bug.seeds)]
    if bug.has_control:
        command.append("--control")
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        return False, "the simulation did not end, which is not what was looked for"
    lines = done.stdout.splitlines()
    seed = next((line for line in lines if line.startswith("✗")), "").partition(":")[0].removeprefix("✗ ")
    finding = next((line.strip() for line in lines if line.startswith("  - ")), "")
    if done.returncode == 1 and finding:
        return True, f"{seed}: {finding.removeprefix('- ').partition(': #')[0][:90]}"
    return False, " ".join((done.stdout + done.stderr).split())[-200:]


def main(arguments: list[str], root: Path = ROOT) -> int:
    """0 when every chosen bug is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted", description=__doc__)
    parser.add_argument("--only", action="append", help="try this bug alone (repeatable)")
    parser.add_argument("--seeds-max", type=int, default=1 << 30, help="leave out bugs that may take more seeds")
    parser.add_argument("--list", action="store_true", help="print the bugs and stop")
    options = parser.parse_args(arguments)
    bugs = [bug for bug in planted_in(root) if not options.only or bug.name in options.only]
    bugs = [bug for bug in bugs if bug.seeds <= options.seeds_max]
    if options.list:
        for bug in bugs:
            print(f"{bug.name:<32} {bug.seeds:>4} seeds  {bug.why}")
        return 0
    missed = 0
    with ThreadPoolExecutor(max_workers=_JOBS) as pool:
        for verdict in pool.map(lambda bug: tried(root, bug), bugs):
            missed += not verdict.is_found
            mark = "✓" if verdict.is_found else "✗"
            print(f"{mark} {verdict.name:<32} {verdict.seconds:4.0f} s  {verdict.story}", flush=True)
    print(f"{len(bugs) - missed} of {len(bugs)} planted bugs found")
    return 1 if missed or not bugs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
