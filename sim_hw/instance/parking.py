"""An instance that is parked: its NPUs hold no model."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sim_hw.chips.chip import Chip
from sim_hw.figure import Confidence, Figure

WAKE: Final = Figure(
    5.0,
    "s",
    "CloudMatrix-Infer paper, table on model caching: warm start of a model of 671 GB from DRAM",
    Confidence.TWO_SOURCES,
)
"""Until an instance has its model again, from the memory of the nodes; read from storage it takes minutes."""


class ParkedInstance(Struct, frozen=True):
    """Of all NPUs of an instance."""

    watts: float
    wake_ns: int

    def joules(self, span_ns: int) -> float:
        """Energy of parked time."""
        return self.watts * span_ns * 1e-9


def parked_instance(chip: Chip, num_npus: int) -> ParkedInstance:
    """NPUs draw what they do without a model, as was read of empty ones."""
    return ParkedInstance(num_npus * chip.idle_w.value, round(WAKE.value * 1e9))
