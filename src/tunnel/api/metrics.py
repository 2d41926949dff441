"""What Prometheus is told: the measures of the data plane and of this process, by its conventions (OBS-METRICS).

The data plane counts; here its numbers get names, units and help. Each scrape is made of one reading of each source,
and a source that does not answer is a metric at 0, never an error: a scrape that fails says nothing at all.
"""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, final

from anyio import to_thread
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from tunnel import __version__
from tunnel.api.board import Standing
from tunnel.api.plane import Plane
from tunnel.core.base.outcome import Success, value_of
from tunnel.drive.segments import JOURNALS, bytes_in
from tunnel.observe.escapes import handler_escapes_total
from tunnel.observe.measures import NOTHING, Durations, Measures, measures_of
from tunnel.store.port import StoreHealth

LIMITS: Final = frozenset(
    {
        "rate-limited",
        "too-many-exchanges",
        "link-busy",
        "too-many-connections",
        "server-full",
        "local-overloaded",
        "requests-used-up",
        "bytes-used-up",
        "head-too-long",
        "target-too-long",
        "body-too-long",
        "too-many-fields",
        "too-many-sessions",
    }
)
"""The outcomes and refusals that mean: there was too much of something."""
_HOPS: Final = ("edge", "link", "local", "body")
_KINDS: Final = ("tcp", "tls")


@final
@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading of everything; None and "" for a source that did not answer."""

    measures: Measures | None = None
    store: StoreHealth | None = None
    standings: tuple[Standing, ...] = ()
    journal_bytes: int = 0
    directory: Mapping[str, object] = field(default_factory=dict)
    escapes: int = 0


async def scrape(plane: Plane) -> Scrape:
    """Everything as it is now."""
    told = await plane.feed.ask("metrics")
    health = await plane.feed.ask("health")
    store = await plane.store.health()
    directory = value_of(health).get("directory") if isinstance(health, Success) else None
    return Scrape(
        measures_of(value_of(told)) if isinstance(told, Success) else None,
        value_of(store) if isinstance(store, Success) else None,
        plane.board.standings(),
        await to_thread.run_sync(bytes_in, plane.state / JOURNALS),
        directory if isinstance(directory, dict) else {},
        handler_escapes_total(),
    )


def registry_of(seen: Scrape) -> CollectorRegistry:
    """What prometheus-client writes out in whatever form was asked for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Seen(seen))
    return registry


@final
class _Seen(Collector):
    """The metrics of one reading."""

    def __init__(self, seen: Scrape) -> None:
        self._seen: Final = seen

    @override
    def collect(self) -> Iterator[Metric]:
        """All of them, those of an absent data plane too: a metric that comes and goes breaks alerts on it."""
        seen, measures = self._seen, self._seen.measures or NOTHING
        yield _gauge(
            "tunnel_data_plane_up", "Whether the tunnel server answered this scrape.", seen.measures is not None
        )
        yield from _traffic(measures)
        yield from _latencies(measures)
        yield from _standing(measures)
        yield from _control(seen)
        yield InfoMetricFamily(
            "tunnel_build",
            "What runs.",
            {
                "version": __version__,
                "data_plane_version": measures.build.get("version", ""),
                "python": platform.python_version(),
            },
        )


def _traffic(measures: Measures) -> Iterator[Metric]:
    counters = measures.counters
    yield _counter(
        "tunnel_exchanges", "Exchanges that ended, by outcome: ok, or the code of what failed.", measures, "outcome"
    )
    connections = CounterMetricFamily(
        "tunnel_connections", "Raw connections (TCP, or TLS passed through) that ended.", labels=("kind", "outcome")
    )
    for kind in _KINDS:
        for outcome, count in counters.get(f"{kind}_connections", {}).items():
            connections.add_metric((kind, outcome), count)
    yield connections
    sizes = CounterMetricFamily(
        "tunnel_visitor_bytes",
        "Bytes of bodies and raw connections, up from visitors and down to them.",
        labels=("direction",),
    )
    for direction in ("up", "down"):
        sizes.add_metric((direction,), counters.get("bytes", {}).get(direction, 0))
    yield sizes
    yield _counter(
        "tunnel_visitors_turned_away", "Visitors that were not let in, by code.", measures, "code", "turned_away"
    )
    yield _counter("tunnel_agents_refused", "Agents that were not let in, by code.", measures, "code", "agents_refused")
    limits = CounterMetricFamily("tunnel_limits_hit", "How often there was too much of something.", labels=("limit",))
    hit: dict[str, float] = dict.fromkeys(sorted(LIMITS), 0)
    for family in ("exchanges", "turned_away", "agents_refused", "tcp_connections", "tls_connections"):
        for code, count in counters.get(family, {}).items():
            if code in hit:
                hit[code] += count
    for code, count in hit.items():
        limits.add_metric((code,), count)
    yield limits


