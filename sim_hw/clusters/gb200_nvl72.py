"""NVIDIA GB200 NVL72. Bandwidths are one direction; abbreviated sources stand in `sim_hw.sources`."""

from __future__ import annotations

from typing import Final

from sim_hw.chips.chip import Precision
from sim_hw.chips.nvidia import GB200
from sim_hw.clusters.part_power import PartClass, PartPower, SupernodePower
from sim_hw.clusters.published import PublishedTotal
from sim_hw.clusters.shared_parts import part, switch
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
from sim_hw.clusters.wiring import ScaleOut, ScaleUp, Wiring
from sim_hw.figure import Confidence, Figure, watts
from sim_hw.planes import Plane

_TWO = Confidence.TWO_SOURCES
_ONE = Confidence.ONE_SOURCE
_ESTIMATE = Confidence.ESTIMATE

_SCALE_OUT_NETWORK = "scale-out network"
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
        switch(
            "NVLink switch tray",
            PartOf.SUPERNODE,
            9,
            "FiberMall and others",
            _TWO,
            PartPower(watts(77.5, "a tray of 477.5 W (IX) without its two chips")),
            Plane.UB,
        ),
        switch(
            "NVSwitch chip",
            PartOf.SUPERNODE,
            18,
            "two per switch tray",
            _ESTIMATE,
            PartPower(
                watts(200, "IX, Blackwell", _ONE), idle_w=watts(120, "idle over active as a 51.2 Tbit/s switch of IX")
            ),
            Plane.UB,
        ),
        part(
            _SCALE_OUT_NETWORK,
            PartKind.OTHER,
            PartOf.SUPERNODE,
            1,
            "adapters stand in the trays; the share of switches and optics outside the rack",
            _ESTIMATE,
            PartPower(watts(4300, "IX, 3.6-4.3 kW a rack", _ONE), watts(3600, "IX, 3.6-4.3 kW a rack", _ONE)),
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
        decode=StageLayout(num_npus=48, ep=48, overlap=Overlap.SINGLE_BATCH),
        source="48 decode GPUs as LMSYS, whose second account overlaps one batch; prefill on the rest, where it fits",
        confidence=_ESTIMATE,
    ),
    power=SupernodePower(
        cpu=PartPower(
            watts(300, "a superchip of 2.7 kW less its two GPUs of 1.2 kW, memory included"),
            idle_w=watts(120, "two fifths of it, assumed"),
        ),
        board=PartPower(
            watts(505, "IX: 172 W beside modules and fans, up to 333 W lost in converters", _ONE),
            watts(465, "IX: 172 W, and 0.88 of 333 W"),
            watts(171, "IX: 132 W, and 140 of 1,200 parts of 333 W"),
        ),
        cooling=PartPower(watts(240, "IX, 8 fans of 30 W", _ONE)),
        supply_capacity_w=watts(264_000, "IX; Supermicro via introl reads 132 kW", _ONE),
    ),
)

NVL72_WIRING: Final = Wiring(
    ScaleUp(
        Figure(18, "port", "NVLink 5 at 50 GB/s a port, one to each NVSwitch chip", _ESTIMATE),
        Figure(18, "NVSwitch chip", "two per switch tray", _ESTIMATE),
        PartOf.SUPERNODE,
    ),
    ScaleOut(
        Figure(32, "port", "assumed as for the other clusters", _ESTIMATE),
        Figure(2, "spine switch", "assumed: 72 links on switches of 64 ports", _ESTIMATE),
    ),
)

SHEETS: Final = (
    ClusterSheet(
        supernode=GB200_NVL72,
        wiring=NVL72_WIRING,
        published_totals=(
            PublishedTotal("all, by way of the margin", Figure(145_000, "W", "SA", _TWO)),
            PublishedTotal(
                "the rack alone, without margin",
                Figure(120_000, "W", "ServeTheHome, specification", _TWO),
                frozenset({_SCALE_OUT_NETWORK}),
                frozenset(PartClass) - {PartClass.MARGIN},
            ),
        ),
    ),
)
"""Other totals of an NVL72 (132 kW of installed shelves, 2.1 kW a GPU all-in) hold other things."""
