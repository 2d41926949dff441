"""Which values a limit may be given by configuration; the defaults and their reasons are in `core/base/limits.py`.

The ranges keep out what would break the protocol or was surely a slip, not what an operator may have a reason for.
"""

from dataclasses import dataclass
from typing import Final, final

from tunnel.core.base.limits import GIB, KIB, MIB


@final
@dataclass(frozen=True, slots=True)
class Range:
    """Both ends are allowed."""

    low: float
    high: float


_SECONDS: Final = Range(0.01, 31 * 86_400.0)
_BYTES: Final = Range(1 * KIB, 1024 * GIB)
_COUNT: Final = Range(1, 1_000_000)

_PARTICULAR: Final = {
    "stream_window_bytes": Range(256 * KIB, 64 * MIB),  # yamux: a window starts at 256 KiB and cannot shrink
    "stream_window_bytes_max": Range(256 * KIB, 1 * GIB),
    "stream_window_bytes_min": Range(1 * KIB, 256 * KIB),
    "session_growth_bytes_max": Range(0, 64 * GIB),  # 0: no window grows
    "session_buffer_bytes_max": Range(1 * MIB, 64 * GIB),
    "frame_bytes_sent_max": Range(1 * KIB, 1 * MIB),
    "frame_bytes_max": Range(256 * KIB, 1 * GIB),  # others fill the window of a stream with one frame
    "stream_queue_bytes": Range(16 * KIB, 64 * MIB),
    "body_part_bytes_min": Range(0, 1 * MIB),  # 0: any progress will do
    "head_bytes_max": Range(1 * KIB, 1 * MIB),  # all of it is held while it is read
    "target_bytes_max": Range(256, 1 * MIB),
    "trailer_bytes_max": Range(0, 1 * MIB),
    "chunk_extension_bytes_max": Range(0, 1 * MIB),
    "linger_bytes_max": Range(0, 1 * GIB),
    "linger_seconds_max": Range(0.0, 60.0),
    "grace_seconds": Range(0.0, 86_400.0),
    "offline_remembered_seconds": Range(0.0, 366 * 86_400.0),
    "lease_lapse_seconds": Range(0.0, 31 * 86_400.0),
    "offline_names_max": Range(0, 10_000_000),
    "interim_responses_max": Range(1, 1000),
    "streams_per_session_max": Range(1, 65_536),
}

NEVER_MORE_THAN: Final = (
    ("target_bytes_max", "head_bytes_max"),
    ("frame_bytes_sent_max", "frame_bytes_max"),
    ("stream_window_bytes", "session_buffer_bytes_max"),
    ("stream_window_bytes", "stream_window_bytes_max"),
    ("stream_window_bytes_max", "frame_bytes_max"),
    ("heartbeat_seconds", "heartbeat_deadline_seconds"),
    ("reconnect_seconds_min", "reconnect_seconds_max"),
)
"""Pairs of limits whose first would make no sense beyond the second."""


def range_of(name: str) -> Range:
    """The allowed values of the limit `name`: its own, or those of its unit, which the name ends in."""
    particular = _PARTICULAR.get(name)
    if particular is not None:
        return particular
    if "_seconds" in name:
        return _SECONDS
    return _BYTES if "_bytes" in name else _COUNT


def particular_names() -> frozenset[str]:
    """The limits with a range of their own."""
    return frozenset(_PARTICULAR)
