"""How right the predicted times of a run were, as numbers for `--json`."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, to_builtins

from scheduler.core.routing.stages import Routing
from scheduler.metrics.outcome.summary import SIGNIFICANT_DIGITS


class Prediction(Struct, frozen=True):
    """Of the time from choosing an instance to the first token, and of lengths of decode steps, over all that came:
    predicted over actual, less 1, and absolute errors over actual."""

    ttft_bias: float
    ttft_mean_absolute_error: float
    tpot_bias: float
    tpot_mean_absolute_error: float

    def to_json(self) -> dict[str, Any]:
        """Rounded like the numbers of a summary."""
        return {key: float(f"{value:.{SIGNIFICANT_DIGITS}g}") for key, value in to_builtins(self).items()}


def prediction_of(routing: Routing) -> Prediction | None:
    """None where nobody asked for predictions."""
    errors = routing.prediction_errors
    if len(errors) < 2:
        return None
    ttft, tpot = errors["ttft"], errors["tpot"]
    return Prediction(ttft.relative_bias, ttft.relative_error, tpot.relative_bias, tpot.relative_error)
