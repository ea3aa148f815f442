"""NVIDIA GB300 NVL72: a GB200 NVL72 with other GPUs and adapters."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from sim_hw.chips.chip import Precision
from sim_hw.chips.nvidia import GB300
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72, NVL72_WIRING
from sim_hw.clusters.sheet import ClusterSheet
from sim_hw.clusters.supernode import Overlap, ServingDefaults, StageLayout
from sim_hw.figure import Confidence, Figure, watts

_ESTIMATE = Confidence.ESTIMATE

GB300_NVL72 = replace(
    GB200_NVL72,
    name="gb300-nvl72",
    title="NVIDIA GB300 NVL72",
    chip=GB300,
    price_usd=Figure(3.7e6, "USD", "assumed: a GB200 NVL72 and a quarter", _ESTIMATE),
    provisioned_w=watts(
        163_000, "145 kW of a GB200 NVL72 (SA), 200 W more of TDP a GPU and a quarter of that around it"
    ),
    defaults=ServingDefaults(
        plan="3x8p+1x48d+18c",
        precision=Precision.FP8,
        prefill=StageLayout(num_npus=8, ep=8, overlap=Overlap.NONE),
        decode=StageLayout(num_npus=48, ep=48, overlap=Overlap.SINGLE_BATCH),
        source="as a GB200 NVL72",
        confidence=_ESTIMATE,
    ),
)

SHEETS: Final = (ClusterSheet(supernode=GB300_NVL72, wiring=NVL72_WIRING),)
