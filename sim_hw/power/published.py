"""Totals and ratios of power that were published (`sim_hw.clusters.published`), beside ours."""

from __future__ import annotations

from sim_hw.chips.chip import Precision
from sim_hw.clusters.published import Basis, PublishedTotal
from sim_hw.clusters.supernode import Supernode
from sim_hw.power.power_tree import PowerTree


def catalog_basis(supernode: Supernode) -> Basis:
    """On the figures of the catalog: BF16, and memory as far as it is usable."""
    npus, chip = supernode.num_npus, supernode.chip
    return Basis(
        supernode.provisioned_w.value,
        npus * chip.flops(Precision.BF16),
        npus * chip.hbm_bytes,
        npus * chip.hbm_bytes_per_s,
    )


def provisioned_within(tree: PowerTree, published: PublishedTotal) -> float:
    """What our lines within the scope of a published total are provisioned with, W."""
    within = (
        line.watts.provisioned_w
        for line in tree.lines
        if line.part_class in published.only_classes and line.title not in published.without_titles
    )
    return sum(within)
