"""The supernodes and clusters, as data: one entry each. Bandwidths are one direction; sources as in `sources`.

The GPU clusters are drawn as large as CloudMatrix384, 384 GPUs; that size, their racks and switches are assumptions.
"""

from __future__ import annotations

from sim_hw.figure import Confidence, Figure
from sim_hw.hardware.chip import Chip, Precision
from sim_hw.hardware.chips import ASCEND_910C, GB200, H100, H800
from sim_hw.hardware.part_power import PartPower, SupernodePower
from sim_hw.hardware.supernode import (
    Endpoint,
    Memory,
    Operation,
    Overlap,
    Part,
    PartKind,
    PartOf,
    Plane,
    PlanePort,
    Reach,
    ServingDefaults,
    StageLayout,
    Supernode,
    UbAccess,
)

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


def _part(
    title: str,
    kind: PartKind,
    part_of: PartOf,
    count: int,
    source: str,
    confidence: Confidence,
    power: PartPower | None = None,
    plane: Plane | None = None,
) -> Part:
    return Part(title, kind, part_of, Figure(count, title, source, confidence), power, plane)


def _watts(watts: float, source: str, confidence: Confidence = _ESTIMATE) -> Figure:
    return Figure(watts, "W", source, confidence)


_RDMA_TREE = "assumed: 12 leaves, 6 spines of 64 ports of 400 Gbit/s"

_SWITCH_400G = PartPower(
    _watts(450, "64 ports of 400 Gbit/s: half of a 51.2 Tbit/s switch of IX, 900 W; optics apart"),
    idle_w=_watts(270, "half of a 51.2 Tbit/s switch of IX, 539 W"),
)

_UB_SHARE = "159 W per NPU (SA) less optics and other switches, over 448 chips"
_UB_SWITCH = PartPower(_watts(47.8, _UB_SHARE), idle_w=_watts(28.6, f"{_UB_SHARE}; idle as IX's switch"))
_LPO_400G = PartPower(_watts(4.5, "400 Gbit/s LPO: half of 800 Gbit/s LPO at 8-9 W (axiomupgrades)"))
_DSP_400G = PartPower(_watts(7.5, "400 Gbit/s with DSP: half of 800 Gbit/s at 15 W (IX, axiomupgrades)"))


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
        _part("L1 UB switch chip", PartKind.SWITCH, PartOf.NODE, 7, _CM, _TWO, _UB_SWITCH, Plane.UB),
        _part(
            "L2 UB switch chip",
            PartKind.SWITCH,
            PartOf.SUPERNODE,
            112,
            f"7 sub-planes x 16; {_CM}",
            _TWO,
            _UB_SWITCH,
            Plane.UB,
        ),
        _part("RDMA switch", PartKind.SWITCH, PartOf.SUPERNODE, 18, _RDMA_TREE, _ESTIMATE, _SWITCH_400G, Plane.RDMA),
        _part(
            "VPC switch",
            PartKind.SWITCH,
            PartOf.SUPERNODE,
            1,
            "48 nodes on 64 ports",
            _ESTIMATE,
            _SWITCH_400G,
            Plane.VPC,
        ),
        _part("L1-L2 UB link", PartKind.LINK, PartOf.SUPERNODE, 2688, "besthub; two lanes of 28 GB/s each", _ONE),
        _part("UB optical module", PartKind.OPTICAL_MODULE, PartOf.NPU, 14, "SA; qsfptek", _TWO, _LPO_400G, Plane.UB),
        _part(
            "RDMA optical module", PartKind.OPTICAL_MODULE, PartOf.NPU, 4, "SA; qsfptek", _TWO, _LPO_400G, Plane.RDMA
        ),
        _part("optical fibre", PartKind.OTHER, PartOf.SUPERNODE, 3168, "qsfptek", _ONE),
        _part("DDR5 DIMM", PartKind.OTHER, PartOf.NODE, 32, "an A3-derived note; capacity not published", _ONE),
        _part("Qingtian card", PartKind.OTHER, PartOf.NODE, 1, _CM, _TWO),
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
            _watts(200, "a typical server socket; Kunpeng 920 (A3) is not published"),
            idle_w=_watts(80, "two fifths of it, assumed"),
        ),
        board=PartPower(_watts(1200, "DRAM, SSD, boards, adapters of an 8-NPU server, assumed; constant as IX has it")),
        cooling=PartPower(_watts(300, "a 25th of the node, as fans of a GB200 tray (IX); cold plates (A3)")),
        supply_capacity_w=_watts(48 * 6 * 3000, "6 x 3.0 kW a node (5+1) of the air-cooled server, A3"),
    ),
)

SCALE_OUT_NETWORK = "scale-out network"
"""Outside the rack of an NVL72; what is published of the rack is without it."""

