"""Watts, joules and dollars of a live system by part and phase, as a snapshot has them, and what they are worked out
from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.metrics.outcome.energy import FacilityCurves

NPU: Final = "npu"
BUILDING: Final = "building"
NPU_PHASES: Final = ("prefill", "decode", "idle")
ANY_PHASE: Final = "any"
"""Of parts that nobody has told apart by what the NPUs do."""

COST_SERIES: Final = tuple((side, kind) for side in ("input", "output") for kind in ("capital", "electricity"))
"""The order of `EnergySeen.usd`."""

ONLY_NPUS: Final = FacilityCurves(np.array([0.0, 1.0]), {})
"""Where nothing is known of what else draws power."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a system costs while it is there. `input_share` of what belongs to no role is the cost of input tokens.

    `bands`: dollars per joule at the meter from a second of the day on, in its order, the first from 0.
    """

    capital_usd_per_s: float = 0.0
    bands: Sequence[tuple[float, float]] = ((0.0, 0.0),)
    input_share: float = 0.5


FREE: Final = Prices()


@dataclass(frozen=True, slots=True)
class EnergySeen:
    """`watts` by `part_series`, means of the last stretch of at least a wall second; `joules` by `energy_series`, and
    `usd` by `COST_SERIES`, since the system came up. `cap_w`: the power cap at the feeds, 0 without one.

    The sum over parts, less the building, is drawn at the feeds; with it, at the meter.
    """

    watts: tuple[float, ...] = (0.0, 0.0)
    joules: tuple[float, ...] = (0.0,) * (len(NPU_PHASES) + 1)
    usd: tuple[float, ...] = (0.0,) * len(COST_SERIES)
    cap_w: float = 0.0


NOTHING_DRAWN: Final = EnergySeen()


def part_series(curves: FacilityCurves) -> list[tuple[str]]:
    """The part of each of `EnergySeen.watts`."""
    return [(part,) for part in (NPU, *curves.part_w, BUILDING)]


def energy_series(curves: FacilityCurves) -> list[tuple[str, str]]:
    """Part and phase of each of `EnergySeen.joules`."""
    return [*((NPU, phase) for phase in NPU_PHASES), *((part, ANY_PHASE) for part in (*curves.part_w, BUILDING))]
