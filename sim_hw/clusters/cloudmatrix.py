"""Huawei CloudMatrix384. Bandwidths are one direction; abbreviated sources stand in `sim_hw.sources`."""

from __future__ import annotations

from typing import Final

from sim_hw.chips.ascend import ASCEND_910C
from sim_hw.chips.chip import Precision
from sim_hw.clusters.part_power import PartClass, PartPower, SupernodePower
from sim_hw.clusters.published import Basis, PublishedRatios, PublishedTotal
from sim_hw.clusters.shared_parts import FAT_TREE_400G, SWITCH_400G, part, switch
from sim_hw.clusters.sheet import ClusterSheet
from sim_hw.clusters.supernode import (
    Endpoint,
    Memory,
    Operation,
    Overlap,
    PartKind,
    PartOf,
    PlanePort,
    Reach,
    ServingDefaults,
    StageLayout,
    Supernode,
    UbAccess,
)
from sim_hw.clusters.wiring import ScaleUp, Wiring
from sim_hw.figure import Confidence, Figure, watts
from sim_hw.planes import Plane

_TWO = Confidence.TWO_SOURCES
_ONE = Confidence.ONE_SOURCE
_ESTIMATE = Confidence.ESTIMATE
_CM = "CM v2, CM v3"
_CM_NETWORK = "CM v2 table 1"


def _measured(
    memory: Memory,
    operation: Operation,
    reach: Reach,
    gigabytes_per_s: float,
    microseconds: float,
    confidence: Confidence,
) -> UbAccess:
    return UbAccess(
        memory=memory,
        operation=operation,
        reach=reach,
        bytes_per_s=Figure(gigabytes_per_s * 1e9, "B/s", _CM_NETWORK, confidence),
        latency_s=Figure(microseconds * 1e-6, "s", f"{_CM_NETWORK}, 512 B", _ONE),
    )


_RDMA_TREE = "assumed: 12 leaves, 6 spines of 64 ports of 400 Gbit/s"

_UB_SHARE = "159 W per NPU (SA) less optics and other switches, over 448 chips"

_UB_SWITCH = PartPower(watts(47.8, _UB_SHARE), idle_w=watts(28.6, f"{_UB_SHARE}; idle as IX's switch"))

_LPO_400G = PartPower(watts(4.5, "400 Gbit/s LPO: half of 800 Gbit/s LPO at 8-9 W (axiomupgrades)"))

