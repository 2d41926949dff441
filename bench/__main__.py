"""`python -m bench`: our tunnel, a pair of nginx and no tunnel at all, measured in turn on this machine."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from bench.failure import BenchError
from bench.figures import METRICS, Comparison, Measured, Turn, turn_of
from bench.load import CONNECTIONS, MANY_CONNECTIONS, download, full_speed, new_connections, upload
from bench.machine import Facts, Watch
from bench.paced import paced
from bench.plot import plot
from bench.rivals import LINKS, RIVALS, started
from bench.subjects import LocalServices, Stage, Subject
from bench.table import rivals_table, table
from bench.tools import Tools, find_tools

from tunnel.cli.build import core_mode

_RESULTS: Final = Path(__file__).with_name("results")
_SPREAD: Final = "2 workers"
"""Ours once more, with two workers behind one agent with one link: every other visitor crosses between them."""


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often."""

    seconds: int
    pairs: int
    rate: int
    results: Path
    name: str


class _Typed(argparse.Namespace):
    """What argparse fills in, with the defaults."""

    seconds: int = 5
    pairs: int = 3
    rate: int = 500
    results: Path = _RESULTS
    name: str = "latest"


def main(arguments: Sequence[str]) -> int:
    """Compare, print the table, write the results; 1 when something in the way made that impossible."""
    plan = _plan(arguments)
    # What stops us must stop the processes we started, too: `timeout` and CI end a run by SIGTERM.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        tools = find_tools()
        watch = Watch()
        found = _compare(tools, plan)
    except (BenchError, OSError) as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    heading = (
        f"core {core_mode()}; {plan.pairs} turns: wrk -t1 -c{CONNECTIONS} {plan.seconds} s, "
        f"{plan.rate} requests/s {plan.seconds} s, 100 MB"
    )
    print(table(found.compared, heading))
    print(rivals_table(found.compared, {_SPREAD: "TLS", **LINKS}, found.left_out))
    watch.write(plan.results / f"{plan.name}.json", _settings(tools, plan), _told(found))
    (plan.results / f"{plan.name}.svg").write_text(plot(found.compared, heading), "utf-8")
    return 0


def _plan(arguments: Sequence[str]) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=int, help="of each measurement with small bodies")
    parser.add_argument("--pairs", type=int, help="turns that each of the three gets")
    parser.add_argument("--rate", type=int, help="requests a second for the paced latency")
    parser.add_argument("--results", type=Path, help="folder for NAME.json and NAME.svg")
    parser.add_argument("--name", help="of both files; git ignores those that are called latest")
    given = parser.parse_args(arguments, _Typed())
    if min(given.seconds, given.pairs, given.rate) < 1:
        parser.error("--seconds, --pairs and --rate are whole numbers above 0")
    return Plan(given.seconds, given.pairs, given.rate, given.results, given.name)


@final
@dataclass(frozen=True, slots=True)
class Found:
    """What a run came to; `left_out` says why, by name."""

    compared: Comparison
    left_out: Mapping[str, str]


def _compare(tools: Tools, plan: Plan) -> Found:
    """Start everything once, then measure in turn: idle subjects cost nothing, and warm ones are what we want."""
    with tempfile.TemporaryDirectory(prefix="tunnel-bench-") as name, ExitStack() as until:
        folder = Path(name)
        stage = Stage(tools, folder, until)
        local = stage.start_local_services()
        ours = stage.start_ours(local)
        spread = _start_spread(tools, folder / "spread", local, until)
        rivals, left_out = _rivals(folder, local, until)
        subjects = (ours, stage.start_nginx(local), stage.start_direct(local), spread, *rivals)
        turns: dict[str, list[Turn]] = {subject.name: [] for subject in subjects}
        for number in range(plan.pairs):
            for subject in subjects:
                print(f"\rturn {number + 1} of {plan.pairs}: {subject.name:<12}", end="", file=sys.stderr, flush=True)
                turns[subject.name].append(_measure(tools, plan, subject, local, folder))
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
        return Found(Comparison(turns), left_out)


def _start_spread(tools: Tools, folder: Path, local: LocalServices, until: ExitStack) -> Subject:
    folder.mkdir()
    return Stage(tools, folder, until).start_ours(local, _SPREAD, "--workers", "2")


def _rivals(folder: Path, local: LocalServices, until: ExitStack) -> tuple[list[Subject], dict[str, str]]:
    """The other tunnels that run here, and why the rest do not."""
    running, left_out = list[Subject](), dict[str, str]()
    for rival in RIVALS:
        if rival.missing:
            left_out[rival.name] = f"{' and '.join(rival.missing)} not on PATH"
            continue
        try:
            running.append(until.enter_context(started(rival, folder, local)))
        except BenchError as why:
            left_out[rival.name] = " ".join(str(why).split())[:100]
    return running, left_out


def _measure(tools: Tools, plan: Plan, subject: Subject, local: LocalServices, folder: Path) -> Turn:
    measured = Measured(
        full_speed(tools, subject, plan.seconds),
        full_speed(tools, subject, plan.seconds, MANY_CONNECTIONS),
        new_connections(tools, subject, plan.seconds),
        paced(subject.small, plan.rate, plan.seconds),
        download(tools, subject),
        upload(tools, subject, local.file, folder / "answer"),
    )
    return turn_of(measured, has_sides=bool(subject.server))


def _settings(tools: Tools, plan: Plan) -> Facts:
    return {
        "nginx": tools.nginx_version,
        "seconds": plan.seconds,
        "pairs": plan.pairs,
        "connections": CONNECTIONS,
        "paced_requests_per_second": plan.rate,
    }


def _told(found: Found) -> dict[str, object]:
    """Every turn, medians and ratios; which tunnels were left out, and why."""
    compared = found.compared
    return {
        "medians": {name: {one.key: compared.middle(name, one) for one in METRICS} for name in compared.turns},
        "ratios": {
            f"ours/{name}": {one.key: compared.ratio("ours", name, one) for one in METRICS}
            for name in compared.turns
            if name != "ours"
        },
        "turns": compared.turns,
        "left_out": dict(found.left_out),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
