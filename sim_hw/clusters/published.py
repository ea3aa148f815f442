"""Totals and ratios of power that were published of a supernode, each with the basis that it was counted on.

`sim_hw.power.published` holds ours against them.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sim_hw.clusters.part_power import PartClass
from sim_hw.figure import Figure


class Basis(Struct, frozen=True):
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


class PublishedRatios(Struct, frozen=True):
    """Ratios of power of this supernode over those of the one called `other`, and both bases as published."""

    other: str
    basis: Basis
    other_basis: Basis
    about: str
    """In what the published basis differs from the catalog's."""
    ratios: Mapping[str, Figure]
    """By the names that `Basis.ratios_to` has."""


class PublishedTotal(Struct, frozen=True):
    """A total that was published, and which lines of the power tree its scope leaves out."""

    title: str
    watts: Figure
    without_titles: frozenset[str] = frozenset()
    only_classes: frozenset[PartClass] = frozenset(PartClass)
