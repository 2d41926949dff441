"""`python -m tests.simulation --seeds N [--from K]`: as many worlds, one a seed; those that are not sound are told."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Final

from tests.simulation.plan import controlled, drawn
from tests.simulation.world import Run, run

_JOBS: Final = 2
_BATCH: Final = 10
_TOLD_EVENTS: Final = 40
_FAILED_MAX: Final = 10


def told(seed: int, done: Run) -> str:
    """What was found with a seed, and how to repeat it."""
    plan = done.plan
    how = " CONTROL=1" if plan.acts else ""
    lines = [
        f"✗ seed {seed}: {len(done.findings)} found; repeat it with: make simulate SEEDS=1 FROM={seed}{how}",
        f"  {plan.agents} agents, faults: {', '.join(plan.faults) or 'none'}, {plan.weather}",
        *([f"  the control plane: {', '.join(plan.acts)}"] if plan.acts else []),
        *(f"  - {finding}" for finding in done.findings[:5]),
        "  the exchanges:",
        *(f"    {exchange.story()}" for exchange in done.exchanges),
        f"  the last events up to the first finding (of {len(done.log)}):",
    ]
    until = next((at for at, line in enumerate(done.log) if " FOUND " in line), len(done.log) - 1)
    return "\n".join([*lines, *(f"    {line[:200]}" for line in done.log[max(0, until - _TOLD_EVENTS) : until + 1])])


def batch(first: int, count: int, *, has_real_tls: bool, has_control: bool) -> tuple[int, list[str], Counter[str]]:
    """Some seeds in one process: how many failed, their stories, and what was met."""
    stories: list[str] = []
    met: Counter[str] = Counter()
    for seed in range(first, first + count):
        done = run(replace(controlled(seed) if has_control else drawn(seed), has_real_tls=has_real_tls))
        met["turns"] += done.turns
        met["virtual seconds"] += int(done.virtual_seconds)
        met["exchanges"] += len(done.exchanges)
        met["bytes"] += sum(exchange.got_down + exchange.seen_up for exchange in done.exchanges)
        met["whole answers"] += sum(exchange.is_whole for exchange in done.exchanges)
        if not done.is_sound:
            stories.append(told(seed, done))
    return count, stories, met


def main(arguments: list[str]) -> int:
    """0 when every world was sound."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many worlds (100)")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="K", help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=_JOBS, metavar="J", help="processes (2)")
    parser.add_argument("--real-tls", action="store_true", help="with OpenSSL in place of the stand-in")
    parser.add_argument("--control", action="store_true", help="the worlds that have a control plane")
    parser.add_argument("--stop", action="store_true", help="stop at the first world that is not sound")
    options = parser.parse_args(arguments)
    began, failed = time.monotonic(), 0
    met: Counter[str] = Counter()
    last = options.first + options.seeds
    starts = range(options.first, last, _BATCH)
    with ProcessPoolExecutor(max_workers=min(options.jobs, len(starts) or 1)) as pool:
        waiting = [
            pool.submit(
                batch,
                start,
                min(_BATCH, last - start),
                has_real_tls=options.real_tls,
                has_control=options.control,
            )
            for start in starts
        ]
        for each in waiting:
            _, stories, found = each.result()
            met.update(found)
            failed += len(stories)
            for story in stories:
                print(story, flush=True)
            if failed >= _FAILED_MAX or (options.stop and failed):
                pool.shutdown(cancel_futures=True)
                break
    seconds = time.monotonic() - began
    numbers = ", ".join(f"{value} {name}" for name, value in met.items())
    print(f"{options.seeds} seeds from {options.first}: {failed} not sound; {numbers}; {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
