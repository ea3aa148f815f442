"""Watts of a busy chip: `P = min(0.985 TDP, F + (TDP - F) (a u_flop + b u_hbm))`.

u is the achieved share of the package's peak; that of arithmetic counts `PREFILL_FACTOR` times in prefill passes. The
form was fitted on 9 to 10 thousand BF16 matrix products of each of three chips (ai-dynamo/aiconfigurator tables; mean
error 8 to 10 % of TDP). A chip of which nothing was measured takes the fit of its nearest relative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sim_hw.figure import Confidence, Figure
from sim_hw.hardware.chip import Chip


@dataclass(frozen=True, slots=True)
class PowerFit:
    """The three numbers of a chip."""

    floor_share: Figure
    """F over TDP: drawn while kernels run, whatever they do."""
    flop_coefficient: Figure
    hbm_coefficient: Figure


CAP_SHARE: Final = Figure(0.985, "1", "where power of matrix products flattens; aiconfigurator", Confidence.ONE_SOURCE)

PREFILL_FACTOR: Final = Figure(
    1.5,
    "1",
    "fit: a saturated prefill pass of a 910C then draws the 0.88 of TDP that whole services draw (splitwise-sim, "
    "B200 services); without it 0.72",
    Confidence.ESTIMATE,
)
"""A pass reaches a third of the peak, large matrix products three fifths, and both draw about as much; why, nobody has
shown. Decode needs none: what services draw lies on both sides of the form."""


def _fit(chip: str, floor_share: float, flop_coefficient: float, hbm_coefficient: float) -> PowerFit:
    source = f"fit on 9-10 thousand BF16 products of {chip}, ai-dynamo/aiconfigurator"
    numbers = (floor_share, flop_coefficient, hbm_coefficient)
    return PowerFit(*(Figure(number, "1", source, Confidence.ESTIMATE) for number in numbers))


H200_FIT: Final = _fit("H200", 0.31, 1.4, 0.75)
B200_FIT: Final = _fit("B200", 0.41, 1.7, 0.50)
GB200_FIT: Final = _fit("GB200", 0.30, 1.6, 0.35)

_FITS: Final[Mapping[str, PowerFit]] = {"b200": B200_FIT, "gb200": GB200_FIT, "gb300": GB200_FIT}
"""By name of the chip; the others, Ascend among them, take H200's."""


def power_fit(chip: Chip) -> PowerFit:
    """The numbers of a chip, or of its nearest relative."""
    return _FITS.get(chip.name, H200_FIT)


def chip_watts(chip: Chip, flop_share: float, hbm_share: float) -> float:
    """Watts of one busy package that achieves these shares of its peak FLOP/s and HBM bandwidth."""
    fit, tdp_w = power_fit(chip), chip.tdp_w.value
    floor_w = fit.floor_share.value * tdp_w
    use = fit.flop_coefficient.value * flop_share + fit.hbm_coefficient.value * hbm_share
    return min(CAP_SHARE.value * tdp_w, floor_w + (tdp_w - floor_w) * use)


def prefill_watts(chip: Chip, flop_share: float, hbm_share: float) -> float:
    """As `chip_watts`, of a package in a prefill pass."""
    return chip_watts(chip, PREFILL_FACTOR.value * flop_share, hbm_share)
