"""The comparison as tables of at most 80 columns."""

from collections.abc import Mapping
from typing import Final

from bench.figures import METRICS, Comparison, Metric

_COLUMNS: Final = ("ours", "nginx", "direct")
_DECIMALS_BELOW: Final = ((10.0, 2), (100.0, 1))
_RIVAL_METRICS: Final = (
    ("requests_per_second", "req/s"),
    ("connections_per_second", "conn/s"),
    ("paced_p99_seconds", "p99 ms"),
    ("cpu_seconds_per_request", "us/req"),
    ("download_bytes_per_second", "down"),
    ("upload_bytes_per_second", "up"),
)


def table(compared: Comparison, heading: str) -> str:
    """Medians of the three, ours as a multiple of nginx, what was promised of it, and whether it is so."""
    head = f"{'':<20}{'':>5}{'ours':>9}{'nginx':>9}{'direct':>9}{'/nginx':>9}{'target':>10}"
    lines = [heading, "", head, *(_line(compared, metric) for metric in METRICS)]
    lines += ["", "/nginx: ours divided by nginx, in pairs of turns; * = ours is ahead; ! = target missed"]
    return "\n".join(lines)


def rivals_table(compared: Comparison, links: Mapping[str, str], left_out: Mapping[str, str]) -> str:
    """The other tunnels: their medians, with ours divided by them below each; and who was left out, and why."""
    metrics = [(next(one for one in METRICS if one.key == key), label) for key, label in _RIVAL_METRICS]
    lines = ["", f"{'':<12}{'link':<9}" + "".join(f"{label:>9}" for _, label in metrics)]
    for name in ("ours", *(name for name in compared.turns if name in links)):
        cells = [compared.middle(name, metric) for metric, _ in metrics]
        shown = "".join(
            f"{'-' if cell is None else number(cell * metric.scale):>9}"
            for (metric, _), cell in zip(metrics, cells, strict=True)
        )
        lines.append(f"{name:<12}{links.get(name, 'TLS'):<9}{shown}")
        if name != "ours":
            ratios = "".join(_ratio(compared.ratio("ours", name, metric), metric, 8) for metric, _ in metrics)
            lines.append(f"{'  ours / it':<12}{'':<9}{ratios}")
    lines += [f"left out: {name}: {why}" for name, why in left_out.items()]
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits or so: 0.12, 1.23, 12.3, 123, 12345."""
    for bound, decimals in _DECIMALS_BELOW:
        if value < bound:
            return f"{value:.{decimals}f}"
    return f"{value:.0f}"


def _line(compared: Comparison, metric: Metric) -> str:
    cells = [compared.middle(subject, metric) for subject in _COLUMNS]
    shown = "".join(f"{'-' if cell is None else number(cell * metric.scale):>9}" for cell in cells)
    ratio = compared.ratio("ours", "nginx", metric)
    target = "" if metric.target is None else f"{'>=' if metric.more_is_better else '<='} {metric.target:.2f}"
    missed = "!" if target and ratio is not None and not metric.is_met(ratio) else " "
    return f"{metric.label:<20}{metric.unit:>5}{shown}{_ratio(ratio, metric, 8)}{target:>9}{missed}".rstrip()


def _ratio(ratio: float | None, metric: Metric, width: int) -> str:
    if ratio is None:
        return f"{'-':>{width}} "
    is_ahead = ratio > 1 if metric.more_is_better else ratio < 1
    return f"{number(ratio):>{width}}{'*' if is_ahead else ' '}"
