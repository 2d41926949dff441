"""`python -m bench.control`: what the control plane costs the data plane, with it and without it in turn.

Two servers with an agent each lead to one local service: one has its control process, journal, directory and counters,
the other is told `--api none`. wrk asks both in turn, as often as wanted; which begins changes from turn to turn.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final, final

from bench.failure import BenchError
from bench.load import FullSpeed, full_speed
from bench.machine import Watch
from bench.processes import LOOPBACK, free_port
from bench.subjects import Stage, Subject
from bench.tools import Tools, find_tools

from tunnel.cli.build import core_mode

_WITHOUT: Final = "without"
_WITH: Final = "with"
_MICRO: Final = 1e6


@final
class _Typed(argparse.Namespace):
    """What argparse fills in, with the defaults."""

    seconds: int = 5
    pairs: int = 5
    json: Path | None = None


def main(arguments: Sequence[str]) -> int:
    """Measure in turn and print; 1 when something in the way made that impossible."""
    parser = argparse.ArgumentParser(prog="python -m bench.control", description=__doc__)
    parser.add_argument("--seconds", type=int, help="of each turn")
    parser.add_argument("--pairs", type=int, help="turns that each of the two gets")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked = parser.parse_args(arguments, _Typed())
    if min(asked.seconds, asked.pairs) < 1:
        parser.error("--seconds and --pairs are whole numbers above 0")
    watch = Watch()
    try:
        turns = _measured(find_tools(), asked.seconds, asked.pairs)
    except (BenchError, OSError) as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    figures = {name: _figures(of) for name, of in turns.items()}
    print(f"core {core_mode()}; {asked.pairs} turns of {asked.seconds} s each, wrk -t1 -c32, medians")
    print(f"{'control plane':<16}{'requests/s':>14}{'server us':>12}{'agent us':>12}{'p99 ms':>10}")
    for name, row in figures.items():
        print(f"{name:<16}{row['requests']:>14,.0f}{row['server']:>12.1f}{row['agent']:>12.1f}{row['p99']:>10.2f}")
    ratios = {key: figures[_WITH][key] / figures[_WITHOUT][key] for key in figures[_WITH]}
    print(f"{'with/without':<16}{ratios['requests']:>14.3f}{ratios['server']:>12.3f}{ratios['agent']:>12.3f}", end="")
    print(f"{ratios['p99']:>10.2f}")
    low, high = _spread(turns[_WITHOUT])
    print(f"turns without it alone range from {low:.3f} to {high:.3f} of their median: less than that is noise")
    told = {"medians": figures, "ratios": ratios, "noise": [low, high]}
    watch.write(asked.json, {"seconds": asked.seconds, "pairs": asked.pairs}, told)
    return 0


def _measured(tools: Tools, seconds: int, pairs: int) -> dict[str, list[FullSpeed]]:
    turns: dict[str, list[FullSpeed]] = {_WITHOUT: [], _WITH: []}
    with tempfile.TemporaryDirectory(prefix="tunnel-bench-") as name, ExitStack() as until:
        subjects = _started(tools, Path(name), until)
        for number in range(pairs):
            for subject in subjects if number % 2 == 0 else reversed(subjects):
                print(f"\rturn {number + 1} of {pairs}: {subject.name:<12}", end="", file=sys.stderr, flush=True)
                turns[subject.name].append(full_speed(tools, subject, seconds))
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return turns


def _started(tools: Tools, folder: Path, until: ExitStack) -> list[Subject]:
    """Both servers, each with a folder of its own, before one local service."""
    places = [folder / _WITHOUT, folder / _WITH]
    for place in places:
        place.mkdir()
    stages = [Stage(tools, place, until) for place in places]
    local = stages[0].start_local_services()
    control = ("--api", f"{LOOPBACK}:{free_port()}")
    return [stages[0].start_ours(local, _WITHOUT), stages[1].start_ours(local, _WITH, *control)]


def _figures(turns: Sequence[FullSpeed]) -> dict[str, float]:
    """Medians: requests a second, microseconds of processor a request on either side, milliseconds of the 99th."""
    return {
        "requests": median(one.requests / one.seconds for one in turns),
        "server": median(one.cpu.server / one.requests for one in turns) * _MICRO,
        "agent": median(one.cpu.agent / one.requests for one in turns) * _MICRO,
        "p99": median(one.p99_seconds for one in turns) * 1000,
    }


def _spread(turns: Sequence[FullSpeed]) -> tuple[float, float]:
    """The slowest and the fastest turn, as shares of the median."""
    rates = [one.requests / one.seconds for one in turns]
    return min(rates) / median(rates), max(rates) / median(rates)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
