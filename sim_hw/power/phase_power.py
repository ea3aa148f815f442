"""Watts of an NPU in a whole service, by phase and batch alone: for questions that come without an operating point.

`chip_power` needs the utilisation of arithmetic and memory; services were measured without it. Three numbers were
fitted on mixture-of-experts models on B200 and H100 (`sim_hw.validation.power_points`).
"""

from __future__ import annotations

from enum import StrEnum
from math import log2
from typing import Final

from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import power_fit, sheet_of
from sim_hw.figure import Confidence, Figure


class Phase(StrEnum):
    """What an NPU does."""

    PREFILL = "prefill"
    DECODE = "decode"


PREFILL_SHARE: Final = Figure(
    0.88, "1", "B200 services, splitwise-sim, GEMM; 0.88-1.0 of TDP seen", Confidence.TWO_SOURCES
)
"""Of TDP, in saturated prefill."""

_FITTED: Final = "fit on 19 rows of MoE services, ml-energy and vLLM semantic router"

DECODE_SHARE: Final = Figure(0.56, "1", _FITTED, Confidence.ESTIMATE)
"""Of TDP, with a batch of 8 on all NPUs of a service together."""
DECODE_SLOPE: Final = Figure(0.05, "1", _FITTED, Confidence.ESTIMATE)
"""Of TDP, for each doubling of the batch."""
DECODE_TOP: Final = Figure(
    0.75, "1", f"{_FITTED}; one B200 service reached 0.89 at a batch of 128, wide EP 0.84-0.95", Confidence.ESTIMATE
)
"""Of TDP, from a batch of 112."""


def service_watts(chip: Chip, phase: Phase, batch: int) -> float:
    """Watts of one package; `batch` counts requests of a service of eight NPUs or so and matters to decode alone.

    Never falls with the batch, and stays above the floor of `chip_power`.
    """
    tdp_w = chip.tdp_w.value
    if phase is Phase.PREFILL:
        return PREFILL_SHARE.value * tdp_w
    share = min(DECODE_TOP.value, DECODE_SHARE.value + DECODE_SLOPE.value * log2(batch / 8))
    draw = sheet_of(chip).decode_draw
    share *= draw.value if draw else 1.0
    return tdp_w * max(share, power_fit(chip).floor_share.value)


def service_figure(chip: Chip, phase: Phase, batch: int) -> Figure:
    """The same, with where it comes from; no surer than the TDP that it is a share of."""
    watts = service_watts(chip, phase, batch)
    basis, what = (PREFILL_SHARE, "saturated prefill") if phase is Phase.PREFILL else (DECODE_SHARE, "decode")
    confidence = Confidence.ESTIMATE if chip.tdp_w.confidence is Confidence.ESTIMATE else basis.confidence
    return Figure(watts, "W", f"{watts / chip.tdp_w.value:.2f} of TDP, {what}: {basis.source}", confidence)
