"""How sure a prediction is: the spread of the rival fits of its chip (`sim_hw.chips.fit`), and what nobody measured.

Of a chip that a user has measured it is what the measurements leave: of the constants, and of the model's form.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, expm1, hypot, log, log1p
from typing import Final, Literal

from sim_hw.chips.calibration import CalibratedChip
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

OTHER_ENGINE_ERROR: Final = Figure(
    1.0,
    "1",
    "SGLang on a 910C takes 1.2 to 2 times as long as the engine of its sheet; TensorRT-LLM half as long as SGLang for "
    "one request on H200 and B200; two generations of one engine on GB200 part by 1.2 to 1.4",
    Confidence.ESTIMATE,
)
"""That the numbers of a chip are those of one engine, and another is meant."""

Stage = Literal["prefill", "decode", "operator"]
"""What is predicted: a field of `StageErrors`."""

MEASURED: Final = (DEEPSEEK_R1,)
"""The shapes that calibration rows are of."""

NORMAL_90: Final = 1.645
"""Standard deviations from the middle of a normal distribution to either end of the middle 90 % of it."""


def error_bar(
    chip: Chip, stage: Stage, predicted: float, rival_predictions: Sequence[float], model: ModelShape | None = None
) -> float:
    """The largest relative distance of a rival's prediction; no less than what the rows of the chip were missed by.

    Of a `model` that no row is of (None: the answer is of no model) it is that and the model's, as errors that know
    nothing of each other. Of a chip that a user has measured it is half of the 90 % interval, its rivals being one
    standard deviation away.
    """
    if isinstance(chip, CalibratedChip):
        along = (log(rival / predicted) for rival in rival_predictions)
        return exp(NORMAL_90 * hypot(*along, spread_of_form(chip, stage, model))) - 1.0
    sheet = CHIPS.get(chip.name)
    of_chip: Figure = getattr(sheet.errors, stage) if sheet and sheet.errors else BORROWED_ERROR
    least = hypot(of_chip.value, 0.0 if _is_measured(model) else UNMEASURED_MODEL_ERROR.value)
    rivals = (abs(rival / predicted - 1.0) for rival in rival_predictions)
    return max([least, *rivals])


def spread_of_form(chip: CalibratedChip, stage: Stage, model: ModelShape | None = None) -> float:
    """What the form of the model leaves where its constants are known, relative; more of a model that neither a
    published row nor a measurement of the user is of."""
    is_known = _is_measured(model) or (model is not None and model.name in chip.calibration.models)
    of_form: float = getattr(chip.calibration.stage_spread, stage)
    return hypot(of_form, 0.0 if is_known else UNMEASURED_MODEL_ERROR.value / NORMAL_90)


def bar_of_another_engine(bar: float) -> float:
    """Of a prediction whose own error bar is `bar`, if another engine than that of the numbers is meant: factors whose
    logarithms know nothing of each other."""
    return expm1(hypot(log1p(bar), log1p(OTHER_ENGINE_ERROR.value)))


def interval_90(value: float, bar: float) -> tuple[float, float]:
    """The ends between which what was predicted as `value`, with that error bar, lies with 90 %."""
    return value / (1.0 + bar), value * (1.0 + bar)


def _is_measured(model: ModelShape | None) -> bool:
    return model is None or any(_is_same_shape(model, known) for known in MEASURED)


def _is_same_shape(one: ModelShape, other: ModelShape) -> bool:
    """Whatever they are called and wherever they were read."""
    return (one.attention, one.experts, one.layers, one.dense_layers, one.hidden) == (
        other.attention,
        other.experts,
        other.layers,
        other.dense_layers,
        other.hidden,
    )
