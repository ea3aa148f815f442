"""When requests arrive: renewal processes on the axis of expected arrivals, which `rates` turns into times."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from scheduler.sources.synthetic.rates import rate_of
from scheduler.sources.synthetic.workload import ArrivalProcess, Process

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NS_PER_S: Final = 1e9
_BISECTIONS: Final = 100


class ArrivalClock:
    """Draws arrival times, a block at a time, in order.

    With stages the first arrival is at time 0, where the first stage begins, and the last before the end of the last
    stage; `has_ended` tells that it was drawn.
    """

    def __init__(self, process: ArrivalProcess, generator: np.random.Generator) -> None:
        self.has_ended = False
        self._process = process
        self._generator = generator
        self._rate = rate_of(process)
        self._num_expected = 0.0
        self._begins_with_arrival = bool(process.stages)

    def draw_ns(self, count: int) -> Integers:
        """The next arrival times in nanoseconds, never falling; shape (count,), or fewer if the stages end."""
        gaps = draw_gaps(self._process.process, self._process.cv, self._generator, count)
        if self._begins_with_arrival:
            gaps[0], self._begins_with_arrival = 0.0, False
        expected = self._num_expected + np.cumsum(gaps)
        self._num_expected = float(expected[-1])
        if self._num_expected >= self._rate.num_expected:
            self.has_ended = True
            expected = expected[expected < self._rate.num_expected]
        return np.rint(self._rate.times_s(expected) * NS_PER_S).astype(np.int64)


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
