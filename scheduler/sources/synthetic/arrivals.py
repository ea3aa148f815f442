"""When requests arrive: renewal processes, and a change of time that makes their rate swing."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from scheduler.sources.synthetic.workload import ArrivalProcess, Process

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NS_PER_S: Final = 1e9
DIURNAL_KNOTS: Final = 4097
"""The swinging rate is held constant between these points of a period: within 0.05 % of the sine at amplitude 1."""

_BISECTIONS: Final = 100


class ArrivalClock:
    """Draws arrival times, a block at a time, in order."""

    def __init__(self, process: ArrivalProcess, generator: np.random.Generator) -> None:
        self._process = process
        self._generator = generator
        self._num_expected = 0.0
        # Expected arrivals by each knot of one period, in units of the period's own expectation.
        turns = np.linspace(0.0, 1.0, DIURNAL_KNOTS)
        swing = process.diurnal_amplitude / (2 * math.pi) * (1 - np.cos(2 * math.pi * turns))
        self._knots = turns
        self._expected_at_knots = turns + swing

    def draw_ns(self, count: int) -> Integers:
        """The next arrival times in nanoseconds, shape (count,), never falling; time 0 is before the first."""
        gaps = draw_gaps(self._process.process, self._process.cv, self._generator, count)
        expected = self._num_expected + np.cumsum(gaps)
        self._num_expected = float(expected[-1])
        return np.rint(self._times_s(expected) * NS_PER_S).astype(np.int64)

    def _times_s(self, expected: Floats) -> Floats:
        """The times by which so many arrivals are expected: the inverse of the integrated rate."""
        process = self._process
        if process.diurnal_amplitude == 0.0:
            return expected / process.rate_per_s
        periods, rest = np.divmod(expected / (process.rate_per_s * process.diurnal_period_s), 1.0)
        return (periods + np.interp(rest, self._expected_at_knots, self._knots)) * process.diurnal_period_s


def draw_gaps(process: Process, cv: float, generator: np.random.Generator, count: int) -> Floats:
    """Gaps of mean 1, shape (count,)."""
    if process is Process.POISSON:
        return generator.standard_exponential(count)
    if process is Process.GAMMA:
        shape = 1 / cv**2
        return generator.standard_gamma(shape, count) / shape
    shape = weibull_shape(cv)
    return generator.weibull(shape, count) / math.gamma(1 + 1 / shape)


def weibull_shape(cv: float) -> float:
    """The shape k of a Weibull with this coefficient of variation: cv^2 + 1 = Gamma(1 + 2/k) / Gamma(1 + 1/k)^2."""
    low, high = 0.05, 500.0
    for _ in range(_BISECTIONS):
        shape = math.sqrt(low * high)
        log_ratio = math.lgamma(1 + 2 / shape) - 2 * math.lgamma(1 + 1 / shape)
        # The variation falls as the shape grows.
        if log_ratio > math.log1p(cv**2):
            low = shape
        else:
            high = shape
    return math.sqrt(low * high)
