"""One measurement of scale, and how a table shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final


@final
@dataclass(frozen=True, slots=True)
class Row:
    """So many of something, what each takes of the server, and what it used of the processor.

    `figures` are what the sentences of `note` say, and more of it.
    """

    what: str
    count: int
    kib_each: float
    seconds: float
    server_cpu_seconds: float
    note: str
    figures: Mapping[str, float] = field(default_factory=dict)


def table_of(rows: Sequence[Row]) -> str:
    """Two lines and more a row, within 80 columns."""
    lines = [f"{'what':26} {'count':>6} {'KiB each':>9} {'seconds':>8} {'server CPU s':>12}"]
    for row in rows:
        each = f"{row.kib_each:9.1f}" if row.kib_each else f"{'':9}"
        lines.append(f"{row.what:26} {row.count:6} {each} {row.seconds:8.1f} {row.server_cpu_seconds:12.2f}")
        lines += [f"    {line}" for line in row.note.splitlines()]
    return "\n".join(lines)
