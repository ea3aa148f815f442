"""What a family of metrics is: its name, type, help and labels, and where its numbers stand in a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

from msgspec import Struct

from scheduler.metrics.buckets import HistogramTotals
from scheduler.metrics.layout import Layout
from scheduler.metrics.snapshot import Snapshot

Labels = tuple[str, ...]
Series = Callable[[Layout], Sequence[Labels]]

INSTANCE: Final = ("instance", "role")


def no_labels(_layout: Layout) -> Sequence[Labels]:
    """One series, without labels."""
    return ((),)


def by_instance(layout: Layout) -> list[Labels]:
    """A series for each instance, with the labels of `INSTANCE`."""
    return [(instance.address, instance.role) for instance in layout.instances]


def by_value(*values: str) -> Series:
    """A series for each value of the one label."""
    series = [(value,) for value in values]
    return lambda _: series


class Family(Struct, frozen=True):
    """A family of counters or gauges.

    `series` gives the values of `labels` of each series, which only depend on the layout; `values` the numbers of a
    snapshot, one per series in the same order. `meaning` says what stands behind a name that others made, `unit` its
    unit where the name does not tell.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    values: Callable[[Snapshot], Sequence[float]]
    labels: Labels = ()
    series: Series = no_labels
    meaning: str = ""
    unit: str = ""


class HistogramFamily(Struct, frozen=True):
    """A family of histograms with the same upper bounds; `read` and the rest as in `Family`."""

    name: str
    help: str
    bounds: tuple[float, ...]
    read: Callable[[Snapshot], Sequence[HistogramTotals]]
    labels: Labels = ()
    series: Series = no_labels
    meaning: str = ""
    unit: str = ""


AnyFamily = Family | HistogramFamily
