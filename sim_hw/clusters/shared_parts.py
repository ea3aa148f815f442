"""Parts that several clusters have, and how one is written down."""

from __future__ import annotations

from typing import Final

from sim_hw.clusters.part_power import PartPower
from sim_hw.clusters.supernode import Part, PartKind, PartOf
from sim_hw.clusters.wiring import ScaleOut
from sim_hw.figure import Confidence, Figure, watts
from sim_hw.planes import Plane


def part(
    title: str,
    kind: PartKind,
    part_of: PartOf,
    count: int,
    source: str,
    confidence: Confidence,
    power: PartPower | None = None,
    plane: Plane | None = None,
) -> Part:
    """`count` pieces for each `part_of`."""
    return Part(title, kind, part_of, Figure(count, title, source, confidence), power, plane)


def switch(
    title: str, part_of: PartOf, count: int, source: str, confidence: Confidence, power: PartPower, plane: Plane
) -> Part:
    """`count` switches for each `part_of`."""
    return part(title, PartKind.SWITCH, part_of, count, source, confidence, power, plane)


SWITCH_400G: Final = PartPower(
    watts(450, "64 ports of 400 Gbit/s: half of a 51.2 Tbit/s switch of IX, 900 W; optics apart"),
    idle_w=watts(270, "half of a 51.2 Tbit/s switch of IX, 539 W"),
)

FAT_TREE_400G: Final = ScaleOut(
    Figure(32, "port", "assumed: half of a 64-port switch of 400 Gbit/s", Confidence.ESTIMATE),
    Figure(6, "spine switch", "assumed: 384 / 64, no oversubscription", Confidence.ESTIMATE),
)

DSP_400G: Final = PartPower(watts(7.5, "400 Gbit/s with DSP: half of 800 Gbit/s at 15 W (IX, axiomupgrades)"))

NVSWITCH: Final = PartPower(
    watts(100, "IX, Hopper", Confidence.ONE_SOURCE),
    idle_w=watts(60, "idle over active as a 51.2 Tbit/s switch of IX"),
)
