"""The clocks that an instance can run at, and its power at each of them.

Joules of operations go with `operation_energy` of the clock and those of memory traffic stay, so two clocks tell all.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final

from msgspec.structs import replace

from sim_hw.chips.chip import Chip
from sim_hw.figure import Confidence, Figure
from sim_hw.instance.power import DecodePower, PrefillPower, decode_power, prefill_power
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.power.clock_scaling import LEAST_CLOCK, floor_w, operation_energy

CLOCK_STEP: Final = Figure(
    0.01, "1", "some 15-20 MHz of 1.8-2 GHz, as drivers of GPUs offer; assumed for all chips", Confidence.ESTIMATE
)
"""Share of the full clock between two levels."""

CLOCKS: Final = tuple(
    count * CLOCK_STEP.value
    for count in range(ceil(LEAST_CLOCK.value / CLOCK_STEP.value), round(1 / CLOCK_STEP.value) + 1)
)
"""Shares of the full clock, rising to 1."""

MARGIN_SHARE: Final = Figure(
    0.02, "1", "of the span from waiting to the cap, so that work never stops; assumed", Confidence.ESTIMATE
)
"""By how much the least budget of an instance is above what it draws idle."""


def prefill_levels(point: PrefillPoint) -> tuple[PrefillPower, ...]:
    """One for each of `CLOCKS`."""
    full, least = prefill_power(point), prefill_power(point, CLOCKS[0])

    def at(clock: float) -> PrefillPower:
        if clock == 1.0:
            return full
        joules = _between(clock)
        return PrefillPower(
            replace(full.draw, floor_w=_floor_w(point.chip, point.num_npus, clock)),
            joules(least.pass_j, full.pass_j),
            joules(least.token_j, full.token_j),
            joules(least.pair_j, full.pair_j),
        )

    return tuple(map(at, CLOCKS))


def decode_levels(point: DecodePoint) -> tuple[DecodePower, ...]:
    """One for each of `CLOCKS`."""
    full, least = decode_power(point), decode_power(point, CLOCKS[0])

    def at(clock: float) -> DecodePower:
        if clock == 1.0:
            return full
        joules = _between(clock)
        return DecodePower(
            replace(full.draw, floor_w=_floor_w(point.chip, point.num_npus, clock)),
            joules(least.step_j, full.step_j),
            joules(least.sequence_j, full.sequence_j),
            joules(least.kv_token_j, full.kv_token_j),
        )

    return tuple(map(at, CLOCKS))


def _floor_w(chip: Chip, num_npus: int, clock: float) -> float:
    return num_npus * floor_w(chip, clock)


def _between(clock: float) -> Callable[[float, float], float]:
    """Joules at a clock from those at the least and at the full one."""
    low = operation_energy(CLOCKS[0])
    weight = (operation_energy(clock) - low) / (1.0 - low)

    def joules(least_j: float, full_j: float) -> float:
        return least_j + weight * (full_j - least_j)

    return joules
