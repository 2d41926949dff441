"""What an endurance run saw of its processes and of its visitors, and whether that was flat and faultless."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final, final

from bench.machine import Facts
from bench.pair import resident_bytes

BUSIEST: Final = "server"
"""The process that has all streams, so that all it keeps for a while is there by the second fifth of a minute."""
_FILLING_BYTES_MAX: Final = 6_000_000
"""Of growth while caches fill: of all others, which have few streams, and of runs of less than a minute. Python
leaves some 5 MB of unreachable objects lie until it looks for them."""
_SHORT_SECONDS: Final = 60.0
_NOISE_BYTES_MAX: Final = 2_500_000
"""Of growth in a run of a minute: an allocator's noise is half of it, 400 bytes a stream are more."""
_HOUR_BYTES_MAX: Final = 6_000_000
"""Of growth in an hour: the page caches of a database that grows, too; a hundred times less than 400 bytes a stream."""
_HOUR_SECONDS: Final = 3600.0
_WRONG_KEPT_MAX: Final = 1000
_WRONG_SHOWN: Final = 10
_MEGABYTE: Final = 1e6


@final
@dataclass(frozen=True, slots=True)
class Sample:
    """What a moment showed of each process, by its name: bytes in memory, open descriptors."""

    at: float
    held: Mapping[str, int]
    descriptors: Mapping[str, int]


def sampled(at: float, processes: Mapping[str, int]) -> Sample:
    """What each of these processes holds now."""
    return Sample(
        at,
        {name: resident_bytes(pid) for name, pid in processes.items()},
        {name: len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in processes.items()},
    )


