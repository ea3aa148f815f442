"""Watts of a busy chip: `P = min(0.985 TDP, F + (TDP - F) (a u_flop + b u_hbm))`.

u is the achieved share of the package's peak; that of arithmetic counts `PREFILL_FACTOR` times in prefill passes. The
form was fitted on 9 to 10 thousand BF16 matrix products of each of three chips (ai-dynamo/aiconfigurator tables; mean
error 8 to 10 % of TDP). A chip of which nothing was measured takes the fit of its nearest relative.
"""

from __future__ import annotations

from typing import Final

from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import power_fit
from sim_hw.figure import Confidence, Figure

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


def chip_watts(chip: Chip, flop_share: float, hbm_share: float) -> float:
    """Watts of one busy package that achieves these shares of its peak FLOP/s and HBM bandwidth."""
    fit, tdp_w = power_fit(chip), chip.tdp_w.value
    floor_w = fit.floor_share.value * tdp_w
    use = fit.flop_coefficient.value * flop_share + fit.hbm_coefficient.value * hbm_share
    return min(CAP_SHARE.value * tdp_w, floor_w + (tdp_w - floor_w) * use)


def prefill_watts(chip: Chip, flop_share: float, hbm_share: float) -> float:
    """As `chip_watts`, of a package in a prefill pass."""
    return chip_watts(chip, PREFILL_FACTOR.value * flop_share, hbm_share)
