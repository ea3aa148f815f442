"""Sums that are solved against least squares by matrices, and how they forget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.estimates import linear_fit
from scheduler.core.estimates.linear_fit import LinearFit
from scheduler.core.estimates.prediction_error import PredictionError


def weighted_least_squares(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """With the ridge that holds coefficients to a prior of 0."""
    weights = linear_fit.FORGETTING ** np.arange(len(values))[::-1]
    products = features.T @ (features * weights[:, None]) + linear_fit.RIDGE * np.eye(features.shape[1])
    return np.linalg.solve(products, features.T @ (values * weights))


@given(seed=st.integers(0, 1000), num=st.integers(10, 80))
def test_equals_weighted_least_squares(seed: int, num: int) -> None:
    random = np.random.default_rng(seed)
    features = np.column_stack([np.ones(num), random.random((num, 2)) * 2])
    values = features @ [3.0, 1.0, 0.5] + random.normal(0, 0.05, num)
    fit = LinearFit((0.0, 0.0, 0.0))
    for row, value in zip(features.tolist(), values.tolist(), strict=True):
        fit.learn(row, value)
    assert list(fit.coefficients) == pytest.approx(weighted_least_squares(features, values).tolist(), abs=1e-8)
    assert fit.num_samples == num


@given(seed=st.integers(0, 1000))
def test_more_work_never_takes_less_time(seed: int) -> None:
    # Features that nearly go together, and values that are no line: the unbound solution has coefficients of any sign.
    random = np.random.default_rng(seed)
    size = random.random(60) * 3
    features = np.column_stack([np.ones(60), size, size * size / 3, random.random(60)])
    fit = LinearFit((0.0, 1.0, 0.0, 0.0))
    for row in features.tolist():
        fit.learn(row, max(1.0, row[1]) - 0.2 * row[3])
    assert min(fit.coefficients) >= 0.0


def test_before_the_first_point_the_prior_answers() -> None:
    assert LinearFit((2.0, 3.0)).predict((1.0, 10.0)) == 32.0


def test_what_is_never_excited_stays_what_it_was_and_finite() -> None:
    fit = LinearFit((0.0, 7.0))
    for _ in range(50_000):
        fit.learn((1.0, 0.0), 5.0)
    assert list(fit.coefficients) == pytest.approx([5.0, 7.0])
    for _ in range(3_000):
        fit.learn((1.0, 1.0), 6.0)
    assert fit.predict((1.0, 1.0)) == pytest.approx(6.0)


def test_a_change_is_learned() -> None:
    fit = LinearFit((0.0,))
    for value in [1.0] * 5_000 + [2.0] * 5_000:
        fit.learn((1.0,), value)
    assert fit.predict((1.0,)) == pytest.approx(2.0, abs=0.02)


def test_errors_add_up() -> None:
    error = PredictionError()
    assert (error.relative_bias, error.relative_error) == (0.0, 0.0)
    error.note(90, 100)
    error.note(130, 100)
    assert error.relative_bias == pytest.approx(0.1)
    assert error.relative_error == pytest.approx(0.2)
    assert error.num_predictions == 2
