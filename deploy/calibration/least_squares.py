"""Regularised least squares by Levenberg and Marquardt: the most probable deviations, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Vector = NDArray[np.float64]

STEP: Final = 0.02
"""Of a finite difference, in standard deviations of the prior."""

MAX_ROUNDS: Final = 60
CONVERGED: Final = 1e-7
"""Of the sum of squares, relative, from round to round."""


class Found(Struct, frozen=True):
    """`deviations` of shape (n,), `covariance` (n, n), `jacobian` (m, n) of the residuals there, `residuals` (m,)."""

    deviations: Vector
    covariance: Vector
    jacobian: Vector
    residuals: Vector


def most_probable(residuals: Callable[[Vector], Vector], low: Vector, high: Vector) -> Found:
    """Minimise |residuals(u)|^2 + |u|^2 between `low` and `high`, both of shape (n,) around 0.

    Residuals, of shape (m,), are in standard deviations of what was measured, u in those of the prior, which is
    normal: the covariance is that of the normal distribution that touches the posterior at its top.
    """
    at = np.clip(np.zeros_like(low), low, high)
    found = residuals(at)
    jacobian = differences(residuals, at, found, high)
    cost, damping = _cost(found, at), 1e-3
    for _ in range(MAX_ROUNDS):
        gradient = jacobian.T @ found + at
        free = ~(((at <= low) & (gradient > 0)) | ((at >= high) & (gradient < 0)))
        step = np.zeros_like(at)
        curvature = jacobian[:, free].T @ jacobian[:, free] + (1.0 + damping) * np.eye(int(free.sum()))
        step[free] = np.linalg.solve(curvature, -gradient[free])
        tried = np.clip(at + step, low, high)
        tried_found = residuals(tried)
        tried_cost = _cost(tried_found, tried)
        if tried_cost >= cost:
            damping *= 10.0
            if damping > 1e8:
                break
            continue
        gained, at, found, cost = cost - tried_cost, tried, tried_found, tried_cost
        damping = max(1e-6, damping / 10.0)
        jacobian = differences(residuals, at, found, high)
        if gained < CONVERGED * (1.0 + cost):
            break
    covariance: Vector = np.linalg.inv(jacobian.T @ jacobian + np.eye(len(at))).astype(np.float64)
    return Found(at, covariance, jacobian, found)


def differences(function: Callable[[Vector], Vector], at: Vector, there: Vector, high: Vector) -> Vector:
    """The Jacobian of `function`, of shape (m, n), by one-sided differences that stay within the bounds."""
    columns: list[Vector] = []
    for index in range(len(at)):
        step = STEP if at[index] + STEP <= high[index] else -STEP
        moved = at.copy()
        moved[index] += step
        columns.append((function(moved) - there) / step)
    return np.stack(columns, axis=1)


def _cost(residuals: Vector, deviations: Vector) -> float:
    return float(residuals @ residuals + deviations @ deviations)
