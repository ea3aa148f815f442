"""What power supplies lose, by load."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from sim_hw.figure import Confidence, Figure

_SOURCE: Final = "power supplies of GPU racks, IX"

EFFICIENCIES: Final[tuple[tuple[float, Figure], ...]] = tuple(
    (load, Figure(efficiency, "1", _SOURCE, Confidence.ONE_SOURCE))
    for load, efficiency in ((0.05, 0.886), (0.10, 0.924), (0.20, 0.945), (0.50, 0.964), (1.00, 0.956))
)
"""Output over input, by output over what is installed."""

_LOSSES: Final = tuple((load, load / efficiency.value - load) for load, efficiency in EFFICIENCIES)
"""Watts lost per watt installed, by load."""


def supply_loss_w(output_w: float, capacity_w: float) -> float:
    """Watts lost in supplies of `capacity_w` that give `output_w`.

    Lost watts, not efficiencies, are taken as straight between the points of the curve and beyond its ends, so that
    supplies that give nothing still lose something, and more output never loses less.
    """
    load = output_w / capacity_w
    segments = list(pairwise(_LOSSES))
    (low, low_loss), (high, high_loss) = next((one for one in segments if load <= one[1][0]), segments[-1])
    return capacity_w * (low_loss + (load - low) * (high_loss - low_loss) / (high - low))
