"""Coverage-guided fuzzing of the targets: `python -m ci.fuzz [--seconds 60 | --runs N] [--only TARGET]...`.

With `--seconds`, every call tries other inputs. With `--runs`, each target gets that many, from one seed and the
committed corpus alone, so that a change is judged by what it did rather than by luck: that is CI's slice.

Needs atheris (`make fuzz` makes an environment with it). The time is split evenly; each target runs in a process of
its own, from its committed corpus and from what earlier runs left in build/fuzz. An input that breaks a target is kept
in tests/fuzz/found/TARGET, where the test suite tries it for ever after. Prints executions a second and, at the end,
how much of the core all inputs together reach.
"""

import argparse
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).parents[1]
TARGETS: Final = ROOT / "tests" / "fuzz" / "targets"
CORPUS: Final = ROOT / "tests" / "fuzz" / "corpus"
FOUND: Final = ROOT / "tests" / "fuzz" / "found"
WORK: Final = ROOT / "build" / "fuzz"
INPUT_BYTES_MAX: Final = 8192
"""Longer inputs are slower and rarely reach more; the limits worth reaching have targets with lowered limits."""
INPUT_SECONDS_MAX: Final = 10
"""One input; a loop without end is a finding."""
MEMORY_MIB_MAX: Final = 2048

Target = Callable[[bytes], None]


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fuzz_targets_{file.stem}", file)
    if spec is None or spec.loader is None:
        message = f"{file} cannot be loaded"
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def targets() -> dict[str, Target]:
    """Every target by name; two of one name are a ValueError, as they would share a corpus."""
    found: dict[str, Target] = {}
    for file in sorted(TARGETS.glob("*.py")):
        named: Mapping[str, Target] = _module(file).TARGETS
        doubled = found.keys() & named.keys()
        if doubled:
            message = f"{file}: {', '.join(sorted(doubled))} has been used by another file"
            raise ValueError(message)
        found.update(named)
    return found


def inputs_of(name: str) -> Iterator[tuple[Path, bytes]]:
    """The committed corpus of a target, then every input that was ever found to break it."""
    for folder in (CORPUS / name, FOUND / name):
        for file in sorted(folder.glob("*")) if folder.exists() else ():
            yield file, file.read_bytes()


def _fuzz_one(name: str, extent: Sequence[str]) -> None:
    """Run one target in this process to its `extent`; atheris ends the process."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["tunnel.core"]):
        target = targets()[name]
    work, found = WORK / name, FOUND / name
    for folder in (work, found):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = [str(CORPUS / name)] if (CORPUS / name).exists() else []
    options = [
        *extent,
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
    ]
    atheris.Setup([name, *options, str(work), *seeds], target)
    atheris.Fuzz()


def _replay() -> None:
    """Run every known input once, for the measure of coverage."""
    for name, target in targets().items():
        for file in [*(file for file, _ in inputs_of(name)), *sorted((WORK / name).glob("*"))]:
            target(file.read_bytes())


def _child(*arguments: str, under: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, *under, "-m", "ci.fuzz", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def _report(name: str, bound: str, amount: int) -> bool:
    """Fuzz one target and print its line; whether nothing was found."""
    began = time.monotonic()
    done = _child("--child", name, bound, str(amount))
    seconds = time.monotonic() - began
    units = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
    executed = int(units.group(1)) if units is not None else 0
    artifact = re.search(r"Test unit written to (\S+)", done.stderr)
    sound = done.returncode == 0 and artifact is None and executed > 0
    print(f"{'✓' if sound else '✗'} {name:<24} {executed:>10,} inputs {executed / seconds:>8,.0f}/s", flush=True)
    if not sound:
        print(f"  kept as {artifact.group(1)}" if artifact is not None else "  the fuzzer did not run to its end")
        print("".join(f"  {line}\n" for line in done.stderr.splitlines()[-25:] if "stat::" not in line), end="")
    return sound


def _coverage() -> str:
    data = f"--data-file={WORK / 'coverage'}"
    done = _child("--replay", under=("-m", "coverage", "run", data, "--branch", "--source=tunnel.core"))
    if done.returncode:
        return f"not measured: {done.stderr.strip().splitlines()[-1]}"
    command = [sys.executable, "-m", "coverage", "report", data, "--format=total", "--precision=1"]
    total = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return f"{total} % of the lines and branches of the core"


def _extent(seconds: int, runs: int | None) -> tuple[str, ...]:
    """What libFuzzer is told about its end."""
    return (f"-max_total_time={seconds}",) if runs is None else (f"-runs={runs}", "-seed=1")


def main(arguments: Sequence[str]) -> int:
    """0 when no target was broken."""
    parser = argparse.ArgumentParser(prog="python -m ci.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--runs", type=int, help="inputs for each target, from one seed")
    parser.add_argument("--only", action="append", help="this target alone (repeatable)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--replay", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT / "src"))
    if options.child:
        _fuzz_one(options.child, _extent(options.seconds, options.runs))
        return 0
    if options.replay:
        _replay()
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("fuzzing is left out: atheris is not installed (it has wheels for CPython on Linux)")
        return 0
    names = [name for name in targets() if not options.only or name in options.only]
    if not names:
        print(f"✗ no target of these names: {', '.join(options.only or [])}")
        return 1
    if options.runs:
        shutil.rmtree(WORK, ignore_errors=True)  # what earlier calls reached would change what this one tries
    WORK.mkdir(parents=True, exist_ok=True)
    bound, amount = ("--runs", options.runs) if options.runs else ("--seconds", max(options.seconds // len(names), 1))
    sound = [_report(name, bound, amount) for name in names]
    print(f"{sum(sound)} of {len(sound)} targets hold; all inputs together reach {_coverage()}")
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