GB200_NVL72 = Supernode(
    name="gb200-nvl72",
    title="NVIDIA GB200 NVL72",
    chip=GB200,
    num_nodes=Figure(18, "compute tray", "FiberMall and others", _TWO),
    npus_per_node=Figure(4, "GPU", "72 GPUs on 18 trays; FiberMall and others", _TWO),
    cpus_per_node=Figure(2, "Grace CPU", "36 on 18 trays; FiberMall and others", _TWO),
    compute_racks=Figure(1, "rack", "FiberMall and others", _TWO),
    network_racks=Figure(0, "rack", "the 9 switch trays stand in the same rack; scale-out switches not counted", _TWO),
    other_ports=(
        PlanePort(
            Plane.VPC, Endpoint.NODE, Figure(50e9, "B/s", "assumed: one 400 Gbit/s BlueField-3 per tray", _ESTIMATE)
        ),
    ),
    parts=(
        _part(
            "NVLink switch tray",
            PartKind.SWITCH,
            PartOf.SUPERNODE,
            9,
            "FiberMall and others",
            _TWO,
            PartPower(_watts(77.5, "a tray of 477.5 W (IX) without its two chips")),
            Plane.UB,
        ),
        _part(
            "NVSwitch chip",
            PartKind.SWITCH,
            PartOf.SUPERNODE,
            18,
            "two per switch tray",
            _ESTIMATE,
            PartPower(
                _watts(200, "IX, Blackwell", _ONE),
                idle_w=_watts(120, "idle over active as a 51.2 Tbit/s switch of IX"),
            ),
            Plane.UB,
        ),
        _part(
            SCALE_OUT_NETWORK,
            PartKind.OTHER,
            PartOf.SUPERNODE,
            1,
            "adapters stand in the trays; the share of switches and optics outside the rack",
            _ESTIMATE,
            PartPower(_watts(4300, "IX, 3.6-4.3 kW a rack", _ONE), _watts(3600, "IX, 3.6-4.3 kW a rack", _ONE)),
            Plane.RDMA,
        ),
    ),
    price_usd=Figure(
        3.0e6, "USD", "Financial Times via Benzinga; range 2.7-3.1 M, about 5 M with external network", _TWO
    ),
    provisioned_w=Figure(145_000, "W", "SA; other scopes read 120, 132 and 151 kW", _TWO),
    defaults=ServingDefaults(
        plan="3x8p+1x48d+18c",
        precision=Precision.FP8,
        prefill=StageLayout(num_npus=8, ep=8, overlap=Overlap.NONE),
        decode=StageLayout(num_npus=48, ep=48, overlap=Overlap.NONE),
        source="48 decode GPUs as LMSYS; prefill on the rest, in instances that hold the weights",
        confidence=_ESTIMATE,
    ),
    power=SupernodePower(
        cpu=PartPower(
            _watts(300, "a superchip of 2.7 kW less its two GPUs of 1.2 kW, memory included"),
            idle_w=_watts(120, "two fifths of it, assumed"),
        ),
        board=PartPower(
            _watts(505, "IX: 172 W beside modules and fans, up to 333 W lost in converters", _ONE),
            _watts(465, "IX: 172 W, and 0.88 of 333 W"),
            _watts(171, "IX: 132 W, and 140 of 1,200 parts of 333 W"),
        ),
        cooling=PartPower(_watts(240, "IX, 8 fans of 30 W", _ONE)),
        supply_capacity_w=_watts(264_000, "IX; Supermicro via introl reads 132 kW", _ONE),
    ),
)


_NVSWITCH_HOPPER = PartPower(
    _watts(100, "IX, Hopper", _ONE), idle_w=_watts(60, "idle over active as a 51.2 Tbit/s switch of IX")
)

_HGX = SupernodePower(
    cpu=PartPower(_watts(200, "a typical server socket, assumed"), idle_w=_watts(80, "two fifths of it, assumed")),
    board=PartPower(_watts(552, "IX: 1,352 W beside GPUs and fans, less two CPUs and four NVSwitch chips")),
    cooling=PartPower(
        _watts(835, "IX, nameplate of the fans of an HGX H100", _ONE),
        _watts(428, "IX, at 80 % speed; power goes with the cube"),
        _watts(9, "IX, at 22 % speed; power goes with the cube"),
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
            _part("NVSwitch chip", PartKind.SWITCH, PartOf.NODE, 4, "DGX", _ONE, _NVSWITCH_HOPPER, Plane.UB),
            _part(
                "leaf switch",
                PartKind.SWITCH,
                PartOf.SUPERNODE,
                12,
                f"384 / 32; {tree}",
                _ESTIMATE,
                _SWITCH_400G,
                Plane.RDMA,
            ),
            _part(
                "spine switch",
                PartKind.SWITCH,
                PartOf.SUPERNODE,
                6,
                f"384 / 64; {tree}",
                _ESTIMATE,
                _SWITCH_400G,
                Plane.RDMA,
            ),
            _part(
                "RDMA optical module",
                PartKind.OPTICAL_MODULE,
                PartOf.NPU,
                4,
                "both ends of two links",
                _ESTIMATE,
                _DSP_400G,
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

SUPERNODES: tuple[Supernode, ...] = (CLOUDMATRIX384, GB200_NVL72, H800_CLUSTER, H100_CLUSTER)
"""Everything that `--cluster` knows by name."""
