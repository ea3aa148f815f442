"""Totals and ratios of power that were published, to hold ours against, each on its own basis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sim_hw.figure import Confidence, Figure
from sim_hw.hardware.chip import Precision
from sim_hw.hardware.supernode import Supernode
from sim_hw.hardware.supernodes import SCALE_OUT_NETWORK
from sim_hw.power.power_tree import PartClass, PowerTree

_ONE: Final = Confidence.ONE_SOURCE
_TWO: Final = Confidence.TWO_SOURCES


@dataclass(frozen=True, slots=True)
class Basis:
    """What ratios of power are made of: one system."""

    watts: float
    flops: float
    """BF16, dense."""
    hbm_bytes: float
    hbm_bytes_per_s: float

    def ratios_to(self, other: Basis) -> dict[str, float]:
        """Power, and power per unit of what it buys, over those of `other`."""
        power = self.watts / other.watts
        return {
            "system power": power,
            "W per FLOP/s": power / (self.flops / other.flops),
            "W per B/s of HBM": power / (self.hbm_bytes_per_s / other.hbm_bytes_per_s),
            "W per B of HBM": power / (self.hbm_bytes / other.hbm_bytes),
        }


CLOUDMATRIX_AS_PUBLISHED: Final = Basis(559_378, 384 * 780e12, 384 * 128e9, 384 * 3.2e12)
NVL72_AS_PUBLISHED: Final = Basis(145_000, 72 * 2500e12, 13.8e12, 576e12)
"""SemiAnalysis: 780 TFLOP/s an NPU, 145 kW and 13.8 TB (physical) a rack. The catalogue counts otherwise."""

PUBLISHED_RATIOS: Final[Mapping[str, Figure]] = {
    "system power": Figure(3.9, "1", "SA", _TWO),
    "W per FLOP/s": Figure(2.3, "1", "SA; 2.6 in its subtitle", _TWO),
    "W per B/s of HBM": Figure(1.8, "1", "SA", _TWO),
    "W per B of HBM": Figure(1.1, "1", "SA", _TWO),
}
"""CloudMatrix384 over GB200 NVL72."""


def catalogue_basis(supernode: Supernode) -> Basis:
    """On the figures of the catalogue: BF16, and memory as far as it is usable."""
    npus, chip = supernode.num_npus, supernode.chip
    return Basis(
        supernode.provisioned_w.value,
        npus * chip.flops(Precision.BF16),
        npus * chip.hbm_bytes,
        npus * chip.hbm_bytes_per_s,
    )


@dataclass(frozen=True, slots=True)
class PublishedTotal:
    """A total that was published, and which lines of the tree its scope leaves out."""

    title: str
    watts: Figure
    without_titles: frozenset[str] = frozenset()
    only_classes: frozenset[PartClass] = frozenset(PartClass)

    def of(self, tree: PowerTree) -> float:
        """What our lines within that scope are provisioned with, W."""
        within = (
            line.watts.provisioned_w
            for line in tree.lines
            if line.part_class in self.only_classes and line.title not in self.without_titles
        )
        return sum(within)


_NO_MARGIN: Final = frozenset(PartClass) - {PartClass.MARGIN}
_NETWORK: Final = frozenset({PartClass.SWITCH, PartClass.OPTICS})

PUBLISHED_TOTALS: Final[Mapping[str, tuple[PublishedTotal, ...]]] = {
    "cloudmatrix384": (
        PublishedTotal("all, by way of the margin", Figure(559_378, "W", "SA", _TWO)),
        PublishedTotal(
            "interconnect; UB switches take what is left of it",
            Figure(384 * 159, "W", "SA", _ONE),
            only_classes=_NETWORK,
        ),
    ),
    "gb200-nvl72": (
        PublishedTotal("all, by way of the margin", Figure(145_000, "W", "SA", _TWO)),
        PublishedTotal(
            "the rack alone, without margin",
            Figure(120_000, "W", "ServeTheHome, specification", _TWO),
            frozenset({SCALE_OUT_NETWORK}),
            _NO_MARGIN,
        ),
    ),
}
"""By supernode. Other totals of an NVL72 (132 kW of installed shelves, 2.1 kW a GPU all-in) hold other things."""
