"""A step at a lower clock by the law itself (docs/power.md): what the compiled joules of instances are held against."""

from __future__ import annotations

from dataclasses import dataclass

from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import power_fit
from sim_hw.power.chip_power import CAP_SHARE
from sim_hw.power.clock_scaling import floor_w, operation_energy


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


def step_stretch(load: ClockedLoad, clock: float) -> float:
    """Time of a step over that at the full clock; `clock` is the share of it, above 0 and at most 1."""
    return load.clock_bound_share / clock + (1.0 - load.clock_bound_share)


def clocked_watts(load: ClockedLoad, clock: float) -> float:
    """Of the package while it works at that share of the full clock."""
    fit, tdp_w = power_fit(load.chip), load.chip.tdp_w.value
    span_w = (1.0 - fit.floor_share.value) * tdp_w
    operations = fit.flop_coefficient.value * load.flop_share * operation_energy(clock)
    memory = fit.hbm_coefficient.value * load.hbm_share
    watts = floor_w(load.chip, clock) + span_w * (operations + memory) / step_stretch(load, clock)
    return min(CAP_SHARE.value * tdp_w, watts)
