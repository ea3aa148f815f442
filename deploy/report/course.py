"""A run over time: what a chart needs of `timeline.csv` and of the requests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from msgspec import Struct

from deploy.report.chart import Axis, Curve, line_chart, top_of
from deploy.run_folder.read import RunFolder
from scheduler.metrics.columns import Floats

MAX_POINTS: Final = 300
"""Points of a curve: two pixels each."""

LATENCY_STEPS: Final = 60
"""Stretches of a run whose percentiles of latency are drawn."""

MINUTES_FROM_S: Final = 300.0
HOURS_FROM_S: Final = 3 * 3600.0


class Clock(Struct, frozen=True):
    """The unit in which a run's time is shown."""

    divisor_s: float
    unit: str

    @classmethod
    def of(cls, span_s: float) -> Clock:
        """Seconds, minutes or hours."""
        if span_s >= HOURS_FROM_S:
            return cls(3600.0, "suffix: h")
        return cls(60.0, "suffix: min") if span_s >= MINUTES_FROM_S else cls(1.0, "suffix: s")

    def axis(self, span_s: float) -> Axis:
        """From clock zero to the end."""
        return Axis(0.0, max(span_s, 1e-9) / self.divisor_s, self.unit)


class Course:
    """The columns of a run's time line, in at most `MAX_POINTS` steps."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._columns = run.timeline
        starts = self._columns["time_s"]
        self._merged = max(1, math.ceil(len(starts) / MAX_POINTS))
        self._seconds = np.diff(np.append(starts, run.span_s))
        self.clock: Final = Clock.of(run.span_s)

    def __len__(self) -> int:
        return -(-len(self._seconds) // self._merged)

    @cached_property
    def x(self) -> Floats:
        """The middle of each step, in the clock's unit."""
        return self._mean(self._columns["time_s"] + self._seconds / 2) / self.clock.divisor_s

    @property
    def x_axis(self) -> Axis:
        """The whole run."""
        return self.clock.axis(self._run.span_s)

    def mean(self, name: str) -> Floats:
        """A column of means over time: numbers of requests, rates, shares, watts."""
        return self._mean(self._columns[name])

    def rate(self, name: str) -> Floats:
        """A column of counts, per second."""
        return self._sums(self._columns[name]) / self._sums(self._seconds)

    def ratio(self, name: str, of: str) -> Floats:
        """One column of counts over another, NaN where there is nothing to divide by."""
        part, whole = self._sums(self._columns[name]), self._sums(self._columns[of])
        return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)

    def overall(self, name: str) -> float:
        """The mean of a column over the whole run."""
        return float(np.dot(self._columns[name], self._seconds) / self._seconds.sum()) if len(self._seconds) else 0.0

    def total(self, name: str) -> float:
        """The integral of a column over the whole run: joules of watts."""
        return float(np.dot(self._columns[name], self._seconds))

    def by_instance(self, quantity: str) -> Mapping[str, Floats]:
        """`busy`, `watts` or `kv_tokens` by address."""
        prefix = f"{quantity}:"
        return {name.removeprefix(prefix): self.mean(name) for name in self._columns if name.startswith(prefix)}

    def _mean(self, column: Floats) -> Floats:
        return self._sums(column * self._seconds) / self._sums(self._seconds)

    def _sums(self, column: Floats) -> Floats:
        return np.add.reduceat(column, np.arange(0, len(column), self._merged)) if len(column) else column


def percentiles_over_time(run: RunFolder, latency: str, points: tuple[float, ...]) -> tuple[Floats, list[Floats]]:
    """Times in seconds, and percentiles of a latency of the requests that arrived around them; NaN where none did."""
    edges = np.linspace(0.0, run.span_s, LATENCY_STEPS + 1)
    values, arrived_s = run.requests.numbers[latency], run.requests.at_s("arrived_ns")
    is_known = ~np.isnan(values)
    step = np.clip(np.searchsorted(edges, arrived_s[is_known], side="right") - 1, 0, LATENCY_STEPS - 1)
    known = values[is_known]
    found = np.full((len(points), LATENCY_STEPS), np.nan)
    for index in np.unique(step):
        found[:, index] = np.percentile(known[step == index], points)
    return (edges[:-1] + edges[1:]) / 2, list(found)


def over_time(
    course: Course,
    title: str,
    about: str,
    curves: Sequence[Curve],
    unit: str,
    *,
    is_stacked: bool = False,
    top: float | None = None,
    wide: bool = False,
) -> str:
    """Curves over the course of a run, from 0 to `top`, or to what is above them all."""
    columns = [curve.values for curve in curves]
    highest = top_of([np.sum(columns, axis=0)] if is_stacked else columns) if top is None else top
    y_axis = Axis(0.0, highest, unit)
    return line_chart(title, about, course.x, curves, course.x_axis, y_axis, is_stacked=is_stacked, wide=wide)
