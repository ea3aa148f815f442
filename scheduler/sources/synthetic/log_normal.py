"""Log-normal draws, by the mean and the coefficient of variation that people know."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def draw_log_normal(mean: float, cv: float, generator: np.random.Generator, count: int) -> Floats:
    """Log-normal draws by mean and coefficient of variation, shape (count,); zeros if the mean is 0."""
    if mean == 0:
        return np.zeros(count)
    variance = math.log1p(cv**2)
    return generator.lognormal(math.log(mean) - variance / 2, math.sqrt(variance), count)
