"""Figures of a comparison: what was measured in each turn, medians over the turns, and ratios turn by turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, final

from bench.load import Bulk, FullSpeed
from bench.paced import Paced
from bench.subjects import DOWNLOAD_BYTES


@final
@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table. The value in base units times `scale` is shown in `unit`."""

    key: str
    label: str
    unit: str
    scale: float
    more_is_better: bool
    target: float | None = None
    """What ours divided by nginx should at least be (at most, when less is better); None when nothing was promised."""

    def is_met(self, ratio: float) -> bool:
        """Whether this ratio to nginx keeps the promise; true when there is none."""
        if self.target is None:
            return True
        return ratio >= self.target if self.more_is_better else ratio <= self.target


METRICS: Final = (
    Metric("requests_per_second", "requests, 32 conn.", "1/s", 1, more_is_better=True, target=1.5),
    Metric("requests_per_second_many", "requests, 256 conn.", "1/s", 1, more_is_better=True, target=1.5),
    Metric("connections_per_second", "new connections", "1/s", 1, more_is_better=True, target=1.0),
    Metric("paced_p50_seconds", "latency p50, paced", "ms", 1e3, more_is_better=False),
    Metric("paced_p99_seconds", "latency p99, paced", "ms", 1e3, more_is_better=False, target=0.8),
    Metric("full_p50_seconds", "p50, full load", "ms", 1e3, more_is_better=False),
    Metric("full_p99_seconds", "p99, full load", "ms", 1e3, more_is_better=False),
    Metric("cpu_seconds_per_request", "CPU a request", "us", 1e6, more_is_better=False, target=0.65),
    Metric("server_cpu_seconds_per_request", "  of it the server", "us", 1e6, more_is_better=False),
    Metric("agent_cpu_seconds_per_request", "  of it the agent", "us", 1e6, more_is_better=False),
    Metric("download_bytes_per_second", "download 100 MB", "MB/s", 1e-6, more_is_better=True, target=1.1),
    Metric("download_cpu_seconds_per_byte", "  CPU a byte", "ns", 1e9, more_is_better=False, target=0.9),
    Metric("download_server_cpu_seconds_per_byte", "    of it the server", "ns", 1e9, more_is_better=False),
    Metric("download_agent_cpu_seconds_per_byte", "    of it the agent", "ns", 1e9, more_is_better=False),
    Metric("upload_bytes_per_second", "upload 100 MB", "MB/s", 1e-6, more_is_better=True, target=1.1),
    Metric("upload_cpu_seconds_per_byte", "  CPU a byte", "ns", 1e9, more_is_better=False, target=0.9),
    Metric("upload_server_cpu_seconds_per_byte", "    of it the server", "ns", 1e9, more_is_better=False),
    Metric("upload_agent_cpu_seconds_per_byte", "    of it the agent", "ns", 1e9, more_is_better=False),
)

Turn = Mapping[str, float]
"""What one subject did in one turn, by metric key; a subject without server and agent has no CPU figures."""


@final
@dataclass(frozen=True, slots=True)
class Measured:
    """All measurements of one turn; `full` is with 32 connections, `many` with 256."""

    full: FullSpeed
    many: FullSpeed
    connections_per_second: float
    calm: Paced
    down: Bulk
    up: Bulk


def turn_of(measured: Measured, *, has_sides: bool) -> Turn:
    """The measurements of one turn in base units."""
    full, calm, down, up = measured.full, measured.calm, measured.down, measured.up
    turn = {
        "requests_per_second": full.requests / full.seconds,
        "requests_per_second_many": measured.many.requests / measured.many.seconds,
        "connections_per_second": measured.connections_per_second,
        "full_p50_seconds": full.p50_seconds,
        "full_p99_seconds": full.p99_seconds,
        "paced_p50_seconds": calm.p50_seconds,
        "paced_p99_seconds": calm.p99_seconds,
        "download_bytes_per_second": DOWNLOAD_BYTES / down.seconds,
        "upload_bytes_per_second": DOWNLOAD_BYTES / up.seconds,
    }
    if has_sides:
        turn["cpu_seconds_per_request"] = (full.cpu.server + full.cpu.agent) / full.requests
        turn["server_cpu_seconds_per_request"] = full.cpu.server / full.requests
        turn["agent_cpu_seconds_per_request"] = full.cpu.agent / full.requests
        for name, bulk in (("download", down), ("upload", up)):
            turn[f"{name}_cpu_seconds_per_byte"] = (bulk.cpu.server + bulk.cpu.agent) / DOWNLOAD_BYTES
            turn[f"{name}_server_cpu_seconds_per_byte"] = bulk.cpu.server / DOWNLOAD_BYTES
            turn[f"{name}_agent_cpu_seconds_per_byte"] = bulk.cpu.agent / DOWNLOAD_BYTES
    return turn


@final
class Comparison:
    """All turns of all subjects; turn n of one was measured next to turn n of the others."""

    def __init__(self, turns: Mapping[str, Sequence[Turn]]) -> None:
        self.turns: Final = turns

    def middle(self, subject: str, metric: Metric) -> float | None:
        """The median over the turns, in base units; None when this subject has no such figure."""
        values = [turn[metric.key] for turn in self.turns[subject] if metric.key in turn]
        return median(values) if values else None

    def ratio(self, subject: str, other: str, metric: Metric) -> float | None:
        """The median of the ratios within each pair of turns, in which a slow minute of the machine cancels out."""
        pairs = zip(self.turns[subject], self.turns[other], strict=True)
        ratios = [one[metric.key] / two[metric.key] for one, two in pairs if two.get(metric.key)]
        return median(ratios) if ratios else None
