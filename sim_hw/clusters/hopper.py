"""Clusters of Hopper GPUs in nodes of eight. Bandwidths are one direction; short sources stand in `sim_hw.sources`.

They are drawn as large as CloudMatrix384, 384 GPUs; that size, their racks and switches are assumptions.
"""

from __future__ import annotations

from typing import Final

from sim_hw.chips.chip import Chip, Precision
from sim_hw.chips.nvidia import B200, H20, H100, H200, H800
from sim_hw.clusters.part_power import PartPower, SupernodePower
from sim_hw.clusters.shared_parts import DSP_400G, FAT_TREE_400G, NVSWITCH, SWITCH_400G, part, switch
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
from sim_hw.clusters.wiring import ScaleUp, Wiring
from sim_hw.figure import Confidence, Figure, watts
from sim_hw.planes import Plane

_TWO = Confidence.TWO_SOURCES
_ONE = Confidence.ONE_SOURCE
_ESTIMATE = Confidence.ESTIMATE

_HGX = SupernodePower(
    cpu=PartPower(watts(200, "a typical server socket, assumed"), idle_w=watts(80, "two fifths of it, assumed")),
    board=PartPower(watts(552, "IX: 1,352 W beside GPUs and fans, less two CPUs and four NVSwitch chips")),
    cooling=PartPower(
        watts(835, "IX, nameplate of the fans of an HGX H100", _ONE),
        watts(428, "IX, at 80 % speed; power goes with the cube"),
        watts(9, "IX, at 22 % speed; power goes with the cube"),
    ),
)


