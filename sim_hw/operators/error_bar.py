"""How sure a prediction is: the spread of the rival fits of its chip (`sim_hw.chips.fit`), and what nobody measured."""

from __future__ import annotations

from math import hypot

from sim_hw.chips.calibration import CalibratedChip
from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import CHIPS
from sim_hw.figure import Confidence, Figure
from sim_hw.models.shape import ModelShape
from sim_hw.operators.spread import Stage, is_measured, spread_beside

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


def error_bar(
    chip: Chip, stage: Stage, predicted: float, rival_predictions: list[float], model: ModelShape | None = None
) -> float:
    """The largest relative distance of a rival's prediction; no less than what the rows of the chip were missed by.

    Of a `model` that no row is of (None: the answer is of no model) it is that and the model's, as errors that know
    nothing of each other. Of a chip that a user measured it is the half of the 90 % interval.
    """
    if isinstance(chip, CalibratedChip):
        return spread_beside(chip, stage, predicted, rival_predictions, model).half_width_90
    sheet = CHIPS.get(chip.name)
    of_chip: Figure = getattr(sheet.errors, stage) if sheet and sheet.errors else BORROWED_ERROR
    least = hypot(of_chip.value, 0.0 if is_measured(model) else UNMEASURED_MODEL_ERROR.value)
    rivals = (abs(rival / predicted - 1.0) for rival in rival_predictions)
    return max([least, *rivals])
