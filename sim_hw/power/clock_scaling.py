"""What a lower clock does to the time and the watts of a step.

At a share f of the full clock, for a step of which a share c is bound by the clock (matrix and vector units) and the
rest by memory and links, whose clocks stay:

- time stretches by `t = c / f + (1 - c)`;
- power that clocks draw whatever the work (floor less idle) goes with `f^k`, the voltage falling with the clock;
- energy of one operation goes with `f^(k - 1)`, so its power with `f^(k - 1) / t`;
- energy of one byte stays, so power of memory goes with `1 / t`.

At f = 1 these are the watts of `chip_power`. `sim_hw.instance.throttle` finds the clock that keeps a budget; below the
least clock an NPU works only part of the time.
"""

from __future__ import annotations

from typing import Final

from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import power_fit
from sim_hw.figure import Confidence, Figure

CLOCK_EXPONENT: Final = Figure(
    2.0,
    "1",
    "CMOS: 1 with the voltage at its floor, 3 where it falls with the clock; 2 lies between, and saves 31 % of a "
    "low-batch decode step at three fifths of the clock; arXiv 2605.11999 measured up to 32 %",
    Confidence.ESTIMATE,
)
"""k: power of clocked logic goes with the k-th power of the clock."""

LEAST_CLOCK: Final = Figure(
    0.10, "1", "arXiv 2501.08219 ran a GPU at 180 of 2,842 MHz (0.06); assumed for all chips", Confidence.ESTIMATE
)
"""Share of the full clock."""


def floor_w(chip: Chip, clock: float) -> float:
    """Drawn by a package while anything runs, at that share of the full clock."""
    full_w = power_fit(chip).floor_share.value * chip.tdp_w.value
    base_w = min(full_w, chip.idle_w.value)
    return base_w + (full_w - base_w) * clock**CLOCK_EXPONENT.value


def operation_energy(clock: float) -> float:
    """Of one operation over that at the full clock."""
    return clock ** (CLOCK_EXPONENT.value - 1.0)
