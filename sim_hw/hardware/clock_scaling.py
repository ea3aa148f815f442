"""What a lower clock does to the time and the watts of a step, and which clock keeps a budget of watts.

At a share f of the full clock, for a step of which a share c is bound by the clock (matrix and vector units) and the
rest by memory and links, whose clocks stay:

- time stretches by `t = c / f + (1 - c)`;
- power that clocks draw whatever the work (floor less idle) goes with `f^k`, the voltage falling with the clock;
- energy of one operation goes with `f^(k - 1)`, so its power with `f^(k - 1) / t`;
- energy of one byte stays, so power of memory goes with `1 / t`.

At f = 1 these are the watts of `chip_power`. Below the least clock an NPU works only part of the time (duty).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sim_hw.errors import PowerBudgetError
from sim_hw.figure import Confidence, Figure
from sim_hw.hardware.chip import Chip
from sim_hw.hardware.chip_power import CAP_SHARE, power_fit

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

_HALVINGS: Final = 50


@dataclass(frozen=True, slots=True)
class ClockedLoad:
    """A step or pass on one package, as it is at the full clock."""

    chip: Chip
    flop_share: float
    """Of peak FLOP/s; in prefill times `PREFILL_FACTOR`."""
    hbm_share: float
    """Of peak HBM bandwidth."""
    clock_bound_share: float
    """Of the step's time, 0 to 1: what stretches when the clock falls."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """How a budget is kept: work at a share `clock` of the full clock for a share `duty` of the time, idle else."""

    clock: float
    duty: float
    watts: float
    """On average; at most the budget."""
    stretch: float
    """Time of the same work over that at the full clock without pauses."""


def step_stretch(load: ClockedLoad, clock: float) -> float:
    """Time of a step over that at the full clock; `clock` is the share of it, above 0 and at most 1."""
    return load.clock_bound_share / clock + (1.0 - load.clock_bound_share)


def clocked_watts(load: ClockedLoad, clock: float) -> float:
    """Of the package while it works at that share of the full clock. Never falls as the clock rises."""
    fit, tdp_w = power_fit(load.chip), load.chip.tdp_w.value
    span_w = (1.0 - fit.floor_share.value) * tdp_w
    operations = fit.flop_coefficient.value * load.flop_share * operation_energy(clock)
    memory = fit.hbm_coefficient.value * load.hbm_share
    watts = floor_w(load.chip, clock) + span_w * (operations + memory) / step_stretch(load, clock)
    return min(CAP_SHARE.value * tdp_w, watts)


def floor_w(chip: Chip, clock: float) -> float:
    """Drawn by a package while anything runs, at that share of the full clock."""
    full_w = power_fit(chip).floor_share.value * chip.tdp_w.value
    base_w = min(full_w, chip.idle_w.value)
    return base_w + (full_w - base_w) * clock**CLOCK_EXPONENT.value


def operation_energy(clock: float) -> float:
    """Of one operation over that at the full clock."""
    return clock ** (CLOCK_EXPONENT.value - 1.0)


def throttle_to(load: ClockedLoad, budget_w: float) -> Throttle:
    """The highest clock whose watts are within the budget, or the least clock and the longest duty.

    Raises `PowerBudgetError` if the budget is below the idle draw, which nothing but parking lowers.
    """
    idle_w = load.chip.idle_w.value
    if budget_w < idle_w:
        raise PowerBudgetError(
            f"a budget of {budget_w:.0f} W is below the {idle_w:.0f} W that an idle {load.chip.name} draws; "
            "give more, or park NPUs"
        )
    least = LEAST_CLOCK.value
    least_w = clocked_watts(load, least)
    if least_w > budget_w:
        duty = (budget_w - idle_w) / (least_w - idle_w)
        stretch = step_stretch(load, least) / duty if duty else float("inf")
        return Throttle(least, duty, budget_w, stretch)
    clock = _highest_clock(load, budget_w)
    return Throttle(clock, 1.0, clocked_watts(load, clock), step_stretch(load, clock))


def _highest_clock(load: ClockedLoad, budget_w: float) -> float:
    """The budget is kept at the least clock."""
    if clocked_watts(load, 1.0) <= budget_w:
        return 1.0
    low, high = LEAST_CLOCK.value, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if clocked_watts(load, middle) <= budget_w else (low, middle)
    return low
