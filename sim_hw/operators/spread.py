"""How far a prediction may be off, and how much of that it shares with others of the same chip.

A spread is the standard deviation of the logarithm of a predicted time or rate: what its error bar is 1.645 of
(`sim_hw.operators.error_bar`). It is split by what is unknown, so that of two predictions the difference can be told.
"""

from __future__ import annotations

from collections.abc import Callable
from math import expm1, hypot, log, log1p, sqrt
from typing import Final

from msgspec import Struct

from sim_hw.chips.calibration import CalibratedChip
from sim_hw.chips.chip import Chip
from sim_hw.chips.constants import constants_of, with_constants
from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of, rivals_of
from sim_hw.models.shape import ModelShape
from sim_hw.operators.error_bar import NORMAL_90, Stage, error_bar, spread_of_form

MOST_OF_CONSTANTS: Final = 0.9
"""Of the error bar of a chip as its sheet has it, what its constants may make up: its rows hold their sums, so that by
themselves they would say more."""


class Spread(Struct, frozen=True):
    """Of one prediction: what it changes by along each direction of `fits_one_spread_away`, and what is left beside."""

    along: tuple[float, ...]
    rest: float

    @property
    def total(self) -> float:
        """All of it."""
        return hypot(*self.along, self.rest)

    def interval_90(self, value: float) -> tuple[float, float]:
        """The ends between which what was predicted as `value` lies with 90 %."""
        factor = 1.0 + self.error_bar
        return value / factor, value * factor

    @property
    def error_bar(self) -> float:
        """Of that interval, to its farther end, relative."""
        return expm1(NORMAL_90 * self.total)


def spread_of(chip: Chip, stage: Stage, predict: Callable[[ChipFit], float], model: ModelShape | None = None) -> Spread:
    """Of what `predict` says with the numbers of `chip`; None is of no model."""
    predicted = predict(fit_of(chip))
    along = tuple(log(predict(fit) / predicted) for fit in fits_one_spread_away(chip))
    if isinstance(chip, CalibratedChip):
        return Spread(along, spread_of_form(chip, stage, model))
    bar = error_bar(chip, stage, predicted, [predict(rival) for rival in rivals_of(chip)], model)
    total = log1p(bar) / NORMAL_90
    share = min(1.0, MOST_OF_CONSTANTS * total / (hypot(*along) or 1.0))
    held = tuple(share * one for one in along)
    return Spread(held, sqrt(total**2 - hypot(*held) ** 2))


def fits_one_spread_away(chip: Chip) -> tuple[ChipFit, ...]:
    """Fits one standard deviation from `fit_of(chip)`, each along another of independent directions."""
    if isinstance(chip, CalibratedChip):
        return chip.calibration.one_spread_away
    base = fit_of(chip)
    return tuple(with_constants(base, {one.name: one.at(1.0)}) for one in constants_of(chip))
