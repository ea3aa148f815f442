"""The sheet of a cluster, with everything that is known of it; the catalog of all sheets; hardware by name."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sim_hw.catalog import SheetCatalog
from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import CHIPS
from sim_hw.clusters.published import PublishedRatios, PublishedTotal
from sim_hw.clusters.supernode import Supernode
from sim_hw.clusters.wiring import Wiring
from sim_hw.errors import unknown_name


class ClusterSheet(Struct, frozen=True, kw_only=True):
    """One supernode or cluster, with the plan, layouts and precision that it is served with by default."""

    supernode: Supernode
    wiring: Wiring | None = None
    """None: one switch for each scale-up domain, and one for all RDMA adapters."""
    published_totals: tuple[PublishedTotal, ...] = ()
    published_ratios: PublishedRatios | None = None

    @property
    def name(self) -> str:
        """The supernode's."""
        return self.supernode.name


CLUSTERS: Final = SheetCatalog[ClusterSheet]("cluster", "sim_hw.clusters")
"""Everything that `--cluster` knows by name."""


def find_supernode(name: str) -> Supernode:
    """The supernode of that name; `UnknownNameError` lists the known ones."""
    return CLUSTERS.find(name).supernode


def find_hardware(name: str) -> Supernode | Chip:
    """The supernode or chip of that name; `UnknownNameError` lists the known ones."""
    if cluster := CLUSTERS.get(name):
        return cluster.supernode
    if chip := CHIPS.get(name):
        return chip.chip
    raise unknown_name("hardware", name, (*CLUSTERS.names(), *CHIPS.names()))
