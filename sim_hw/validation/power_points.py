"""Measured watts of busy chips, and what the two forms of the power model say of them.

Matrix products are held against `chip_power`, whose utilisation follows from their shape by a roofline; whole services
against `phase_power`. Attention and expert kernels were measured too, but without the utilisation that they reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from sim_hw.chips.chip import Chip, Precision
from sim_hw.chips.sheet import find_chip
from sim_hw.power.chip_power import chip_watts
from sim_hw.power.phase_power import Phase, service_watts

MEMORY_SHARE: Final = 0.80
"""Of peak HBM bandwidth, reached by products of few rows: 76-84 %, aiconfigurator."""
COMPUTE_SHARE: Final = 0.655
"""Of peak FLOP/s, reached by products of many rows: 61-70 %, aiconfigurator."""

_PRODUCT_ROWS: Final = (
    # rows (geometric mean of the measured range), and share of TDP on H200, B200, GB200
    ("1-8", 3, (0.77, 0.69, 0.57)),
    ("33-128", 65, (0.92, 0.77, 0.66)),
    ("129-512", 257, (0.98, 0.91, 0.81)),
    ("2,048-8,192", 4096, (0.99, 0.99, 0.97)),
)
_PRODUCT_CHIPS: Final = ("h200", "b200", "gb200")

_R1: Final = "ml-energy, DeepSeek-R1 FP8 on 8 GPUs"
_V3: Final = "ml-energy, DeepSeek-V3.1 chat on 8 GPUs"
_MOE: Final = "ml-energy, MoE models, median of a range"
_SPLIT: Final = "splitwise-sim"
_ROUTER: Final = "vLLM semantic router"

_SERVICE_ROWS: Final = (
    ("b200", Phase.DECODE, _R1, ((8, 0.535), (16, 0.614), (32, 0.675), (64, 0.770), (128, 0.891))),
    ("b200", Phase.DECODE, _V3, ((8, 0.482), (64, 0.648), (256, 0.742), (2042, 0.733))),
    ("b200", Phase.DECODE, _MOE, ((8, 0.65), (33, 0.73), (129, 0.81), (512, 0.68))),
    ("h100", Phase.DECODE, _MOE, ((8, 0.53), (33, 0.63), (129, 0.67), (512, 0.68))),
    ("h100", Phase.DECODE, _ROUTER, ((1, 0.43), (128, 0.86))),
    ("b200", Phase.DECODE, "ml-energy, Llama-405B FP8 on 4 GPUs, dense", ((8, 0.863), (255, 0.975))),
    ("h100", Phase.DECODE, f"{_SPLIT}, batch not told, taken as 8", ((8, 0.54),)),
    ("h100", Phase.PREFILL, _SPLIT, ((1, 1.00),)),
    ("h200", Phase.DECODE, "arXiv 2605.11999, low batch, middle of 0.20-0.43", ((1, 0.31),)),
)
"""Chip, phase, source, and (batch, share of TDP). An A100 was measured too; the catalog has none."""


class PowerPoint(Struct, frozen=True):
    """One measured row beside what the model says, both as shares of TDP."""

    chip: str
    condition: str
    source: str
    measured: float
    predicted: float

    @property
    def residual(self) -> float:
        """Of TDP; above 0 where the model says too much."""
        return self.predicted - self.measured


def power_points() -> tuple[PowerPoint, ...]:
    """All rows, products first."""
    return (*_products(), *_services())


def product_shares(chip: Chip, rows: float) -> tuple[float, float]:
    """Shares of peak FLOP/s and HBM bandwidth that a BF16 product of `rows` with a large weight reaches.

    Each weight is two bytes and two operations a row; what is slower of arithmetic and memory, each at the share
    that it was seen to reach, takes the time.
    """
    compute_s = rows / chip.flops(Precision.BF16)
    memory_s = 1.0 / chip.hbm_bytes_per_s
    seconds = max(compute_s / COMPUTE_SHARE, memory_s / MEMORY_SHARE)
    return compute_s / seconds, memory_s / seconds


def _products() -> Iterator[PowerPoint]:
    for label, rows, measured in _PRODUCT_ROWS:
        for name, share in zip(_PRODUCT_CHIPS, measured):
            chip = find_chip(name)
            predicted = chip_watts(chip, *product_shares(chip, rows)) / chip.tdp_w.value
            yield PowerPoint(name, f"BF16 product, {label} rows", "aiconfigurator, medians", share, predicted)


def _services() -> Iterator[PowerPoint]:
    for name, phase, source, rows in _SERVICE_ROWS:
        chip = find_chip(name)
        for batch, share in rows:
            condition = phase.value if phase is Phase.PREFILL else f"{phase}, batch {batch:,}"
            predicted = service_watts(chip, phase, batch) / chip.tdp_w.value
            yield PowerPoint(name, condition, source, share, predicted)
