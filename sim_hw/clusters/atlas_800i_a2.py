"""Huawei Atlas 800I A2 servers on RoCE. Bandwidths are one direction; sources stand in `sim_hw.sources`."""

from __future__ import annotations

from typing import Final

from sim_hw.chips.ascend import ASCEND_910B
from sim_hw.chips.chip import Precision
from sim_hw.clusters.shared_parts import DSP_400G, SWITCH_400G, part, switch
from sim_hw.clusters.sheet import ClusterSheet
from sim_hw.clusters.supernode import (
    Endpoint,
    Overlap,
    PartKind,
    PartOf,
    PlanePort,
    ServingDefaults,
    StageLayout,
    Supernode,
)
from sim_hw.figure import Confidence, Figure, watts
from sim_hw.planes import Plane

_ONE = Confidence.ONE_SOURCE
_ESTIMATE = Confidence.ESTIMATE

_TREE = "64 ports of 400 Gbit/s, two NPUs a port, no oversubscription"

ATLAS_800I_A2 = Supernode(
    name="atlas-800i-a2",
    title="Atlas 800I A2 cluster (8-NPU nodes on 200G RoCE)",
    chip=ASCEND_910B,
    num_nodes=Figure(48, "node", "assumed: as many NPUs as CloudMatrix384 has", _ESTIMATE),
    npus_per_node=Figure(8, "NPU", "MS", _ONE),
    cpus_per_node=Figure(4, "CPU socket", "Kunpeng 920, as a node of A3", _ESTIMATE),
    compute_racks=Figure(12, "rack", "assumed: four nodes in a rack", _ESTIMATE),
    network_racks=Figure(1, "rack", "assumed: holds all switches", _ESTIMATE),
    other_ports=(
        PlanePort(Plane.VPC, Endpoint.NODE, Figure(50e9, "B/s", "assumed: one 400 Gbit/s adapter", _ESTIMATE)),
    ),
    parts=(
        part("HCCS link", PartKind.LINK, PartOf.NODE, 28, "each NPU to each of the 7 others; MS", _ONE, None, Plane.UB),
        switch("leaf switch", PartOf.SUPERNODE, 6, f"384 / 64; {_TREE}", _ESTIMATE, SWITCH_400G, Plane.RDMA),
        switch("spine switch", PartOf.SUPERNODE, 3, f"384 / 128; {_TREE}", _ESTIMATE, SWITCH_400G, Plane.RDMA),
        part(
            "RDMA optical module",
            PartKind.OPTICAL_MODULE,
            PartOf.NPU,
            4,
            "both ends of two links",
            _ESTIMATE,
            DSP_400G,
            Plane.RDMA,
        ),
    ),
    price_usd=Figure(384 * 20e3, "USD", "assumed: 910B at $12.3 k is three fifths of a server", _ESTIMATE),
    provisioned_w=watts(384 * 800, "assumed: 5.6 kW of a server, its share of the network, a margin of a tenth"),
    defaults=ServingDefaults(
        plan="4x32p+6x32d+48c",
        precision=Precision.INT8,
        prefill=StageLayout(num_npus=32, ep=32, overlap=Overlap.NONE),
        decode=StageLayout(num_npus=32, ep=32, overlap=Overlap.NONE),
        source="32 cards as of the published row of vLLM; the plan is a choice",
        confidence=_ESTIMATE,
    ),
)

SHEETS: Final = (ClusterSheet(supernode=ATLAS_800I_A2),)
"""HCCS joins the NPUs of a node each to each, without a switch; for faults it counts as one."""
