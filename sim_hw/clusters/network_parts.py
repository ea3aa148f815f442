"""Switches and optics of a supernode: those that it names and, of a network of which it names none, an estimate.

A built-in cluster is taken at its word. The estimate is what the built-in clusters of GPUs have: an NVSwitch chip for
each 900 GB/s of the ports of a scale-up domain, and a fat tree of 64-port switches without oversubscription, with an
optical module at each end of both links of an adapter.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Final

from sim_hw.clusters.shared_parts import DSP_400G, NVSWITCH, SWITCH_400G, part, switch
from sim_hw.clusters.sheet import CLUSTERS
from sim_hw.clusters.supernode import Part, PartKind, PartOf, Supernode
from sim_hw.figure import Confidence, Figure
from sim_hw.planes import Plane

CHIP_BYTES_PER_S: Final = Figure(
    900e9, "B/s", "four NVSwitch chips for the eight GPUs of a DGX H100, 450 GB/s each", Confidence.ESTIMATE
)
PORTS_DOWN: Final = 32
"""Of a leaf switch; as many lead to the spines."""

_NONE_NAMED: Final = "estimated, as none is named"


def network_parts(supernode: Supernode) -> tuple[Part, ...]:
    """All parts that the supernode names, and the estimated ones of its networks."""
    return supernode.parts if supernode.name in CLUSTERS else (*supernode.parts, *_estimated(supernode))


def _estimated(supernode: Supernode) -> Iterator[Part]:
    chip, num_npus = supernode.chip, supernode.num_npus
    domain_npus = min(chip.scale_up_domain_npus.count, num_npus)
    if domain_npus > 1 and not _names(supernode, PartKind.SWITCH, Plane.UB):
        chips = ceil(domain_npus * chip.scale_up_bytes_per_s / CHIP_BYTES_PER_S.value)
        source = f"{_NONE_NAMED}: {CHIP_BYTES_PER_S.source}"
        count = chips * ceil(num_npus / domain_npus)
        title = f"{chip.scale_up_network} switch chip"
        yield switch(title, PartOf.SUPERNODE, count, source, Confidence.ESTIMATE, NVSWITCH, Plane.UB)
    tree = f"{_NONE_NAMED}: 64 ports of 400 Gbit/s, no oversubscription"
    if not _names(supernode, PartKind.SWITCH, Plane.RDMA):
        leaves = ceil(num_npus / PORTS_DOWN)
        sizes = (("leaf switch", leaves), ("spine switch", ceil(leaves / 2)))
        for title, count in sizes:
            yield switch(title, PartOf.SUPERNODE, count, tree, Confidence.ESTIMATE, SWITCH_400G, Plane.RDMA)
    if not _names(supernode, PartKind.OPTICAL_MODULE, Plane.RDMA):
        source = f"{_NONE_NAMED}: both ends of two links"
        kind = PartKind.OPTICAL_MODULE
        yield part("RDMA optical module", kind, PartOf.NPU, 4, source, Confidence.ESTIMATE, DSP_400G, Plane.RDMA)


def _names(supernode: Supernode, kind: PartKind, plane: Plane) -> bool:
    """A part that names no plane is of the scale-out network."""
    return any(one.kind is kind and (one.plane or Plane.RDMA) is plane for one in supernode.parts)
