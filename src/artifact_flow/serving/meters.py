"""Meters: the Prometheus metrics. Labels are resolved once (a labelled counter costs 2 µs, a resolved one 1 µs).

With several workers, prometheus_client keeps the counts in shared files, so that each worker reports those of all.
PROMETHEUS_MULTIPROC_DIR must then be set before prometheus_client is imported, which `server` does.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from artifact_flow.serving.drift import VERDICTS, Drift
from artifact_flow.serving.shared import shared_folder
from artifact_flow.serving.supervisor import count_absent

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
DRIFT_COLUMNS = 256  # the most drifted columns, which have a gauge each and are listed by `/drift`

REQUESTS = Counter("artifact_flow_requests", "Requests answered", ["model", "endpoint", "status"])
LATENCY = Histogram(
    "artifact_flow_request_seconds",
    "Seconds from the request's first byte to the response",
    ["model", "endpoint"],
    buckets=SECONDS,
)
IN_FLIGHT = Gauge("artifact_flow_in_flight", "Requests being answered", multiprocess_mode="livesum")
PREDICTIONS = Counter("artifact_flow_predictions", "Rows predicted; class is empty for numbers", ["model", "class"])
ERRORS = Counter("artifact_flow_errors", "Requests refused or failed", ["kind"])
DROPPED = Counter("artifact_flow_log_lines_dropped", "Log lines lost because the log was not read")
INFO = Gauge(
    "artifact_flow_model_info",
    "1 for each model that answers, 0 for one that a reload replaced",
    ["model", "sha256", "commit"],
    multiprocess_mode="mostrecent",
)
RELOADS = Counter("artifact_flow_reloads", "Reloads of the models by result: done, refused", ["result"])
SHADOW_ROWS = Counter(
    "artifact_flow_shadow_rows",
    "Rows that a shadow should predict too, by result: agreed, differed, failed, skipped",
    ["model", "shadow", "result"],
)
SHADOW_DIFFERENCE = Counter(
    "artifact_flow_shadow_difference",
    "Sum over these rows of the difference in value, or in the probability of the class that was answered",
    ["model", "shadow"],
)
ERROR_KINDS = {
    401: "key",
    403: "origin",
    404: "address",
    405: "method",
    408: "slow",
    413: "size",
    414: "size",
    415: "type",
    422: "input",
    431: "size",
    503: "load",
}


@lru_cache(maxsize=1024)
def request_meters(model: str, endpoint: str, status: int) -> tuple[Callable[[], Any], Callable[[float], Any]]:
    """Return two functions: one counts a request, one records its seconds."""
    return REQUESTS.labels(model, endpoint, str(status)).inc, LATENCY.labels(model, endpoint).observe


@lru_cache(maxsize=4096)
def prediction_meter(model: str, name: str) -> Callable[[float], Any]:
    """Return the function that counts predicted rows of a class."""
    return PREDICTIONS.labels(model, name).inc


@lru_cache(maxsize=256)
def shadow_meter(model: str, shadow: str, result: str) -> Callable[[float], Any]:
    """Return the function that counts rows of a shadow."""
    return SHADOW_ROWS.labels(model, shadow, result).inc


@lru_cache(maxsize=64)
def shadow_difference(model: str, shadow: str) -> Callable[[float], Any]:
    """Return the function that adds differences of a shadow's rows."""
    return SHADOW_DIFFERENCE.labels(model, shadow).inc


@lru_cache(maxsize=32)
def error_meter(status: int) -> Callable[[], Any]:
    """Return the function that counts an error response."""
    return ERRORS.labels(ERROR_KINDS.get(status, "fault" if status >= 500 else "input")).inc


def render(drifts: Callable[[], Iterable[tuple[str, Drift]]]) -> bytes:
    """Return all metrics in the Prometheus text format; `drifts` yields each model's name and drift."""
    registry = CollectorRegistry()
    if shared_folder():
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry = REGISTRY
        for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR):
            if collector in registry._collector_to_names:
                registry.unregister(collector)
    ours = CollectorRegistry()
    ours.register(_DriftCollector(drifts))
    return generate_latest(registry) + generate_latest(ours)


class _DriftCollector(Collector):
    """Reports drift and absent workers as gauges."""

    def __init__(self, drifts: Callable[[], Iterable[tuple[str, Drift]]]) -> None:
        self.drifts = drifts

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        psi = GaugeMetricFamily("artifact_flow_drift_psi", "Population stability index", labels=["model", "column"])
        columns = GaugeMetricFamily("artifact_flow_drift_columns", "Columns by verdict", labels=["model", "status"])
        rows = GaugeMetricFamily("artifact_flow_drift_rows", "Rows in the window", labels=["model"])
        yield GaugeMetricFamily("artifact_flow_workers_absent", "Workers that cannot start", count_absent())
        for name, drift in self.drifts():
            rows.add_metric([name], drift.rows)
            for status in VERDICTS:
                columns.add_metric([name, status], sum(column.status == status for column in drift.columns))
            for column in drift.columns[:DRIFT_COLUMNS]:
                psi.add_metric([name, column.name], column.psi)
        yield from (psi, columns, rows)
