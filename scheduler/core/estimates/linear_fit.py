"""A line through points that come one by one: least squares that forgets, with coefficients that can be times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

FORGETTING: Final = 0.999
"""Weight that a point loses with each that comes after it: about the last thousand count."""

RIDGE: Final = 1e-4
"""How firmly coefficients are held to the prior, as squares of features near 1: only where points say nothing."""


SOLVED_EACH_TIME: Final = 64
SOLVED_EVERY: Final = 16
"""The line is drawn anew with each of the first points, then with every so many."""


class LinearFit:
    """value = coefficients . features; both should be near 1 in size. `prior` is answered until points say otherwise.

    Weighted sums of products are kept and solved when a value is asked for. That is slower than a recursion over the
    covariance, and sound: what points do not excite stays at the prior instead of growing ever less certain. Work takes
    time, so a coefficient that would be negative is held at 0 and the others are solved again.
    """

    def __init__(self, prior: Sequence[float]) -> None:
        size = len(prior)
        self.num_samples = 0
        self._prior: Final = tuple(prior)
        self._solved: tuple[float, ...] | None = self._prior
        self._products: Final = [[0.0] * size for _ in prior]
        self._values: Final = [0.0] * size

    @property
    def coefficients(self) -> tuple[float, ...]:
        """Of the line through what was learned so far."""
        if self._solved is None:
            self._solved = self._solve()
        return self._solved

    def predict(self, features: Sequence[float]) -> float:
        """The value at this point."""
        return sum([coefficient * feature for coefficient, feature in zip(self.coefficients, features)])

    def learn(self, features: Sequence[float], value: float) -> None:
        """One more point."""
        for row, (products, feature) in enumerate(zip(self._products, features)):
            self._values[row] = FORGETTING * self._values[row] + feature * value
            for column, other in enumerate(features):
                products[column] = FORGETTING * products[column] + feature * other
        self.num_samples += 1
        if self.num_samples <= SOLVED_EACH_TIME or self.num_samples % SOLVED_EVERY == 0:
            self._solved = None

    def _solve(self) -> tuple[float, ...]:
        free = list(range(len(self._prior)))
        coefficients = [0.0] * len(free)
        while free:
            solved = _cholesky_solve(
                [[self._products[row][column] + RIDGE * (row == column) for column in free] for row in free],
                [self._values[row] + RIDGE * self._prior[row] for row in free],
            )
            lowest = min(solved)
            if lowest >= 0:
                for row, coefficient in zip(free, solved):
                    coefficients[row] = coefficient
                break
            del free[solved.index(lowest)]
        return tuple(coefficients)


def _cholesky_solve(matrix: list[list[float]], values: list[float]) -> list[float]:
    """x with matrix x = values, for a symmetric positive definite matrix of a few rows, which is overwritten."""
    size = len(values)
    for row in range(size):
        for column in range(row + 1):
            left, upper = matrix[row], matrix[column]
            rest = left[column] - sum([left[k] * upper[k] for k in range(column)])
            left[column] = max(rest, RIDGE * RIDGE) ** 0.5 if row == column else rest / upper[column]
    halfway: list[float] = []
    for row in range(size):
        rest = values[row] - sum([matrix[row][k] * halfway[k] for k in range(row)])
        halfway.append(rest / matrix[row][row])
    solved = [0.0] * size
    for row in reversed(range(size)):
        rest = halfway[row] - sum([matrix[k][row] * solved[k] for k in range(row + 1, size)])
        solved[row] = rest / matrix[row][row]
    return solved
