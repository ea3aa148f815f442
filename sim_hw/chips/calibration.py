"""A chip whose software was measured by a user: numbers of its own in place of those on its sheet.

It goes wherever a chip goes, so that what is measured of one system is seen by nothing else.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sim_hw.chips.chip import Chip
from sim_hw.chips.fit import ChipFit


class StageSpread(Struct, frozen=True):
    """What the form of the model leaves where its constants are known: standard deviations, relative."""

    prefill: float
    decode: float
    operator: float


FORM_SPREAD: Final = StageSpread(prefill=0.04, decode=0.04, operator=0.025)
"""About the mean error of published rows that nothing was fitted on."""


class Calibration(Struct, frozen=True):
    """What measurements made of the numbers of a chip's software.

    `one_spread_away` are fits one standard deviation from `fit`, each along another of independent directions:
    a prediction's variance is the sum of the squares of its distances to theirs. `models` are the names of the models
    that were measured.
    """

    fit: ChipFit
    one_spread_away: tuple[ChipFit, ...]
    stage_spread: StageSpread
    models: tuple[str, ...]


class CalibratedChip(Chip, frozen=True, kw_only=True):
    """A chip with a user's numbers. Peaks and line rates are the chip's."""

    calibration: Calibration


def calibrated_chip(chip: Chip, calibration: Calibration) -> CalibratedChip:
    """The same chip with these numbers, in place of any that it had."""
    plain = {name: getattr(chip, name) for name in Chip.__struct_fields__}
    return CalibratedChip(**plain, calibration=calibration)


def uncalibrated(chip: Chip) -> Chip:
    """The same chip with the numbers of its sheet."""
    return Chip(**{name: getattr(chip, name) for name in Chip.__struct_fields__})
