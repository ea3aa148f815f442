"""How far a prediction may be off, as a distribution: what its constants may be, and what the form of the model leaves.

A spread is the standard deviation of the logarithm of a predicted time or rate. The error bar beside it
(`sim_hw.operators.error_bar`) is another thing for a chip as its sheet has it: the largest error that was seen or that
a rival has. Of a chip that a user has measured both are of this spread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import exp, hypot, log
from typing import Final, Literal

from msgspec import Struct

from sim_hw.chips.calibration import CalibratedChip, StageSpread
from sim_hw.chips.chip import Chip
from sim_hw.chips.constants import constants_of, with_constants
from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of
from sim_hw.models.published import DEEPSEEK_R1
from sim_hw.models.shape import ModelShape

Stage = Literal["prefill", "decode", "operator"]
"""What is predicted: a field of `StageErrors` and of `StageSpread`."""

NORMAL_90: Final = 1.645
"""Standard deviations from the middle of a normal distribution to either end of the middle 90 % of it."""

STAGE_SPREAD: Final = StageSpread(prefill=0.05, decode=0.05, operator=0.03)
"""About the mean error of published rows that nothing was fitted on."""

UNMEASURED_MODEL_SPREAD: Final = 0.27
"""Of a model that no row is of: 45 % at 90 %."""

MEASURED: Final = (DEEPSEEK_R1,)
"""The shapes that calibration rows are of."""


class Spread(Struct, frozen=True):
    """Of one prediction: what it changes by along each direction of `fits_one_spread_away`, and what is left beside.

    Predictions of one chip share the directions, so that differences between them are better known than either.
    """

    along: tuple[float, ...]
    rest: float

    @property
    def total(self) -> float:
        return hypot(*self.along, self.rest)

    @property
    def half_width_90(self) -> float:
        """Of the 90 % interval, to its farther end, relative."""
        return exp(NORMAL_90 * self.total) - 1.0

    def interval_90(self, value: float) -> tuple[float, float]:
        """The ends between which the true value lies with 90 %."""
        factor = exp(NORMAL_90 * self.total)
        return value / factor, value * factor


def spread_of(chip: Chip, stage: Stage, predict: Callable[[ChipFit], float], model: ModelShape | None = None) -> Spread:
    """Of what `predict` says with the numbers of `chip`; None is of no model."""
    return spread_beside(chip, stage, predict(fit_of(chip)), map(predict, fits_one_spread_away(chip)), model)


def spread_beside(
    chip: Chip, stage: Stage, predicted: float, others: Iterable[float], model: ModelShape | None = None
) -> Spread:
    """The same where the predictions with `fits_one_spread_away(chip)` are there already."""
    return Spread(tuple(log(one / predicted) for one in others), _rest(chip, stage, model))


def fits_one_spread_away(chip: Chip) -> tuple[ChipFit, ...]:
    """Fits one standard deviation from `fit_of(chip)`, each along another of independent directions."""
    if isinstance(chip, CalibratedChip):
        return chip.calibration.one_spread_away
    base = fit_of(chip)
    return tuple(with_constants(base, {one.name: one.at(1.0)}) for one in constants_of(chip))


def is_measured(model: ModelShape | None) -> bool:
    """Whether published rows are of a model of that shape; None is of no model."""
    return model is None or any(_is_same_shape(model, known) for known in MEASURED)


def _rest(chip: Chip, stage: Stage, model: ModelShape | None) -> float:
    of_stage, is_known = STAGE_SPREAD, is_measured(model)
    if isinstance(chip, CalibratedChip):
        of_stage = chip.calibration.stage_spread
        is_known = is_known or (model is not None and model.name in chip.calibration.models)
    return hypot(getattr(of_stage, stage), 0.0 if is_known else UNMEASURED_MODEL_SPREAD)


def _is_same_shape(one: ModelShape, other: ModelShape) -> bool:
    """Whatever they are called and wherever they were read."""
    return (one.attention, one.experts, one.layers, one.dense_layers, one.hidden) == (
        other.attention,
        other.experts,
        other.layers,
        other.dense_layers,
        other.hidden,
    )