def _hopper_cluster(
    name: str, title: str, chip: Chip, price_usd: Figure, provisioned_w: Figure, defaults: ServingDefaults
) -> Supernode:
    """48 nodes of 8 GPUs, each with its own 400 Gbit/s adapter, in a two-level fat tree of 64-port switches."""
    assumed = "assumed: as many GPUs as CloudMatrix384 has NPUs"
    tree = "64 ports of 400 Gbit/s, no oversubscription"
    return Supernode(
        name=name,
        title=title,
        chip=chip,
        num_nodes=Figure(48, "node", assumed, _ESTIMATE),
        npus_per_node=Figure(8, "GPU", "DGX; IDX", _TWO),
        cpus_per_node=Figure(2, "CPU socket", "DGX", _ONE),
        compute_racks=Figure(12, "rack", "assumed: four nodes of 10.2 kW in a rack", _ESTIMATE),
        network_racks=Figure(1, "rack", "assumed: holds all 18 switches", _ESTIMATE),
        other_ports=(
            PlanePort(Plane.VPC, Endpoint.NODE, Figure(50e9, "B/s", "assumed: one 400 Gbit/s adapter", _ESTIMATE)),
        ),
        parts=(
            switch("NVSwitch chip", PartOf.NODE, 4, "DGX", _ONE, NVSWITCH, Plane.UB),
            switch("leaf switch", PartOf.SUPERNODE, 12, f"384 / 32; {tree}", _ESTIMATE, SWITCH_400G, Plane.RDMA),
            switch("spine switch", PartOf.SUPERNODE, 6, f"384 / 64; {tree}", _ESTIMATE, SWITCH_400G, Plane.RDMA),
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
        price_usd=price_usd,
        provisioned_w=provisioned_w,
        defaults=defaults,
        power=_HGX,
    )


_H100_WATTS = "384 x 1.73 kW, all-in provisioned per H100 of IX"
_H100_DOLLARS = "384 x $50 k, an H100 system all-in per GPU (greaterwrong)"

H800_CLUSTER = _hopper_cluster(
    name="h800-cluster",
    title="H800 cluster (8-GPU nodes on 400G RDMA)",
    chip=H800,
    price_usd=Figure(384 * 50e3, "USD", f"{_H100_DOLLARS}; none published for H800", _ESTIMATE),
    provisioned_w=Figure(384 * 1730, "W", f"{_H100_WATTS}; taken for H800", _ESTIMATE),
    defaults=ServingDefaults(
        plan="7x32p+1x144d+48c",
        precision=Precision.FP8,
        prefill=StageLayout(num_npus=32, ep=32, overlap=Overlap.TWO_BATCHES),
        decode=StageLayout(num_npus=144, ep=144, overlap=Overlap.TWO_BATCHES),
        source="IDX: prefill EP32 on 4 nodes, decode EP144 on 18; the plan is as many as fit 48 nodes, two left over",
        confidence=_TWO,
    ),
)

H100_CLUSTER = _hopper_cluster(
    name="h100-cluster",
    title="H100 cluster (8-GPU nodes on 400G RDMA)",
    chip=H100,
    price_usd=Figure(384 * 50e3, "USD", _H100_DOLLARS, _ONE),
    provisioned_w=Figure(384 * 1730, "W", _H100_WATTS, _ONE),
    defaults=ServingDefaults(
        plan="5x32p+3x72d+48c",
        precision=Precision.FP8,
        prefill=StageLayout(num_npus=32, ep=32, overlap=Overlap.TWO_BATCHES),
        decode=StageLayout(num_npus=72, ep=72, overlap=Overlap.TWO_BATCHES),
        source="prefill on 4 nodes and decode on 9, after LMSYS; the plan is as many as fit 48 nodes, one left over",
        confidence=_ESTIMATE,
    ),
)


H200_CLUSTER = _hopper_cluster(
    name="h200-cluster",
    title="H200 cluster (8-GPU nodes on 400G RDMA)",
    chip=H200,
    price_usd=Figure(384 * 55e3, "USD", f"{_H100_DOLLARS}; a tenth more for H200, assumed", _ESTIMATE),
    provisioned_w=Figure(384 * 1730, "W", f"{_H100_WATTS}; H200 has the same TDP", _ESTIMATE),
    defaults=ServingDefaults(
        plan="8x16p+13x16d+48c",
        precision=Precision.FP8,
        prefill=StageLayout(num_npus=16, ep=16, overlap=Overlap.TWO_BATCHES),
        decode=StageLayout(num_npus=16, ep=16, overlap=Overlap.NONE),
        source="two decode nodes as a published row of SGLang; the plan is a choice",
        confidence=_ESTIMATE,
    ),
)

H20_CLUSTER = _hopper_cluster(
    name="h20-cluster",
    title="H20 cluster (8-GPU nodes on 400G RDMA)",
    chip=H20,
    price_usd=Figure(384 * 25e3, "USD", "assumed: half of an H100 system", _ESTIMATE),
    provisioned_w=Figure(384 * 1340, "W", f"{_H100_WATTS}; 300 W less of TDP, and 90 W of cooling", _ESTIMATE),
    defaults=ServingDefaults(
        plan="8x16p+13x16d+48c",
        precision=Precision.FP8,
        prefill=StageLayout(num_npus=16, ep=16, overlap=Overlap.NONE),
        decode=StageLayout(num_npus=16, ep=16, overlap=Overlap.SINGLE_BATCH),
        source="two decode nodes as a published row of SGLang; the plan is a choice",
        confidence=_ESTIMATE,
        kv_precision=Precision.FP8,
    ),
)

B200_CLUSTER = _hopper_cluster(
    name="b200-cluster",
    title="B200 cluster (8-GPU nodes on 400G RDMA)",
    chip=B200,
    price_usd=Figure(384 * 75e3, "USD", "assumed: an H100 system and half of it", _ESTIMATE),
    provisioned_w=Figure(384 * 2120, "W", f"{_H100_WATTS}; 300 W more of TDP, and 90 W of cooling", _ESTIMATE),
    defaults=ServingDefaults(
        plan="16x8p+26x8d+48c",
        precision=Precision.FP8,
        prefill=StageLayout(num_npus=8, ep=8, overlap=Overlap.NONE),
        decode=StageLayout(num_npus=8, ep=8, overlap=Overlap.NONE),
        source="one node an instance, so that NVLink joins it; the plan is a choice",
        confidence=_ESTIMATE,
    ),
)


def _wiring(ports: int) -> Wiring:
    scale_up = ScaleUp(
        Figure(ports, "port", "NVLink 4 at 25 GB/s a port", _ONE), Figure(4, "NVSwitch chip", "DGX", _ONE), PartOf.NODE
    )
    return Wiring(scale_up, FAT_TREE_400G)


SHEETS: Final = (
    ClusterSheet(supernode=H800_CLUSTER, wiring=_wiring(8)),
    ClusterSheet(supernode=H100_CLUSTER, wiring=_wiring(18)),
    ClusterSheet(supernode=H200_CLUSTER, wiring=_wiring(18)),
    ClusterSheet(supernode=H20_CLUSTER, wiring=_wiring(18)),
    ClusterSheet(supernode=B200_CLUSTER),
)
