"""The Ascend chips of Huawei. Figures are per die (rank) inside `Die`, per package outside it.

Bandwidths are one direction, FLOP/s are dense; abbreviated sources stand in `sim_hw.sources`.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from sim_hw.chips.calibration import Calibration, StageSpread
from sim_hw.chips.chip import Chip, Die, PeakRates
from sim_hw.chips.fit import (
    ABSENT_S,
    ABSENT_SHARE,
    NO_MEASUREMENT,
    ChipFit,
    CollectiveFit,
    errors,
    fitted,
    with_far_latency,
    with_values,
)
from sim_hw.chips.sheet import ChipSheet
from sim_hw.figure import Confidence, Figure, gigabytes, gigabytes_per_s, teraflops, watts
from sim_hw.planes import Plane

_TWO = Confidence.TWO_SOURCES
_ONE = Confidence.ONE_SOURCE
_ESTIMATE = Confidence.ESTIMATE

ASCEND_910C = Chip(
    name="ascend-910c",
    title="Ascend 910C",
    die=Die(
        peak=PeakRates(
            bf16=teraflops(353.9, "MS; the peak implied by arXiv 2509.25224 agrees", _TWO),
            fp16=teraflops(376, "MS, CITIC", _TWO),
            int8=teraflops(752, "MS; implied by the tok/s-per-TOPS column of CM v2 and v3", _TWO),
        ),
        hbm_bytes=gigabytes(64, "CM v2, CITIC, HC2025", _TWO),
        hbm_bytes_per_s=gigabytes_per_s(1600, "CM v2, MS, HC2025 (MS reads 1.6 TiB/s)", _TWO),
        scale_up_bytes_per_s=gigabytes_per_s(196, "7 ports x 28 GB/s; CM v2, MS, HC2025", _TWO),
        scale_out_bytes_per_s=gigabytes_per_s(25, "200 Gbit/s; CM v2, A3", _TWO),
        cube_cores=Figure(24, "core", "CM v2, CM v3", _TWO),
        vector_cores=Figure(48, "core", "CM v2, CM v3", _TWO),
    ),
    num_dies=Figure(2, "die", "CM v2, CM v3", _TWO),
    scale_up_network="UB",
    scale_up_domain_npus=Figure(384, "NPU", "CM v2, CM v3", _TWO),
    tdp_w=watts(700, "twice a 310-350 W 910B; range 620-800, no vendor figure", _ESTIMATE),
    idle_w=watts(168, "seven npu-smi readings in public repositories, 161-179 W", _TWO),
    resident_w=watts(200, "npu-smi, 200-233 W; the lowest, as the others show AI cores at work", _TWO),
    die_to_die_bytes_per_s=gigabytes_per_s(270, "CM v2; The Register", _TWO),
    price_usd=Figure(19_500, "USD", "RMB 142.5 k at 7.3 a dollar; broker note of dzcnc gives RMB 140-145 k", _ESTIMATE),
)
"""Two identical dies; FP16, BF16 and INT8, no native FP8."""

ASCEND_910B = Chip(
    name="ascend-910b",
    title="Ascend 910B",
    die=Die(
        peak=PeakRates(
            bf16=teraflops(
                245.8, "MS, profile of 280 TFLOP/s in FP16; others of the family have 294.9 and 353.9", _ONE
            ),
            fp16=teraflops(280, "MS; pages of servers, others read 256 to 376", _TWO),
            int8=teraflops(560, "MS", _ONE),
        ),
        hbm_bytes=gigabytes(64, "MS and product pages", _TWO),
        hbm_bytes_per_s=gigabytes_per_s(1600, "MS (1.6 TiB/s)", _ONE),
        scale_up_bytes_per_s=gigabytes_per_s(196, "HCCS, 7 links of 28 GB/s to the others of a node; MS", _ONE),
        scale_out_bytes_per_s=gigabytes_per_s(25, "200 Gbit/s; MS", _ONE),
        cube_cores=Figure(20, "core", "HAMi, device configuration of 910B3 and B4", _ONE),
        vector_cores=Figure(40, "core", "two to a cube core, as of the 910C", _ESTIMATE),
    ),
    num_dies=Figure(1, "die", "MS", _ONE),
    scale_up_network="HCCS",
    scale_up_domain_npus=Figure(8, "NPU", "a node; MS", _ONE),
    tdp_w=watts(350, "310-350 W on product pages", _ONE),
    idle_w=watts(93, "npu-smi readings in public repositories", _TWO),
    price_usd=Figure(12_300, "USD", "RMB 90 k at 7.3 a dollar; broker note of dzcnc", _ESTIMATE),
)
"""Of Atlas 800I A2. One die; FP16, BF16 and INT8, no native FP8."""

_PAPER = "CloudMatrix paper, arXiv 2506.12708"

UB_WRITE_SHARE: Final = Figure(
    137 / 196, "1", f"{_PAPER} v2 table 1: a die writes 137 of 196 GB/s to another in its node", Confidence.ONE_SOURCE
)


def _cann_collective(name: str, fixed_s: float, far_row_s: float, scale_bytes: float) -> CollectiveFit:
    rows = f"rows cm_{name}_ep8_latency, cm_{name}_ep32_latency, cm_{name}_ep256_latency"
    return CollectiveFit(
        line_share=UB_WRITE_SHARE,
        fixed_s=fitted(fixed_s, "s", rows),
        far_row_s=fitted(far_row_s, "s", rows),
        far_s=ABSENT_S,
        scale_bytes=Figure(scale_bytes, "B", f"{_PAPER}: a slot of 512 B holds the scale of a row", _TWO),
        counted_bytes=fitted(1.05, "1", "latency x printed bandwidth over payload, all EP rows"),
    )


ASCEND_910C_FIT = ChipFit(
    matrix_efficiency=fitted(0.799, "1", "mean of the six rows cm_gemm_*_util"),
    attention_efficiency=Figure(0.654, "1", f"{_PAPER} v3 tables 7 and 8; row cm_mla_compute_util", _TWO),
    memory_efficiency=Figure(0.841, "1", f"{_PAPER} v3 tables 7 and 8; row cm_mla_memory_util", _TWO),
    vector_efficiency=fitted(0.433, "1", "row cm_prefill_perfect_eplb"),
    saturating_core_share=fitted(16 / 24, "1", "assumed: the attention stream's 16 of 24 AIC fill the memory"),
    request_s=fitted(4.31e-6, "s", "rows cm_layer_mtp_b96, cm_layer_no_mtp_b96, both stages"),
    handling_core_share=fitted(0.2, "1", "rows cm-decode-slo30, decode-microbatch-gain-96"),
    kv_token_s=ABSENT_S,
    block_s=ABSENT_S,
    dense_block_s=ABSENT_S,
    contended_share=fitted(0.26, "1", "rows cm-decode-slo30, cm_decode_b96_tpot, cm_layer_no_mtp_b96"),
    iteration_s=fitted(0.32e-3, "s", "rows cm_decode_b96_tpot, cm_decode_b8_tpot"),
    drafting_s=fitted(0.0, "s", "CM v3: metadata of all graphs is prepared once, sampling is fused into them"),
    cached_moves=fitted(6.1, "1", "low confidence; rows cm_ems_reuse_gain, reuse-90-vs-none, ttft-reuse-50"),
    pass_s=ABSENT_S,
    text_spread=fitted(2.80, "1", "row cm_prefill_default"),
    cached_text_share=ABSENT_SHARE,
    prefill_core_share=fitted(1.0, "1", "exchange runs on SDMA engines, which no matrix product needs"),
    is_staged_prefill=True,
    all_to_all_plane=Plane.UB,
    dispatch=_cann_collective("dispatch", 70.5e-6, 23e-6 / 128, 512),
    combine=_cann_collective("combine", 39.5e-6, 6.5e-6 / 128, 0),
)

ASCEND_910C_RIVALS = {
    "bandwidth follows cores up to 20 of 24": with_values(
        ASCEND_910C_FIT, saturating_core_share=20 / 24, request_s=3.35e-6, iteration_s=0.65e-3, contended_share=0.213
    ),
    "distance costs half a latency": with_values(
        with_far_latency(ASCEND_910C_FIT, 0.5), request_s=3.5e-6, iteration_s=0.1e-3, contended_share=0.265
    ),
    "a part of a request's cost follows its context": with_values(
        ASCEND_910C_FIT, request_s=3.06e-6, kv_token_s=1.5e-6 / 4096, iteration_s=0.42e-3, contended_share=0.25
    ),
    "cores divide all handling, streams do not contend": with_values(
        ASCEND_910C_FIT, handling_core_share=1.0, request_s=2.8e-6, iteration_s=1.7e-3, contended_share=0.0
    ),
    "skew follows texts, cached or not": with_values(ASCEND_910C_FIT, cached_text_share=1.0, cached_moves=7.9),
    "a pass costs time, a cached token does not": with_values(
        ASCEND_910C_FIT, cached_moves=1.0, pass_s=0.4, vector_efficiency=0.869, text_spread=3.65, request_s=4.1e-6
    ),
}

_ON_SGLANG = "rows sgl-a3-r1-2p1d-conc832, sglci-a3-r1-conc32, sgl-a3-r1-lowlat-6000-1600"

ASCEND_910C_ON_SGLANG = replace(
    ASCEND_910C_FIT,
    request_s=fitted(18e-6, "s", _ON_SGLANG),
    block_s=fitted(50e-6, "s", _ON_SGLANG),
    dense_block_s=fitted(50e-6, "s", "as block_s; row sgl-a3-qwen3-32b-bs1 is met within 10 %"),
)
"""Another engine on the same chip: each request takes four times as much."""

SGLANG_ON_910C: Final = Calibration(
    fit=ASCEND_910C_ON_SGLANG,
    one_spread_away=(
        with_values(ASCEND_910C_ON_SGLANG, block_s=70e-6, dense_block_s=70e-6),
        with_values(ASCEND_910C_ON_SGLANG, request_s=22e-6),
    ),
    stage_spread=StageSpread(prefill=0.25, decode=0.08, operator=0.06),
    models=(),
)
"""Decode is told by three rows of one instance; of prefill no row is published that says what a pass has."""

_ROCE_SHARE = Figure(0.7, "1", "MS, which its authors mark as to be confirmed", _ONE)


def _over_roce(collective: CollectiveFit) -> CollectiveFit:
    return replace(
        collective,
        line_share=_ROCE_SHARE,
        fixed_s=fitted(collective.fixed_s.value, "s", f"as Ascend 910C: {NO_MEASUREMENT}"),
        far_row_s=fitted(collective.far_row_s.value, "s", f"as Ascend 910C: {NO_MEASUREMENT}"),
    )


ASCEND_910B_FIT = replace(
    ASCEND_910C_FIT,
    request_s=fitted(ASCEND_910C_FIT.request_s.value, "s", f"as Ascend 910C: {NO_MEASUREMENT}"),
    block_s=fitted(200e-6, "s", "row atlas800ia2-r1-vllm-hybrid"),
    is_staged_prefill=False,
    all_to_all_plane=Plane.RDMA,
    dispatch=_over_roce(ASCEND_910C_FIT.dispatch),
    combine=_over_roce(ASCEND_910C_FIT.combine),
)
"""Under vLLM: what differs from the 910C under CloudMatrix's engine stands in `block_s`."""

