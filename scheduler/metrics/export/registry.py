"""The families of a live system as prometheus_client sees them, for whoever works with its registries.

The scrape itself is written by `exposition`, which is more than ten times as fast and says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector

from scheduler.metrics.export.exposition import bucket_labels
from scheduler.metrics.export.names.schemes import families_of
from scheduler.metrics.family import Family, HistogramFamily
from scheduler.metrics.snapshot import Snapshot


class SnapshotCollector(Collector):
    """A custom collector over whatever returns the latest snapshot."""

    def __init__(self, latest: Callable[[], Snapshot]) -> None:
        self._latest = latest

    def collect(self) -> Iterator[Metric]:
        """All families of the latest snapshot."""
        snapshot = self._latest()
        for family in families_of(snapshot.layout):
            yield _histogram(family, snapshot) if isinstance(family, HistogramFamily) else _plain(family, snapshot)


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


def _plain(family: Family, snapshot: Snapshot) -> Metric:
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    if family.kind == "counter" and not family.name.endswith("_total"):
        make = UnknownMetricFamily  # it would give a counter another name
    metric = make(family.name, family.help, labels=family.labels)
    for labels, value in zip(family.series(snapshot.layout), family.values(snapshot), strict=True):
        metric.add_metric(labels, value)
    return metric


def _histogram(family: HistogramFamily, snapshot: Snapshot) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    names = bucket_labels(family.bounds)
    for labels, totals in zip(family.series(snapshot.layout), family.read(snapshot), strict=True):
        metric.add_metric(labels, list(zip(names, totals.counts, strict=True)), totals.sum_s)
    return metric
