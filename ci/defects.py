"""Deliberate defects: each small breakage of the product must be caught by a test that it names (WALL-DEFECT-001).

`python -m ci.defects [--only NAME]... [--list]` applies the entries of ci/defects/*.toml one at a time to a copy of
src/, runs the tests named with it against that copy, and expects them to fail. The tree itself is never touched.
Hypothesis draws the same examples in every run: whether a defect is caught is a property of the tree, not of luck.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

ROOT: Final = Path(__file__).parents[1]
LISTS: Final = "ci/defects"
FOLDERS: Final = ("src", "tests", "ci", "spec", "bench")
FILES: Final = ("pyproject.toml", "ruff.toml")
KNOWN_TO_MYPY: Final = Path(".mypy_cache", "planted")
WORKERS: Final = 2
AT_ONCE: Final = WORKERS + 1
"""Defects tried at a time: one more than there are cores, as some wait for what does not come in a broken tree."""
VECTORS_NAME: Final = "TUNNEL_SHARED_VECTORS"
SECONDS_MAX: Final = 300.0
"""One defect may turn a loop endless; a run that long counts as caught, as the suite would have hung visibly."""
SOUND_SECONDS_MAX: Final = 3600.0
"""All the tests that any defect names, on a machine however busy."""
_PASSED: Final = "the tests passed"
_ALONE: Final = ("-p", "no:xdist")
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

    defect: Defect
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
    missing = [test for test in defect.tests if not _exists(root, test)]
    return f"no such test: {', '.join(missing)}" if missing or not defect.tests else None


def _exists(root: Path, test: str) -> bool:
    file, _, name = test.partition("::")
    path = root / file
    # A state machine is a class that hypothesis makes: `TestBucket = Bucket.TestCase`.
    known = re.compile(rf"^(async )?def {name}\(|^{name.partition('::')[0]} = ", re.MULTILINE)
    return path.exists() and (not name or known.search(path.read_text(encoding="utf-8")) is not None)


def sound(copy: Path, defects: Sequence[Defect]) -> str | None:
    """Why the named tests do not even pass on an unbroken copy (then a failure would prove nothing), or None.

    The run also leaves its bytecode in the copy, which the copies made of it then need not compile again.
    """
    tests = sorted({test for defect in defects for test in defect.tests})
    together = ("-n", str(WORKERS)) if len(tests) > WORKERS else _ALONE
    failed, story = _run_tests(copy, tests, together, SOUND_SECONDS_MAX)
    return f"without any defect: {story}" if failed or not story.startswith(_PASSED) else None


def tried(base: Path, defect: Defect) -> Verdict:
    """Apply one defect to a copy of the sound one and run its tests there."""
    began = time.monotonic()
    trouble = stale(base, defect)
    if trouble is not None:
        return Verdict(defect, caught=False, story=trouble, seconds=0.0)
    with tempfile.TemporaryDirectory(prefix="defect-") as folder:
        copy = Path(folder)
        _link_tree(base, copy)
        _break(copy / defect.file, defect)
        caught, story = _run_tests(copy, defect.tests)
    return Verdict(defect, caught, story, time.monotonic() - began)


def _copy_tree(root: Path, copy: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for folder in FOLDERS:
        if (root / folder).exists():
            shutil.copytree(root / folder, copy / folder, ignore=ignored)
    for file in FILES:
        if (root / file).exists():
            shutil.copy(root / file, copy / file)


def _link_tree(base: Path, copy: Path) -> None:
    # Links, as a thousand files are written slowly; only the broken one is written anew, and no test writes into its
    # own tree. What mypy knows of others' packages saves 12 s a defect of the wall; mypy writes, so that is copied.
    ignored = shutil.ignore_patterns(".hypothesis")
    for folder in FOLDERS:
        if (base / folder).exists():
            shutil.copytree(base / folder, copy / folder, ignore=ignored, copy_function=os.link)
    for file in FILES:
        if (base / file).exists():
            shutil.copy(base / file, copy / file)
    if (base / KNOWN_TO_MYPY).exists():
        shutil.copytree(base / KNOWN_TO_MYPY, copy / KNOWN_TO_MYPY)


def _break(file: Path, defect: Defect) -> None:
    text = file.read_text(encoding="utf-8").replace(defect.old, defect.new)
    file.unlink()  # the link alone; the sound file stays
    file.write_text(text, encoding="utf-8")
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()


def _run_tests(
    copy: Path, tests: Sequence[str], how: Sequence[str] = _ALONE, seconds_max: float = SECONDS_MAX
) -> tuple[bool, str]:
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:randomly", *how, "--no-header", *tests]
    with subprocess.Popen(
        command, cwd=copy, env=_environment(copy),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as running:  # fmt: skip
        try:
            out, errors = running.communicate(timeout=seconds_max)
        except subprocess.TimeoutExpired:
            return True, "the tests did not end"
        finally:
            _end_family(running.pid)
    last = next((line for line in reversed(out.splitlines()) if line.startswith("FAILED")), "")
    if running.returncode == _FAILED:
        return True, last.removeprefix("FAILED ").partition(" - ")[0].partition("[")[0].rpartition("/")[2]
    words = _PASSED if running.returncode == 0 else f"pytest ended with {running.returncode}"
    return False, f"{words}: {last or ' '.join((out + errors).split())[-200:]}"


def _end_family(pid: int) -> None:
    """Whatever tests that were broken on purpose have left running."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _environment(copy: Path) -> dict[str, str]:
    """Our source before the installed package, which points at the tree; the same examples and hashes in every run."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    path = {"PYTHONPATH": f"{copy / 'src'}:{copy}"}
    return {**kept, **_vectors(), **path, "HYPOTHESIS_PROFILE": "defects", "PYTHONHASHSEED": "0"}


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
    with tempfile.TemporaryDirectory(prefix="sound-") as folder:
        return _try_all(root, Path(folder), defects)


def _try_all(root: Path, base: Path, defects: Sequence[Defect]) -> int:
    _copy_tree(root, base)
    current = [defect for defect in defects if stale(base, defect) is None]
    trouble = sound(base, current) if current else None
    if trouble is not None:
        print(f"✗ {trouble}")
        return 1
    missed: list[Verdict] = []
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for verdict in pool.map(lambda defect: tried(base, defect), defects):
            missed += [] if verdict.caught else [verdict]
            mark = "✓" if verdict.caught else "✗"
            print(f"{mark} {verdict.defect.name:<36} {verdict.seconds:3.0f} s  {verdict.story}", flush=True)
    print(f"{len(defects) - len(missed)} of {len(defects)} deliberate defects caught")
    # Once more at the end, as the end of a long output is what is read, or all that was kept.
    for verdict in missed:
        defect = verdict.defect
        print(f"✗ missed: {defect.name} ({defect.file}: {defect.why}), of {', '.join(defect.tests)}: {verdict.story}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
