"""The comparison as a table of at most 80 columns."""

from typing import Final

from bench.figures import METRICS, Comparison, Metric

_COLUMNS: Final = ("ours", "nginx", "direct")
_DECIMALS_BELOW: Final = ((10.0, 2), (100.0, 1))


def table(compared: Comparison, heading: str) -> str:
    """Medians of the three, and ours as a multiple of the others; `*` where ours is ahead."""
    lines = [heading, "", f"{'':<24}{'':>5}{'ours':>10}{'nginx':>10}{'direct':>10}{'/nginx':>10}{'/direct':>10}"]
    lines += [_line(compared, metric) for metric in METRICS]
    lines += ["", "/nginx, /direct: ours divided by the other, in pairs of turns; * = ours is ahead"]
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits or so: 0.12, 1.23, 12.3, 123, 12345."""
    for bound, decimals in _DECIMALS_BELOW:
        if value < bound:
            return f"{value:.{decimals}f}"
    return f"{value:.0f}"


def _line(compared: Comparison, metric: Metric) -> str:
    cells = [compared.middle(subject, metric) for subject in _COLUMNS]
    shown = [f"{'-' if cell is None else number(cell * metric.scale):>10}" for cell in cells]
    ratios = [_ratio(compared.ratio("ours", other, metric), metric) for other in ("nginx", "direct")]
    return f"{metric.label:<24}{metric.unit:>5}" + "".join(shown) + "".join(ratios)


def _ratio(ratio: float | None, metric: Metric) -> str:
    if ratio is None:
        return f"{'-':>9} "
    is_ahead = ratio > 1 if metric.more_is_better else ratio < 1
    return f"{number(ratio):>9}{'*' if is_ahead else ' '}"
