"""Rates over time, as what turns counts of expected arrivals into times: the inverse of the integrated rate.

A renewal process of mean gap 1 on the axis of expected arrivals keeps its shape under any rate.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from scheduler.sources.synthetic.workload import ArrivalProcess, RateStage

Floats = npt.NDArray[np.float64]

DIURNAL_KNOTS: Final = 4097
"""The swinging rate is held constant between these points of a period: within 0.05 % of the sine at amplitude 1."""


class Rate(Protocol):
    """What one rate over time, or another, makes of expected arrivals."""

    @property
    def num_expected(self) -> float:
        """Arrivals expected in all of its time, infinite if it does not end."""
        ...

    def times_s(self, expected: Floats) -> Floats:
        """The times by which so many arrivals are expected, at most `num_expected`; shaped like `expected`."""
        ...


class SteadyRate(Struct, frozen=True):
    """The same for ever."""

    rate_per_s: float
    num_expected: float = math.inf

    def times_s(self, expected: Floats) -> Floats:
        """At the rate."""
        return expected / self.rate_per_s


class SwingingRate:
    """A sine about its mean: `rate_per_s * (1 + amplitude * sin(2 pi t / period_s))`."""

    def __init__(self, rate_per_s: float, amplitude: float, period_s: float) -> None:
        self.num_expected: Final = math.inf
        self._rate_per_s = rate_per_s
        self._period_s = period_s
        # Expected arrivals by each knot of one period, in units of the period's own expectation.
        turns = np.linspace(0.0, 1.0, DIURNAL_KNOTS)
        swing = amplitude / (2 * math.pi) * (1 - np.cos(2 * math.pi * turns))
        self._knots = turns
        self._expected_at_knots = turns + swing

    def times_s(self, expected: Floats) -> Floats:
        """Interpolated between the knots."""
        periods, rest = np.divmod(expected / (self._rate_per_s * self._period_s), 1.0)
        return (periods + np.interp(rest, self._expected_at_knots, self._knots)) * self._period_s


class StagedRate:
    """One stage after another, each at a rate or on a line from one to another; nothing comes after the last."""

    def __init__(self, stages: tuple[RateStage, ...]) -> None:
        lengths_s = np.array([stage.duration_s for stage in stages])
        self._from_per_s = np.array([stage.rate_per_s for stage in stages])
        self._slopes = (np.array([stage.last_rate_per_s for stage in stages]) - self._from_per_s) / lengths_s
        expected = np.array([stage.num_expected for stage in stages])
        self._starts_s = np.cumsum(lengths_s) - lengths_s
        self._ends_s = self._starts_s + lengths_s
        self._expected_at_end = np.cumsum(expected)
        self._expected_before = self._expected_at_end - expected
        self.num_expected: Final = float(self._expected_at_end[-1])

    def times_s(self, expected: Floats) -> Floats:
        """Exact: within a stage that begins at rate r and rises by s a second, r t + s t^2 / 2 arrivals are expected
        after t seconds."""
        # The last stage that has begun by then, so that none falls into a pause.
        found = np.searchsorted(self._expected_at_end, expected, side="right")
        stage = np.minimum(found, len(self._expected_at_end) - 1)
        within, rate = expected - self._expected_before[stage], self._from_per_s[stage]
        # The form of the root that neither cancels nor divides by a slope of 0.
        divisor = rate + np.sqrt(np.maximum(rate**2 + 2 * self._slopes[stage] * within, 0.0))
        passed_s = np.divide(2 * within, divisor, out=np.zeros_like(within), where=divisor > 0)
        return np.minimum(self._starts_s[stage] + passed_s, self._ends_s[stage])


def rate_of(process: ArrivalProcess) -> Rate:
    """Of an arrival process."""
    if process.stages:
        return StagedRate(process.stages)
    if process.diurnal_amplitude == 0.0:
        return SteadyRate(process.rate_per_s)
    return SwingingRate(process.rate_per_s, process.diurnal_amplitude, process.diurnal_period_s)
