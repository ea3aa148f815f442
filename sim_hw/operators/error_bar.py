"""How sure a prediction is: the spread of the rival fits of its chip (`sim_hw.chips.fit`), and what nobody measured."""

from __future__ import annotations

from math import hypot
from typing import Final

from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import fitted_sheet
from sim_hw.figure import Confidence, Figure
from sim_hw.models.published import DEEPSEEK_R1
from sim_hw.models.shape import ModelShape

FIT_ERROR = Figure(
    0.03, "1", "what the fit itself misses: twice the mean error over the calibration rows", Confidence.ESTIMATE
)

BORROWED_ERROR = Figure(
    0.45,
    "1",
    "a chip without a row of its own came out 25 to 70 % too fast in trial fits; the middle of that",
    Confidence.ESTIMATE,
)

UNMEASURED_MODEL_ERROR = Figure(
    0.45,
    "1",
    "all calibration rows are of one model; another shape leans as far on the fit as another chip does, assumed",
    Confidence.ESTIMATE,
)

MEASURED: Final = (DEEPSEEK_R1,)
"""The shapes that calibration rows are of."""


def error_bar(chip: Chip, predicted: float, rival_predictions: list[float], model: ModelShape | None = None) -> float:
    """The largest relative distance of a rival's prediction; no less than the fit's own error.

    No less either than that of a borrowed fit, where the chip has no row of its own, and of a `model` (None: the answer
    is of no model) that no row is of; both together add as errors that know nothing of each other.
    """
    is_borrowed = chip.name != fitted_sheet(chip).name
    is_measured = model is None or any(_is_same_shape(model, known) for known in MEASURED)
    unmeasured = hypot(
        BORROWED_ERROR.value if is_borrowed else 0.0, 0.0 if is_measured else UNMEASURED_MODEL_ERROR.value
    )
    rivals = (abs(rival / predicted - 1.0) for rival in rival_predictions)
    return max([FIT_ERROR.value, unmeasured, *rivals])


def _is_same_shape(one: ModelShape, other: ModelShape) -> bool:
    """Whatever they are called and wherever they were read."""
    return (one.attention, one.experts, one.layers, one.dense_layers, one.hidden) == (
        other.attention,
        other.experts,
        other.layers,
        other.dense_layers,
        other.hidden,
    )