@final
@dataclass
class Report:
    """What was seen."""

    seconds: float = 0.0
    seed: int = 0
    did: Counter[str] = field(default_factory=Counter)
    """By kind, whatever came of it."""
    failed: Counter[str] = field(default_factory=Counter)
    """Of those the ones that went wrong although nothing had disturbed them."""
    disturbed: Counter[str] = field(default_factory=Counter)
    """Those that failed because the run had ended what they stood on, which is as it should be."""
    wrong: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    first: Sample | None = None
    rest: Sample | None = None
    escapes: int = -1
    usage: tuple[int, int] = (0, 0)
    """Requests that the visitors know were answered, and those in the database: no fewer."""

    def blame(self, kind: str, why: str) -> None:
        """Something that had to succeed did not."""
        self.failed[kind] += 1
        if len(self.wrong) < _WRONG_KEPT_MAX:
            self.wrong.append(f"{kind}: {why}")

    def processes(self) -> Sequence[str]:
        """Those that were looked at."""
        return () if self.first is None else tuple(self.first.held)

    def parts(self) -> tuple[Sequence[Sample], Sequence[Sample]]:
        """The samples of the second fifth of the run, when all caches are full, and of the last."""
        fifth = max(len(self.samples) // 5, 1)
        return self.samples[fifth : 2 * fifth] or self.samples, self.samples[-fifth:]

    def middles(self, process: str) -> tuple[float, float]:
        """The median of what a process held in the second fifth of the run, and in the last."""
        early, late = self.parts()
        return median(row.held[process] for row in early), median(row.held[process] for row in late)

    def grown(self, process: str) -> float:
        """By how much it grew from the one to the other."""
        early, late = self.middles(process)
        return late - early

    def growth_max(self, process: str) -> float:
        """What may be between the median of the second fifth and that of the last."""
        if self.seconds < _SHORT_SECONDS or process != BUSIEST:
            return _FILLING_BYTES_MAX
        return _NOISE_BYTES_MAX + (_HOUR_BYTES_MAX - _NOISE_BYTES_MAX) * min(self.seconds / _HOUR_SECONDS, 1.0)

    def faults(self) -> list[str]:
        """Why the run was not flat; empty when it was."""
        found = [f"went wrong: {wrong}" for wrong in self.wrong[:_WRONG_SHOWN]]
        if len(self.wrong) > _WRONG_SHOWN:
            found.append(f"{sum(self.failed.values()) - _WRONG_SHOWN} more went wrong")
        if self.escapes != 0:
            found.append(f"handler_escapes_total {self.escapes}")
        answered, stored = self.usage
        if stored < answered:
            found.append(f"{answered} requests of the account were answered, {stored} of them are in the database")
        grown = {name: self.grown(name) for name in self.processes()}
        found += [f"{name} grew by {by / _MEGABYTE:.1f} MB" for name, by in grown.items() if by > self.growth_max(name)]
        if self.first is not None and self.rest is not None:
            found += [
                f"{name} holds {self.rest.descriptors[name]} descriptors at rest, {before} at first"
                for name, before in self.first.descriptors.items()
                if self.rest.descriptors[name] > before
            ]
        return found

    def line(self, sample: Sample) -> str:
        """How it goes."""
        server, control, *agents = (f"{size / _MEGABYTE:.0f}" for size in sample.held.values())
        done, failed = sum(self.did.values()), sum(self.failed.values())
        held = f"MB: server {server}, control {control}, agents {' '.join(agents)}"
        return f"{sample.at:.0f} s: {done:,} done, {failed} wrong; {held}"

    def table(self) -> str:
        """Both tables, in 80 columns."""
        lines = [f"{'':<22}{'done':>9}{'disturbed':>11}{'wrong':>7}"]
        lines += [
            f"{kind:<22}{count:>9,}{self.disturbed[kind] or '':>11}{self.failed[kind] or '':>7}".rstrip()
            for kind, count in sorted(self.did.items())
        ]
        lines += ["", f"{'':<12}{'MB: first':>10}{'2nd fifth':>11}{'last fifth':>12}{'grown':>8}{'':>6}"]
        lines[-1] += f"{'fds: first':>11}{'at rest':>9}"
        if self.first is not None and self.rest is not None:
            for name in self.processes():
                early, late = self.middles(name)
                lines.append(
                    f"{name:<12}{self.first.held[name] / _MEGABYTE:>10.1f}{early / _MEGABYTE:>11.1f}"
                    f"{late / _MEGABYTE:>12.1f}{(late - early) / _MEGABYTE:>+8.1f}{'':>6}"
                    f"{self.first.descriptors[name]:>11}{self.rest.descriptors[name]:>9}"
                )
        most, others = (self.growth_max(name) / _MEGABYTE for name in (BUSIEST, ""))
        lines.append(f"grown: medians, second fifth to last; at most: server {most:.1f}, others {others:.1f}")
        answered, stored = self.usage
        lines.append(f"requests of the account: {answered:,} answered to its visitors, {stored:,} in the database")
        lines.append(f"handler_escapes_total {self.escapes}")
        return "\n".join(lines)

    def text(self, about: Facts) -> str:
        """All of it as JSON, a sample a line; with what is known `about` the machine."""
        names = self.processes()
        samples = [row for row in (self.first, *self.samples, self.rest) if row is not None]
        rows = [
            [round(row.at, 1), [row.held[name] for name in names], [row.descriptors[name] for name in names]]
            for row in samples
        ]
        told = {
            "about": about,
            "seconds": self.seconds,
            "seed": self.seed,
            "did": dict(sorted(self.did.items())),
            "disturbed": dict(sorted(self.disturbed.items())),
            "failed": dict(sorted(self.failed.items())),
            "wrong": self.wrong,
            "requests_answered": self.usage[0],
            "requests_stored": self.usage[1],
            "handler_escapes_total": self.escapes,
            "grown_bytes": {name: self.grown(name) for name in names},
            "processes": names,
        }
        head = json.dumps(told, indent=1).removesuffix("\n}")
        each = ",\n".join(f"  {json.dumps(row)}" for row in rows)
        return f'{head},\n "samples": [\n{each}\n ]\n}}\n'