def _latencies(measures: Measures) -> Iterator[Metric]:
    whole = HistogramMetricFamily(
        "tunnel_exchange_duration_seconds", "From the whole head of a request to the end of its response."
    )
    _add_durations(whole, (), measures.histograms.get("exchange_seconds"))
    yield whole
    hops = HistogramMetricFamily(
        "tunnel_hop_duration_seconds", "Where the seconds of exchanges went: edge, link, local, body.", labels=("hop",)
    )
    for hop in _HOPS:
        _add_durations(hops, (hop,), measures.histograms.get(f"{hop}_seconds"))
    yield hops


def _standing(measures: Measures) -> Iterator[Metric]:
    sessions = measures.counters.get("sessions", {})
    yield CounterMetricFamily("tunnel_sessions_opened", "Sessions of agents that began.", sessions.get("opened", 0))
    yield CounterMetricFamily("tunnel_sessions_ended", "Sessions of agents that ended.", sessions.get("ended", 0))
    for name, family, about in (
        ("tunnel_sessions", "sessions", "Sessions of agents now."),
        ("tunnel_streams", "streams", "Streams of visitors open on them now."),
        ("tunnel_public_connections", "public_connections", "Connections of visitors now."),
        ("tunnel_names", "names", "Names that are answered for now."),
        ("tunnel_processes", "workers", "Processes that serve visitors and agents."),
        ("tunnel_resident_memory_bytes", "resident_bytes", "Memory in use by the tunnel server, all its processes."),
    ):
        yield _gauge(name, about, measures.gauges.get(family, {}).get("", 0))
    used = measures.counters.get("cpu_seconds", {}).get("", 0)
    yield CounterMetricFamily("tunnel_cpu_seconds", "Processor time used by the tunnel server.", used)


def _control(seen: Scrape) -> Iterator[Metric]:
    measures = seen.measures or NOTHING
    escapes = CounterMetricFamily(
        "tunnel_handler_escapes", "Exceptions that reached the last guard; the promise is 0.", labels=("process",)
    )
    escapes.add_metric(("server",), measures.counters.get("handler_escapes", {}).get("", 0))
    escapes.add_metric(("control",), seen.escapes)
    yield escapes
    yield _gauge("tunnel_store_up", "Whether the database answered this scrape.", seen.store is not None)
    store = seen.store or StoreHealth("", "", 0)
    yield InfoMetricFamily("tunnel_store", "Which database.", {"kind": store.kind, "version": store.version})
    yield _gauge("tunnel_store_migration", "The last migration that was applied.", store.migration)
    yield _gauge("tunnel_journal_waiting_bytes", "Bytes of the journals that are not applied yet.", seen.journal_bytes)
    age = seen.directory.get("age_seconds")
    yield _gauge(
        "tunnel_directory_age_seconds",
        "Since when the data plane goes by what it knows of accounts.",
        age if isinstance(age, int | float) else 0,
    )
    ready = GaugeMetricFamily(
        "tunnel_service_ready", "Whether each service of the control process does its work.", labels=("service",)
    )
    for each in seen.standings:
        ready.add_metric((each.service,), each.is_ready)
    yield ready


def _counter(name: str, about: str, measures: Measures, label: str, family: str = "exchanges") -> CounterMetricFamily:
    made = CounterMetricFamily(name, about, labels=(label,))
    for value, count in measures.counters.get(family, {}).items():
        made.add_metric((value,), count)
    return made


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value)


def _add_durations(made: HistogramMetricFamily, labels: tuple[str, ...], durations: Durations | None) -> None:
    """Buckets as Prometheus has them: each with all that is below it; without a reading there is an empty one."""
    durations = durations or Durations((), (0,), 0.0)
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*map(str, durations.le), "+Inf"), durations.counts, strict=True):
        below += count
        buckets.append((bound, below))
    made.add_metric(labels, buckets, durations.total)