ASCEND_910B_RIVALS = {
    "longer iterations, no launches": with_values(ASCEND_910B_FIT, block_s=0.0, iteration_s=24e-3),
}

SHEETS: Final = (
    ChipSheet(
        chip=ASCEND_910B,
        maker="ascend",
        fit=ASCEND_910B_FIT,
        rivals=ASCEND_910B_RIVALS,
        engine="vLLM on Ascend",
        errors=errors(
            (0.40, "no row of a prefill"),
            (0.35, "one row, of an engine that does both stages in one pool, fixes the launches"),
            (0.35, "no row of a collective"),
        ),
        power_fit="h200",
    ),
    ChipSheet(
        chip=ASCEND_910C,
        maker="ascend",
        fit=ASCEND_910C_FIT,
        rivals=ASCEND_910C_RIVALS,
        engine="CloudMatrix-Infer",
        engines={"sglang": SGLANG_ON_910C},
        errors=errors(
            (0.10, "reuse of 90 % is met within 10 %, all else within 5 %"),
            (0.14, "13 of 14 rows, each predicted without those of its table; a batch of 8 is missed by 14 %"),
            (0.08, "largest of 12 rows, op-dispatch-ep16"),
        ),
        power_fit="h200",
    ),
)
"""No rent is published for an Ascend."""
