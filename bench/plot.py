"""The comparison as an SVG: bars for each metric, the longest of each three filling the width; light and dark."""

from collections.abc import Sequence
from typing import Final

from bench.figures import METRICS, Comparison, Metric
from bench.table import number

_SUBJECTS: Final = (("ours", "a"), ("nginx", "b"), ("direct", "c"))
_WIDTH: Final = 760
_LEFT: Final = 210
_BAR_MAX: Final = 440
_BAR_HEIGHT: Final = 11
_GROUP_GAP: Final = 12
_TOP: Final = 64
_STYLE: Final = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 } .quiet { fill: #57606a } .small { font-size: 10px }
  .a { fill: #0969da } .b { fill: #8c959f } .c { fill: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 }
    .a { fill: #4493f8 } .b { fill: #6e7681 } .c { fill: #3d444d }
  }
"""


def plot(compared: Comparison, heading: str) -> str:
    """A whole SVG document without scripts or outside references; text is as wide as the page allows."""
    parts: list[str] = []
    top = _TOP
    for metric in METRICS:
        values = [(mark, compared.middle(subject, metric)) for subject, mark in _SUBJECTS]
        drawn = [(mark, value) for mark, value in values if value is not None]
        parts += _group(metric, drawn, top)
        top += len(drawn) * (_BAR_HEIGHT + 2) + _GROUP_GAP
    legend = "".join(
        f'<rect class="{mark}" x="{_LEFT + 80 * place}" y="38" width="10" height="10"/>'
        f'<text x="{_LEFT + 80 * place + 15}" y="47">{subject}</text>'
        for place, (subject, mark) in enumerate(_SUBJECTS)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}">\n'
        f"<style>{_STYLE}</style>\n"
        f'<text class="title" x="12" y="22">{heading}</text>{legend}\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _group(metric: Metric, drawn: Sequence[tuple[str, float]], top: int) -> list[str]:
    """One metric: its name, and whether long bars are good or bad."""
    better = "more is better" if metric.more_is_better else "less is better"
    middle = top + len(drawn) * (_BAR_HEIGHT + 2) // 2
    name = f'<text x="12" y="{middle - 1}">{metric.label.strip()}</text>'
    note = f'<text class="quiet small" x="12" y="{middle + 13}">{_about(metric)}{metric.unit}, {better}</text>'
    lines = [name + note]
    longest = max((value for _, value in drawn), default=0.0) or 1.0
    for place, (mark, value) in enumerate(drawn):
        y = top + place * (_BAR_HEIGHT + 2)
        length = max(value / longest * _BAR_MAX, 1.0)
        lines.append(
            f'<rect class="{mark}" x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR_HEIGHT}" rx="1"/>'
            f'<text x="{_LEFT + length + 6:.1f}" y="{y + _BAR_HEIGHT - 1}">{number(value * metric.scale)}</text>'
        )
    return lines


def _about(metric: Metric) -> str:
    """Which body a CPU-per-byte figure belongs to; its label in the table is indented below that body's line."""
    return f"{metric.key.partition('_')[0]}, " if metric.label.startswith(" ") else ""
