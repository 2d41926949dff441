"""`python -m bench`: our tunnel, a pair of nginx and no tunnel at all, measured in turn on this machine."""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, final

from bench.failure import BenchError
from bench.figures import METRICS, Comparison, Measured, Turn, turn_of
from bench.load import CONNECTIONS, MANY_CONNECTIONS, download, full_speed, new_connections, upload
from bench.paced import paced
from bench.plot import plot
from bench.processes import cpu_seconds, cpu_seconds_of_machine
from bench.rivals import LINKS, RIVALS, started
from bench.subjects import LocalServices, Stage, Subject
from bench.table import rivals_table, table
from bench.tools import Tools, find_tools

from tunnel.cli.build import core_mode

_RESULTS: Final = Path(__file__).with_name("results")
_NOISE_WORTH_SAYING: Final = 0.05
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


class _Typed(argparse.Namespace):
    """What argparse fills in, with the defaults."""

    seconds: int = 5
    pairs: int = 3
    rate: int = 500
    results: Path = _RESULTS


@final
@dataclass(frozen=True, slots=True)
class Noise:
    """How much of the machine's processors others used while we measured, as a share of all there are."""

    share: float


def main(arguments: Sequence[str]) -> int:
    """Compare, print the table, write the results; 1 when something in the way made that impossible."""
    plan = _plan(arguments)
    # What stops us must stop the processes we started, too: `timeout` and CI end a run by SIGTERM.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        tools = find_tools()
        revision = _revision()
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
    compared, noise = found.compared, found.noise
    print(table(compared, heading))
    print(rivals_table(compared, {_SPREAD: "TLS", **LINKS}, found.left_out))
    if noise.share > _NOISE_WORTH_SAYING:
        print(f"other programs used {noise.share:.0%} of this machine meanwhile: expect noise")
    _write(plan.results, compared, _about(tools, plan, noise, revision), heading)
    return 0


def _plan(arguments: Sequence[str]) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=int, help="of each measurement with small bodies")
    parser.add_argument("--pairs", type=int, help="turns that each of the three gets")
    parser.add_argument("--rate", type=int, help="requests a second for the paced latency")
    parser.add_argument("--results", type=Path, help="folder for latest.json and latest.svg")
    given = parser.parse_args(arguments, _Typed())
    if min(given.seconds, given.pairs, given.rate) < 1:
        parser.error("--seconds, --pairs and --rate are whole numbers above 0")
    return Plan(given.seconds, given.pairs, given.rate, given.results)


@final
@dataclass(frozen=True, slots=True)
class Found:
    """What a run came to; `left_out` says why, by name."""

    compared: Comparison
    noise: Noise
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
        pids = {os.getpid(), *local.pids, *(pid for one in subjects for pid in (*one.server, *one.agent))}
        before = _others(pids)
        began = datetime.now(UTC)
        for number in range(plan.pairs):
            for subject in subjects:
                print(f"\rturn {number + 1} of {plan.pairs}: {subject.name:<12}", end="", file=sys.stderr, flush=True)
                turns[subject.name].append(_measure(tools, plan, subject, local, folder))
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
        whole = (datetime.now(UTC) - began).total_seconds() * (os.cpu_count() or 1)
        return Found(Comparison(turns), Noise(max(_others(pids) - before, 0.0) / whole), left_out)


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


def _others(pids: set[int]) -> float:
    """Processor seconds of everything that is not part of this comparison."""
    ended = os.times()
    return cpu_seconds_of_machine() - cpu_seconds(pids - {os.getpid()}) - sum(ended[:4])


def _revision() -> str:
    """The tree at this moment; asked before anything starts, as somebody may commit while we measure."""
    return subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout


def _about(tools: Tools, plan: Plan, noise: Noise, revision: str) -> dict[str, str | int | float]:
    """Where and with what the figures were made: without this they mean nothing."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision.strip(),
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "core": core_mode(),
        "nginx": tools.nginx_version,
        "seconds": plan.seconds,
        "pairs": plan.pairs,
        "connections": CONNECTIONS,
        "paced_requests_per_second": plan.rate,
        "used_by_others": round(noise.share, 3),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def _write(folder: Path, compared: Comparison, about: Mapping[str, str | int | float], heading: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    whole = {
        "about": about,
        "medians": {name: {one.key: compared.middle(name, one) for one in METRICS} for name in compared.turns},
        "ratios": {
            f"ours/{name}": {one.key: compared.ratio("ours", name, one) for one in METRICS}
            for name in compared.turns
            if name != "ours"
        },
        "turns": compared.turns,
    }
    (folder / "latest.json").write_text(json.dumps(whole, indent=2) + "\n", "utf-8")
    (folder / "latest.svg").write_text(plot(compared, heading), "utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
