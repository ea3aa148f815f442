"""How sure a prediction is: the spread of the rival fits of its chip (`sim_hw.chips.fit`), and what nobody measured."""

from __future__ import annotations

from math import hypot
from typing import Final, Literal

from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import CHIPS
from sim_hw.figure import Confidence, Figure
from sim_hw.models.published import DEEPSEEK_R1
from sim_hw.models.shape import ModelShape

BORROWED_ERROR = Figure(
    0.45,
    "1",
    "a chip that is not known here takes the numbers of a relative; chips without a row of their own came out 25 to "
    "70 % too fast in trial fits; the middle of that",
    Confidence.ESTIMATE,
)

UNMEASURED_MODEL_ERROR = Figure(
    0.45,
    "1",
    "all calibration rows are of one model; another shape leans as far on the fit as another chip does, assumed",
    Confidence.ESTIMATE,
)

Stage = Literal["prefill", "decode", "operator"]
"""What is predicted: a field of `StageErrors`."""

MEASURED: Final = (DEEPSEEK_R1,)
"""The shapes that calibration rows are of."""


def error_bar(
    chip: Chip, stage: Stage, predicted: float, rival_predictions: list[float], model: ModelShape | None = None
) -> float:
    """The largest relative distance of a rival's prediction; no less than what the rows of the chip were missed by.

    Of a `model` that no row is of (None: the answer is of no model) it is that and the model's, as errors that know
    nothing of each other.
    """
    sheet = CHIPS.get(chip.name)
    of_chip: Figure = getattr(sheet.errors, stage) if sheet and sheet.errors else BORROWED_ERROR
    is_measured = model is None or any(_is_same_shape(model, known) for known in MEASURED)
    least = hypot(of_chip.value, 0.0 if is_measured else UNMEASURED_MODEL_ERROR.value)
    rivals = (abs(rival / predicted - 1.0) for rival in rival_predictions)
    return max([least, *rivals])


def _is_same_shape(one: ModelShape, other: ModelShape) -> bool:
    """Whatever they are called and wherever they were read."""
    return (one.attention, one.experts, one.layers, one.dense_layers, one.hidden) == (
        other.attention,
        other.experts,
        other.layers,
        other.dense_layers,
        other.hidden,
    )
