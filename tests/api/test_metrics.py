"""What Prometheus is told: its form against the conventions, its numbers, and the dashboard that is drawn from it.

The text is read with prometheus-client's own parser; the rules of `promtool check metrics` are written out here, as
that is a program of its own. The data plane is one that gives prepared answers; tests/shell asks a real one.
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families as metrics_of_text
from tests.support.api_world import OURS, World, api_world

from tunnel.core.base.outcome import Failure
from tunnel.observe.escapes import handler_escapes_total
from tunnel.observe.measures import Durations, Measures, answer_of
from tunnel.observe.metrics import BOUNDS
from tunnel.store.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

DASHBOARD: Final = Path(__file__).parents[2] / "docs" / "grafana" / "tunnel.json"
COUNTS: Final = tuple(range(len(BOUNDS) + 1))
MEASURES: Final = Measures(
    "p",
    {"version": "9.9"},
    {
        "exchanges": {"ok": 7, "rate-limited": 2},
        "tcp_connections": {"ok": 1, "idle": 2},
        "tls_connections": {"ok": 3},
        "bytes": {"up": 10, "down": 20},
        "sessions": {"opened": 5, "ended": 4},
        "agents_refused": {"expired": 6, "too-many-sessions": 1},
        "turned_away": {"server-full": 8},
        "handler_escapes": {"": 0},
        "cpu_seconds": {"": 1.5},
    },
    {name: {"": 3} for name in ("workers", "sessions", "streams", "public_connections", "names", "resident_bytes")},
    {f"{name}_seconds": Durations(BOUNDS, COUNTS, 2.5) for name in ("exchange", "edge", "link", "local", "body")},
)
BASE_UNITS: Final = ("_seconds", "_bytes", "_total", "_info", "_ratio")
PLAIN_COUNTS: Final = frozenset(
    {
        "tunnel_data_plane_up",
        "tunnel_store_up",
        "tunnel_service_ready",
        "tunnel_store_migration",
        "tunnel_sessions",
        "tunnel_streams",
        "tunnel_public_connections",
        "tunnel_names",
        "tunnel_processes",
    }
)
"""Gauges that count things, which have no unit."""


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[World]:
    async with api_world(tmp_path) as world:
        world.feed.answers["metrics"] = answer_of(MEASURES)
        world.feed.answers["health"] = {"directory": {"age_seconds": 12.5}}
        world.plane.board.note("journal", "fine", is_ready=True)
        yield world


async def scraped(world: World) -> dict[str, Metric]:
    answer = await world.ask("GET", "//metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {metric.name: metric for metric in metrics_of_text(answer.text)}


def value(metrics: dict[str, Metric], sample: str, **labels: str) -> float:
    found = [
        each.value
        for metric in metrics.values()
        for each in metric.samples
        if each.name == sample and each.labels == labels
    ]
    assert len(found) == 1, (sample, labels, found)
    return found[0]


@pytest.mark.shows("OBS-METRICS-001")
async def test_every_metric_is_as_the_conventions_have_it(running: World) -> None:
    answer = await running.ask("GET", "//metrics")
    metrics = list(metrics_of_text(answer.text))
    assert len({metric.name for metric in metrics}) == len(metrics) >= 20
    for metric in metrics:
        assert metric.type != "unknown", metric.name
        assert metric.documentation.endswith("."), metric.name
        assert re.fullmatch("tunnel_[a-z]+(_[a-z]+)*", metric.name)
        assert f"# HELP {metric.name}" in answer.text
        names = {each.name for each in metric.samples}
        if metric.type == "counter":
            assert names <= {f"{metric.name}_total"}
        else:
            assert not metric.name.endswith("_total")
            assert metric.name.endswith(BASE_UNITS) or metric.name in PLAIN_COUNTS, metric.name
        for unit in ("milliseconds", "minutes", "hours", "kilobytes", "percent"):
            assert unit not in metric.name
        for each in metric.samples:
            assert all(re.fullmatch("[a-z]+(_[a-z]+)*", label) for label in each.labels)
            assert not {"job", "instance"} & set(each.labels)


@pytest.mark.shows("OBS-METRICS-001")
async def test_buckets_do_not_fall_and_end_with_all(running: World) -> None:
    metrics = await scraped(running)
    for name, labels in [("tunnel_exchange_duration_seconds", {}), ("tunnel_hop_duration_seconds", {"hop": "link"})]:
        samples = [each for each in metrics[name].samples if labels.items() <= each.labels.items()]
        buckets = [(float(each.labels["le"]), each.value) for each in samples if each.name == f"{name}_bucket"]
        assert [bound for bound, _ in buckets] == [*BOUNDS, float("inf")]
        assert [count for _, count in buckets] == [sum(COUNTS[: at + 1]) for at in range(len(COUNTS))]
        assert value(metrics, f"{name}_count", **labels) == sum(COUNTS)
        assert value(metrics, f"{name}_sum", **labels) == 2.5
    assert {each.labels["hop"] for each in metrics["tunnel_hop_duration_seconds"].samples} == {
        "edge",
        "link",
        "local",
        "body",
    }


@pytest.mark.shows("OBS-METRICS-001")
async def test_the_numbers_are_those_of_the_data_plane(running: World) -> None:
    metrics = await scraped(running)
    assert value(metrics, "tunnel_exchanges_total", outcome="ok") == 7
    assert value(metrics, "tunnel_connections_total", kind="tcp", outcome="idle") == 2
    assert value(metrics, "tunnel_connections_total", kind="tls", outcome="ok") == 3
    assert value(metrics, "tunnel_visitor_bytes_total", direction="down") == 20
    assert value(metrics, "tunnel_sessions_opened_total") == 5
    assert value(metrics, "tunnel_sessions_ended_total") == 4
    assert value(metrics, "tunnel_agents_refused_total", code="expired") == 6
    assert value(metrics, "tunnel_visitors_turned_away_total", code="server-full") == 8
    assert value(metrics, "tunnel_limits_hit_total", limit="rate-limited") == 2
    assert value(metrics, "tunnel_limits_hit_total", limit="server-full") == 8
    assert value(metrics, "tunnel_limits_hit_total", limit="too-many-sessions") == 1
    assert value(metrics, "tunnel_limits_hit_total", limit="link-busy") == 0
    assert value(metrics, "tunnel_handler_escapes_total", process="server") == 0
    assert value(metrics, "tunnel_handler_escapes_total", process="control") == handler_escapes_total()
    assert value(metrics, "tunnel_cpu_seconds_total") == 1.5
    assert value(metrics, "tunnel_store_up") == value(metrics, "tunnel_data_plane_up") == 1
    assert value(metrics, "tunnel_directory_age_seconds") == 12.5
    assert value(metrics, "tunnel_service_ready", service="journal") == 1
    (build,) = metrics["tunnel_build_info" if "tunnel_build_info" in metrics else "tunnel_build"].samples
    assert build.labels["data_plane_version"] == "9.9"


@pytest.mark.shows("OBS-METRICS-001")
async def test_open_metrics_is_spoken_to_who_asks_for_it(running: World) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = await running.ask("GET", "//metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    assert "# TYPE tunnel_exchanges counter" in answer.text
    assert 'tunnel_exchanges_total{outcome="ok"} 7.0' in answer.text


@pytest.mark.shows("OBS-METRICS-002")
async def test_the_same_metrics_are_there_while_others_are_away(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await scraped(running)

    async def away() -> Failure[StoreUnavailable]:
        return Failure(StoreUnavailable("gone", 1))

    running.feed.answers.clear()
    monkeypatch.setattr(type(running.plane.store), "health", lambda _: away())
    after = await scraped(running)
    assert after.keys() == before.keys()
    assert value(after, "tunnel_data_plane_up") == value(after, "tunnel_store_up") == 0
    assert value(after, "tunnel_exchange_duration_seconds_count") == 0


@pytest.mark.shows("OBS-METRICS-003")
async def test_labels_are_of_few_kinds(running: World) -> None:
    labels = {label for metric in (await scraped(running)).values() for each in metric.samples for label in each.labels}
    of_builds = {"version", "data_plane_version", "python"}
    assert labels - of_builds == {"outcome", "kind", "direction", "code", "limit", "hop", "le", "process", "service"}


@pytest.mark.shows("OBS-METRICS-004")
async def test_elsewhere_than_on_loopback_an_operator_has_to_ask(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunnel.api.routes.measured.is_this_machine", lambda _: False)
    assert (await running.ask("GET", "//metrics")).status_code == 401
    assert (await running.ask("GET", "//metrics", await running.key(OURS))).status_code == 403
    assert (await running.ask("GET", "//metrics", await running.key(None))).status_code == 200


@pytest.mark.shows("OBS-METRICS-005")
async def test_each_query_of_the_dashboard_names_what_is_exported(running: World) -> None:
    exported: dict[str, set[str]] = {}
    for metric in (await scraped(running)).values():
        for each in metric.samples:
            exported.setdefault(each.name, set()).update(each.labels)
    board = json.loads(DASHBOARD.read_text("utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    seen: set[str] = set()
    for query in queries:
        names = set(re.findall(r"tunnel_[a-z_]+", query))
        assert names, query
        assert names <= exported.keys(), query
        labels = set().union(*(exported[name] for name in names))
        for group in re.findall(r"by \(([^)]*)\)", query):
            assert {label.strip() for label in group.split(",")} <= labels, query
        for label in re.findall(r"[{,]\s*([a-z_]+)[!=]", query):
            assert label in labels, query
        if any(name.endswith(("_total", "_bucket", "_sum", "_count")) for name in names) and "escapes" not in query:
            assert "rate(" in query, query
        seen |= names
    families = {re.sub("_(bucket|sum|count|total)$", "", name) for name in exported}
    assert families <= {re.sub("_(bucket|sum|count|total)$", "", name) for name in seen}, "a metric that nobody plots"
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert len({panel["id"] for panel in board["panels"]}) == len(places)