CLOUDMATRIX384 = Supernode(
    name="cloudmatrix384",
    title="Huawei CloudMatrix384 (Atlas 900 A3 SuperPoD)",
    chip=ASCEND_910C,
    num_nodes=Figure(48, "node", _CM, _TWO),
    npus_per_node=Figure(8, "NPU", _CM, _TWO),
    cpus_per_node=Figure(4, "CPU socket", f"{_CM}; Kunpeng 920 (A3)", _TWO),
    compute_racks=Figure(12, "rack", f"{_CM}, A3", _TWO),
    network_racks=Figure(4, "rack", f"{_CM}, A3", _TWO),
    other_ports=(
        PlanePort(
            Plane.UB, Endpoint.CPU, Figure(160e9, "B/s", "about, per socket; CM v2 and an A3-derived note", _TWO)
        ),
        PlanePort(Plane.VPC, Endpoint.NODE, Figure(50e9, "B/s", "400 Gbit/s, one Qingtian card; CM v2, CM v3", _TWO)),
    ),
    ub_accesses=(
        _measured(Memory.NPU, Operation.READ, Reach.SAME_NODE, 167, 1.2, _TWO),
        _measured(Memory.NPU, Operation.READ, Reach.OTHER_NODE, 164, 1.9, _TWO),
        _measured(Memory.NPU, Operation.WRITE, Reach.SAME_NODE, 137, 1.3, _ONE),
        _measured(Memory.NPU, Operation.WRITE, Reach.OTHER_NODE, 135, 2.1, _ONE),
        _measured(Memory.CPU_DRAM, Operation.READ, Reach.SAME_NODE, 151, 1.0, _ONE),
        _measured(Memory.CPU_DRAM, Operation.READ, Reach.OTHER_NODE, 147, 1.7, _ONE),
        _measured(Memory.CPU_DRAM, Operation.WRITE, Reach.SAME_NODE, 110, 1.1, _ONE),
        _measured(Memory.CPU_DRAM, Operation.WRITE, Reach.OTHER_NODE, 107, 1.9, _ONE),
    ),
    parts=(
        switch("L1 UB switch chip", PartOf.NODE, 7, _CM, _TWO, _UB_SWITCH, Plane.UB),
        switch("L2 UB switch chip", PartOf.SUPERNODE, 112, f"7 sub-planes x 16; {_CM}", _TWO, _UB_SWITCH, Plane.UB),
        switch("RDMA switch", PartOf.SUPERNODE, 18, _RDMA_TREE, _ESTIMATE, SWITCH_400G, Plane.RDMA),
        switch("VPC switch", PartOf.SUPERNODE, 1, "48 nodes on 64 ports", _ESTIMATE, SWITCH_400G, Plane.VPC),
        part("L1-L2 UB link", PartKind.LINK, PartOf.SUPERNODE, 2688, "besthub; two lanes of 28 GB/s each", _ONE),
        part("UB optical module", PartKind.OPTICAL_MODULE, PartOf.NPU, 14, "SA; qsfptek", _TWO, _LPO_400G, Plane.UB),
        part("RDMA optical module", PartKind.OPTICAL_MODULE, PartOf.NPU, 4, "SA; qsfptek", _TWO, _LPO_400G, Plane.RDMA),
        part("optical fibre", PartKind.OTHER, PartOf.SUPERNODE, 3168, "qsfptek", _ONE),
        part("DDR5 DIMM", PartKind.OTHER, PartOf.NODE, 32, "an A3-derived note; capacity not published", _ONE),
        part("Qingtian card", PartKind.OTHER, PartOf.NODE, 1, _CM, _TWO),
    ),
    price_usd=Figure(
        8.2e6, "USD", "RMB 60 M; Financial Times via Benzinga, capacitymedia; press range 8.0-8.2 M", _TWO
    ),
    provisioned_w=Figure(559_378, "W", "SA; many repeats of one origin", _TWO),
    defaults=ServingDefaults(
        plan="14x16p+1x160d+48c",
        precision=Precision.INT8,
        prefill=StageLayout(num_npus=16, ep=32, overlap=Overlap.TWO_BATCHES),
        decode=StageLayout(num_npus=160, ep=320, overlap=Overlap.TWO_BATCHES),
        source=f"CloudMatrix-Infer; {_CM}; the paper ran 6 prefill instances, here they fill the supernode",
        confidence=_TWO,
    ),
    power=SupernodePower(
        cpu=PartPower(
            watts(200, "a typical server socket; Kunpeng 920 (A3) is not published"),
            idle_w=watts(80, "two fifths of it, assumed"),
        ),
        board=PartPower(watts(1200, "DRAM, SSD, boards, adapters of an 8-NPU server, assumed; constant as IX has it")),
        cooling=PartPower(watts(300, "a 25th of the node, as fans of a GB200 tray (IX); cold plates (A3)")),
        supply_capacity_w=watts(48 * 6 * 3000, "6 x 3.0 kW a node (5+1) of the air-cooled server, A3"),
    ),
)

SHEETS: Final = (
    ClusterSheet(
        supernode=CLOUDMATRIX384,
        wiring=Wiring(
            ScaleUp(
                Figure(7, "port", "CM v2, MS", _TWO),
                Figure(7, "L1 UB switch chip", _CM, _TWO),
                PartOf.NODE,
                Figure(16, "L2 UB switch chip", f"of each sub-plane; {_CM}", _TWO),
                Figure(48, "port", "CM v2", _TWO),
                links_per_cable=2,
            ),
            FAT_TREE_400G,
        ),
        published_totals=(
            PublishedTotal("all, by way of the margin", Figure(559_378, "W", "SA", _TWO)),
            PublishedTotal(
                "interconnect; UB switches take what is left of it",
                Figure(384 * 159, "W", "SA", _ONE),
                only_classes=frozenset({PartClass.SWITCH, PartClass.OPTICS}),
            ),
        ),
        published_ratios=PublishedRatios(
            other="gb200-nvl72",
            basis=Basis(559_378, 384 * 780e12, 384 * 128e9, 384 * 3.2e12),
            other_basis=Basis(145_000, 72 * 2500e12, 13.8e12, 576e12),
            about="780 TFLOP/s an NPU, 145 kW and 13.8 TB a rack",
            ratios={
                "system power": Figure(3.9, "1", "SA", _TWO),
                "W per FLOP/s": Figure(2.3, "1", "SA; 2.6 in its subtitle", _TWO),
                "W per B/s of HBM": Figure(1.8, "1", "SA", _TWO),
                "W per B of HBM": Figure(1.1, "1", "SA", _TWO),
            },
        ),
    ),
)
"""The bases of the ratios are SemiAnalysis's; its 13.8 TB are physical."""
