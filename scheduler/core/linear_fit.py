"""A line through points that come one by one: recursive least squares with forgetting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

FORGETTING: Final = 0.999
"""Weight that a point loses with each that comes after it: about the last thousand count."""

WIDE: Final = 1e6
"""Variance of each coefficient before the first point, in units of features and values near 1: no opinion."""

MAX_VARIANCE: Final = 1e9
"""Forgetting makes what is not excited ever less certain; beyond this the gain would lose its digits."""


class LinearFit:
    """value = coefficients . features; both should be near 1 in size. `prior` is answered until points say otherwise.

    Ljung, System Identification, 2nd edition, section 11.2.
    """

    def __init__(self, prior: Sequence[float]) -> None:
        size = len(prior)
        self.num_samples = 0
        self.coefficients: Final = list(prior)
        self._covariance: Final = [[WIDE if row == column else 0.0 for column in range(size)] for row in range(size)]

    def predict(self, features: Sequence[float]) -> float:
        """The value at this point."""
        return sum([coefficient * feature for coefficient, feature in zip(self.coefficients, features)])

    def learn(self, features: Sequence[float], value: float) -> None:
        """One more point."""
        covariance, coefficients = self._covariance, self.coefficients
        spread = [sum([entry * feature for entry, feature in zip(row, features)]) for row in covariance]
        scale = FORGETTING + sum([entry * feature for entry, feature in zip(spread, features)])
        error = value - self.predict(features)
        can_forget = max(row[index] for index, row in enumerate(covariance)) < MAX_VARIANCE
        forgetting = FORGETTING if can_forget else 1.0
        for row_index, row_spread in enumerate(spread):
            gain = row_spread / scale
            coefficients[row_index] += gain * error
            row = covariance[row_index]
            for column, column_spread in enumerate(spread):
                row[column] = (row[column] - gain * column_spread) / forgetting
        self.num_samples += 1


class PredictionError:
    """How far predictions were from what came, in nanoseconds."""

    def __init__(self) -> None:
        self.num_predictions = 0
        self.predicted_ns = 0.0
        self.actual_ns = 0.0
        self.absolute_ns = 0.0

    def note(self, predicted_ns: float, actual_ns: float) -> None:
        """One prediction and what came."""
        self.num_predictions += 1
        self.predicted_ns += predicted_ns
        self.actual_ns += actual_ns
        self.absolute_ns += abs(predicted_ns - actual_ns)

    @property
    def relative_bias(self) -> float:
        """Predicted over actual, less 1: negative when predictions were optimistic; 0 before there were any."""
        return self.predicted_ns / self.actual_ns - 1 if self.actual_ns else 0.0

    @property
    def relative_error(self) -> float:
        """Absolute errors over all that came; 0 before there were any."""
        return self.absolute_ns / self.actual_ns if self.actual_ns else 0.0
