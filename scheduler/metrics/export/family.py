"""What a family of metrics is: its name, type, help and labels, and where its numbers stand in a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from scheduler.metrics.buckets import HistogramTotals
from scheduler.metrics.live.snapshot import Layout, Snapshot

Labels = tuple[str, ...]
Series = Callable[[Layout], Sequence[Labels]]


def no_labels(_layout: Layout) -> Sequence[Labels]:
    """One series, without labels."""
    return ((),)


@dataclass(frozen=True, slots=True)
class Family:
    """A family of counters or gauges.

    `series` tells the values of `labels` of each series, which only depend on the layout; `values` the numbers of a
    snapshot in the same order. `meaning` says what stands behind a name that others made, `unit` its unit where the
    name does not tell.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    values: Callable[[Snapshot], Sequence[float]]
    labels: Labels = ()
    series: Series = no_labels
    meaning: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class HistogramFamily:
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
