"""The model of the multiplexer, verified by spin; each bug planted in it has to be found (WALL-MODEL-001, -002).

`python -m ci.model [--deep]` verifies spec/model/mux.pml and prints a line for each run: what may happen in it, the
states that spin visited, and the verdict. `--deep` has two frames in flight each way instead of one, and lets resets
and GOAWAYs happen in the same run; that takes some ten minutes and six gigabytes. Needs spin and a C compiler.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

ROOT: Final = Path(__file__).parents[1]
MODEL: Final = ROOT / "spec/model/mux.pml"
BUGS: Final = ROOT / "spec/model/bugs.toml"
SOUND: Final = ((), ("RESETS=1",), ("AWAYS=1",))
DEEP: Final = (
    ("WIRE=2",),
    ("WIRE=2", "RESETS=1"),
    ("WIRE=2", "AWAYS=1"),
    ("AWAYS=2",),
    ("RESETS=1", "AWAYS=1"),
)
_NEEDED: Final = ("spin", "cc")
_DEPTH_MAX: Final = "100000"
_MEGABYTES_MAX: Final = 8000
_SECONDS_MAX: Final = 1200.0
_ERRORS: Final = re.compile(r"errors: (\d+)")
_STATES: Final = re.compile(r"^\s*(\d+) states, stored", re.MULTILINE)
_VIOLATED: Final = re.compile(r"^pan:1: (.*?) \(at depth", re.MULTILINE)
_UNFINISHED: Final = ("max search depth too small", "out of memory", "VECTORSZ is too small")


@final
@dataclass(frozen=True, slots=True)
class Bug:
    """A breakage that the model can be made with."""

    name: str
    flags: tuple[str, ...]
    why: str


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """What spin says of one run; `trouble` is why it says nothing, or ""."""

    errors: int
    states: int
    violated: str
    trouble: str
    seconds: float


def bugs() -> list[Bug]:
    """The planted bugs, as spec/model/bugs.toml lists them."""
    rows = tomllib.loads(BUGS.read_text(encoding="utf-8"))["bug"]
    return [Bug(row["name"], tuple(row.get("with", ())), row["why"]) for row in rows]


def verify(flags: Sequence[str]) -> Verdict:
    """Let spin look at every state of the model made with `flags`, or stop at the first violation."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        shutil.copy(MODEL, folder)
        steps = (
            ["spin", *(f"-D{flag}" for flag in flags), "-a", MODEL.name],
            ["cc", "-O2", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={_MEGABYTES_MAX}", "-o", "pan", "pan.c"],
            ["./pan", f"-m{_DEPTH_MAX}", "-w22"],
        )
        output = ""
        for step in steps:
            try:
                done = subprocess.run(
                    step, cwd=folder, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False
                )
            except subprocess.TimeoutExpired:
                return Verdict(0, 0, "", f"{step[0]} took more than {_SECONDS_MAX:g} s", time.monotonic() - begun)
            output = done.stdout + done.stderr
            if step is not steps[-1] and done.returncode != 0:
                return Verdict(0, 0, "", output.strip()[-400:], time.monotonic() - begun)
    return _read(output, time.monotonic() - begun)


def _read(output: str, seconds: float) -> Verdict:
    errors, states = _ERRORS.search(output), _STATES.search(output)
    trouble = next((said for said in _UNFINISHED if said in output), "")
    if errors is None or states is None:
        trouble = trouble or f"spin printed no verdict: {output.strip()[-400:]}"
        return Verdict(0, 0, "", trouble, seconds)
    violated = _VIOLATED.search(output)
    return Verdict(int(errors[1]), int(states[1]), violated[1] if violated else "", trouble, seconds)


def main(arguments: Sequence[str]) -> int:
    """Verify, plant, print; 0 when the model holds and every bug is found."""
    parser = argparse.ArgumentParser(description="Verify the model of the multiplexer with spin.")
    parser.add_argument("--deep", action="store_true", help="more in flight, resets and GOAWAYs together")
    asked = parser.parse_args(arguments)
    missing = [tool for tool in _NEEDED if shutil.which(tool) is None]
    if missing:
        print(f"left out: the model needs {' and '.join(missing)}")
        return 0
    failures = 0
    for flags in (*SOUND, *(DEEP if asked.deep else ())):
        verdict = verify(flags)
        is_good = not verdict.trouble and verdict.errors == 0
        failures += not is_good
        _print(", ".join(flags) or "no reset, no GOAWAY", verdict, "holds" if is_good else "FAILS")
    for bug in bugs():
        verdict = verify((bug.name, *bug.flags))
        is_good = not verdict.trouble and verdict.errors > 0
        failures += not is_good
        _print(bug.name, verdict, "found" if is_good else "NOT FOUND")
    return 1 if failures else 0


def _print(what: str, verdict: Verdict, word: str) -> None:
    print(f"{what:30} {verdict.states:>11,} states {verdict.seconds:6.1f} s  {word}", flush=True)
    if verdict.trouble:
        print(f"    {verdict.trouble}")
    elif word == "FAILS":
        print(f"    {verdict.violated}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
