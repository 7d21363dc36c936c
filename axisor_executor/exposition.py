"""All metrics in Prometheus' text form: what all processes have counted, and how things stand now.

Any process with the database at hand tells the same of the whole installation, so one of them is scraped.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from axisor_executor import __version__, standing
from axisor_executor.lanes import ACTORS
from axisor_executor.limits.circuit_states import CircuitState
from axisor_executor.observe import metrics
from axisor_executor.observe.counting import Gauge, Histogram, Labels, Metric
from axisor_executor.plugins import Registry
from axisor_executor.runtime import Runtime
from axisor_executor.storage import counts
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import WaitFor
from axisor_executor.storage.leftover import LIVE

SILENT_SECONDS = 600.0
"""For so long, a worker that has fallen silent is shown; then its place has been taken, or never will be."""

Values = Iterable[tuple[Labels, float]]


def render(runtime: Runtime) -> bytes:
    """Return all metrics, in UTF-8.

    Raises:
        StorageError: the database is away, and with it whatever could be told.
    """
    registry = CollectorRegistry(auto_describe=False)
    with runtime.storage.connection():
        registry.register(_Found([*_counted(runtime.storage), *_standing(runtime)]))
    return generate_latest(registry)


class _Found(Collector):
    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _counted(storage: Storage) -> Iterator[Family]:
    total = counts.total(storage)
    for metric in metrics.COUNTED:
        width = len(metric.buckets) + 2 if isinstance(metric, Histogram) else 1
        found = {tuple(labels): cells for labels, cells in total.get(metric.name, ())}
        # What another version counts with other labels or buckets is left out.
        fitting = {
            labels: cells for labels, cells in found.items() if (len(labels), len(cells)) == (len(metric.labels), width)
        }
        known: dict[Labels, list[float]] = {labels: [0] * width for labels in metric.known}
        yield _family(metric, {**known, **fitting})


def _family(metric: Metric, series: Mapping[Labels, list[float]]) -> Family:
    if not isinstance(metric, Histogram):
        family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, cells in sorted(series.items()):
            family.add_metric(labels, cells[0])
        return family
    histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, cells in sorted(series.items()):
        histogram.add_metric(labels, list(_cumulated(metric, cells)), sum_value=cells[-1])
    return histogram


def _cumulated(metric: Histogram, cells: list[float]) -> Iterator[tuple[str, float]]:
    so_far = 0.0
    for bound, count in zip((*map(str, metric.buckets), "+Inf"), cells, strict=False):
        so_far += count
        yield bound, so_far


def _standing(runtime: Runtime) -> Iterator[Family]:
    """Return how things stand; what only Redis knows, when it answers."""
    storage = runtime.storage
    found = standing.workers(storage)
    living = [one for one in found if one["alive"]]
    silent = [one for one in found if not one["alive"] and one["heartbeatSecondsAgo"] < SILENT_SECONDS]
    lanes = standing.lanes(storage)
    yield _gauge(metrics.build_info, [((__version__, platform.python_version()), 1)])
    yield _gauge(metrics.workers, [(("alive",), len(living)), (("silent",), len(silent))])
    yield _gauge(metrics.worker_threads, [((), sum(one["threads"] or 0 for one in living))])
    yield _gauge(metrics.worker_runs, [((), sum(one["running"] or 0 for one in living))])
    yield _gauge(metrics.lane_workers, [((lane,), _takers(living, lane)) for lane in ACTORS])
    yield _gauge(
        metrics.queue_executions,
        [
            ((lane, status), lanes.get(lane, {}).get(status, 0))
            for lane in ACTORS
            for status in ("queued", "running", "waiting")
        ],
    )
    yield _gauge(
        metrics.queue_oldest, [((lane,), lanes.get(lane, {}).get("oldestQueuedSeconds") or 0) for lane in ACTORS]
    )
    yield _gauge(metrics.waiting, _by_known(_waiting(storage), get_args(WaitFor)))
    yield _gauge(metrics.uncertain, [((), _uncertain(storage))])
    yield _gauge(metrics.unsettled, _by_known(_unsettled(storage), ("sending", "unknown")))
    yield _gauge(metrics.switches, _switches(storage))
    states = Counter(plugin.state for plugin in runtime.registry.plugins)
    yield _gauge(metrics.plugins, [((state,), states[state]) for state in ("loaded", "disabled", "failed")])
    redis = standing.redis(runtime.queue)
    yield _gauge(metrics.redis_up, [((), int(redis["ok"]))])
    if redis["ok"]:
        yield _gauge(metrics.queue_messages, [((lane,), redis["queues"][lane]) for lane in ACTORS])
        breakers = runtime.breakers.states()
        yield from _breakers(storage, breakers)
        yield _plugin_breakers(runtime.registry, breakers)


def _gauge(gauge: Gauge, values: Values) -> Family:
    family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _takers(living: Iterable[Mapping[str, Any]], lane: str) -> int:
    return sum(one["queues"] is None or lane in one["queues"] for one in living)


def _by_known(found: Mapping[str, int], known: Iterable[str]) -> Values:
    return [((name,), found.get(name, 0)) for name in known]


def _waiting(storage: Storage) -> dict[str, int]:
    return dict(
        storage.rows(
            f"SELECT wait_for, COUNT(*) FROM axisor_executions WHERE {LIVE} AND status = 'waiting' "  # noqa: S608
            "GROUP BY wait_for"
        )
    )


def _unsettled(storage: Storage) -> dict[str, int]:
    return dict(
        storage.rows(
            "SELECT status, COUNT(*) FROM axisor_actions WHERE status IN ('sending', 'unknown') GROUP BY status"
        )
    )


def _switches(storage: Storage) -> Values:
    rows = storage.rows("SELECT scope, mode, COUNT(*) FROM axisor_switches GROUP BY scope, mode ORDER BY scope, mode")
    return [((scope, mode), count) for scope, mode, count in rows]


def _breakers(storage: Storage, states: list[CircuitState]) -> Iterator[Family]:
    slugs = [row[0] for row in storage.rows("SELECT slug FROM exchanges ORDER BY slug")]
    held = Counter(state.subject.partition("@")[0] for state in states if state.kind == "exchange")
    yield _gauge(metrics.exchange_breakers, [((slug,), held[slug]) for slug in dict.fromkeys((*slugs, *held))])
    yield _gauge(metrics.account_breakers, [((), sum(state.kind == "account" for state in states))])


def _plugin_breakers(registry: Registry, states: list[CircuitState]) -> Family:
    loaded = [plugin.found.distribution for plugin in registry.plugins if plugin.types]
    held = Counter(state.subject for state in states if state.kind == "plugin")
    return _gauge(metrics.plugin_breakers, [((name,), held[name]) for name in dict.fromkeys((*loaded, *held))])


def _uncertain(storage: Storage) -> int:
    row = storage.one("SELECT COUNT(*) FROM axisor_executions WHERE status = 'uncertain'")
    assert row is not None
    return int(row[0])
