"""The families of a live system as prometheus_client sees them, for whoever works with its registries.

The scrape itself is written by `exposition`, which is more than ten times as fast and says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from scheduler.metrics.exposition import bucket_labels
from scheduler.metrics.families import FAMILIES, AnyFamily, Family, HistogramFamily, HistogramsFamily
from scheduler.metrics.snapshot import Snapshot


class SnapshotCollector(Collector):
    """A custom collector over whatever answers the latest snapshot."""

    def __init__(self, latest: Callable[[], Snapshot]) -> None:
        self._latest = latest

    def collect(self) -> Iterator[Metric]:
        """All families of the latest snapshot."""
        snapshot = self._latest()
        for family in FAMILIES:
            yield _metric(family, snapshot)


def snapshot_registry(latest: Callable[[], Snapshot]) -> CollectorRegistry:
    """A registry of its own, never the global one, with the snapshot's families and this process's CPU and memory."""
    registry = process_registry()
    registry.register(SnapshotCollector(latest))
    return registry


def process_registry() -> CollectorRegistry:
    """A registry of its own with this process's CPU and memory (on Linux; elsewhere there is nothing to read)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def _metric(family: AnyFamily, snapshot: Snapshot) -> Metric:
    if isinstance(family, HistogramFamily):
        return _histogram(family, snapshot)
    return _histograms(family, snapshot) if isinstance(family, HistogramsFamily) else _plain(family, snapshot)


def _plain(family: Family, snapshot: Snapshot) -> Metric:
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = make(family.name, family.help, labels=family.labels)
    for labels, value in zip(family.series(snapshot.layout), family.values(snapshot), strict=True):
        metric.add_metric(labels, value)
    return metric


def _histogram(family: HistogramFamily, snapshot: Snapshot) -> Metric:
    totals = family.read(snapshot)
    buckets = list(zip(bucket_labels(family.bounds_s), totals.counts, strict=True))
    return HistogramMetricFamily(family.name, family.help, buckets=buckets, sum_value=totals.sum_s)


def _histograms(family: HistogramsFamily, snapshot: Snapshot) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=[family.label])
    for value, totals in zip(family.label_values, family.read(snapshot), strict=True):
        buckets = list(zip(bucket_labels(family.bounds_s), totals.counts, strict=True))
        metric.add_metric([value], buckets, totals.sum_s)
    return metric
