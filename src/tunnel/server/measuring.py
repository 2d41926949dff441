"""The measures of a process that serves: its counters, and how things stand in its hub at this moment."""

import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

from tunnel import __version__
from tunnel.observe.escapes import handler_escapes_total
from tunnel.observe.measures import Durations, Measures, Numbers
from tunnel.observe.metrics import BOUNDS, Histogram, Metrics
from tunnel.server.hub import Hub

_STATM: Final = Path("/proc/self/statm")
_PAGE_BYTES: Final = resource.getpagesize()


def measures(hub: Hub, process: str) -> Measures:
    """All of it, now. `process` names this process."""
    metrics = hub.metrics
    return Measures(process, {"version": __version__}, _counters(metrics), _gauges(hub), _histograms(metrics))


def own_measures() -> Measures:
    """Of a process that serves nobody itself, such as a supervisor."""
    counters: dict[str, Numbers] = {
        "handler_escapes": {"": handler_escapes_total()},
        "cpu_seconds": {"": cpu_seconds()},
    }
    return Measures("own", counters=counters, gauges={"resident_bytes": {"": resident_bytes()}})


def cpu_seconds() -> float:
    """What this process has used of the processors, of both kinds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_bytes() -> int:
    """The memory of this process that is in use, or 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        return int(_STATM.read_text("ascii").split()[1]) * _PAGE_BYTES
    return 0


def _counters(metrics: Metrics) -> dict[str, Numbers]:
    counters: dict[str, Numbers] = {
        "exchanges": dict(metrics.exchanges),
        "bytes": {"up": metrics.bytes_up, "down": metrics.bytes_down},
        "sessions": {"opened": metrics.sessions_opened, "ended": metrics.sessions_ended},
        "agents_refused": dict(metrics.agents_refused),
        "turned_away": dict(metrics.turned_away),
        "handler_escapes": {"": handler_escapes_total()},
        "cpu_seconds": {"": cpu_seconds()},
    }
    for kind, outcomes in metrics.connections.items():
        counters[f"{kind}_connections"] = dict(outcomes)
    return counters


def _gauges(hub: Hub) -> dict[str, Numbers]:
    return {
        "workers": {"": 1},
        "sessions": {"": len(hub.sessions)},
        "streams": {"": sum([max(session.visitors, 0) for session in hub.sessions.values()])},
        "public_connections": {"": len(hub.visits)},
        "names": {"": len({lease.name for lease in hub.table.leases() if lease.session in hub.sessions})},
        "resident_bytes": {"": resident_bytes()},
    }


def _histograms(metrics: Metrics) -> dict[str, Durations]:
    return {
        "exchange_seconds": _durations(metrics.whole),
        "edge_seconds": _durations(metrics.edge),
        "link_seconds": _durations(metrics.link),
        "local_seconds": _durations(metrics.local),
        "body_seconds": _durations(metrics.body),
    }


def _durations(histogram: Histogram) -> Durations:
    return Durations(BOUNDS, tuple(histogram.counts), histogram.total)
