"""What was fitted on NVIDIA's chips: H800 under DeepSeek's own engine, Hopper and Blackwell under SGLang."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from sim_hw.chips.ascend import ASCEND_910C_FIT, UB_WRITE_SHARE
from sim_hw.chips.calibration import Calibration, StageSpread
from sim_hw.chips.fit import (
    ABSENT_S,
    ABSENT_SHARE,
    NO_MEASUREMENT,
    ChipFit,
    CollectiveFit,
    fitted,
    with_values,
)
from sim_hw.figure import Confidence, Figure
from sim_hw.planes import Plane

_TWO = Confidence.TWO_SOURCES
_ONE = Confidence.ONE_SOURCE
_PAPER = "CloudMatrix paper, arXiv 2506.12708"


def _deepep_collective(name: str, fixed_s: float, far_row_s: float, scale_bytes: float) -> CollectiveFit:
    rows = f"rows h800_{name}_ep8_latency, h800_{name}_ep32_latency, h800_{name}_ep256_latency"
    return CollectiveFit(
        line_share=fitted(1.0, "1", "assumed: what is lost on the line is in the fitted numbers"),
        fixed_s=fitted(fixed_s, "s", rows),
        far_row_s=fitted(far_row_s, "s", rows),
        far_s=ABSENT_S,
        scale_bytes=Figure(scale_bytes, "B", "FP8 with a 4-byte scale for each 128 values", Confidence.MODEL_CARD),
        counted_bytes=fitted(1.0, "1", "latency x printed bandwidth over payload, all EP rows"),
    )


H800_FIT = ChipFit(
    matrix_efficiency=fitted(ASCEND_910C_FIT.matrix_efficiency.value, "1", f"as Ascend 910C: {NO_MEASUREMENT}"),
    attention_efficiency=Figure(0.667, "1", f"{_PAPER} v3 tables 7 and 8; row h800_mla_compute_util", _TWO),
    memory_efficiency=Figure(0.896, "1", f"{_PAPER} v3 tables 7 and 8; row h800_mla_memory_util", _TWO),
    vector_efficiency=fitted(0.454, "1", "row h800_prefill_profile"),
    saturating_core_share=fitted(1.0, "1", "assumed; streams are not given cores on GPUs"),
    request_s=fitted(1.319e-6, "s", "row h800_decode_profile_tput"),
    handling_core_share=fitted(1.0, "1", "assumed; streams are not given cores on GPUs"),
    kv_token_s=ABSENT_S,
    block_s=ABSENT_S,
    dense_block_s=ABSENT_S,
    contended_share=fitted(0.0, "1", "streams are not given cores on GPUs"),
    iteration_s=fitted(0.9e-3, "s", "assumed: launching a graph takes 0.6 to 0.8 ms on Ascend"),
    drafting_s=ABSENT_S,
    cached_moves=fitted(ASCEND_910C_FIT.cached_moves.value, "1", f"as Ascend 910C: {NO_MEASUREMENT}"),
    pass_s=ABSENT_S,
    text_spread=fitted(ASCEND_910C_FIT.text_spread.value, "1", f"as Ascend 910C: {NO_MEASUREMENT}"),
    cached_text_share=ABSENT_SHARE,
    prefill_core_share=Figure(108 / 132, "1", f"{_PAPER} v3: 108 + 24 multiprocessors", Confidence.ONE_SOURCE),
    is_staged_prefill=False,
    all_to_all_plane=Plane.RDMA,
    dispatch=_deepep_collective("dispatch", 30.5e-6, 10e-6 / 128, 224),
    combine=_deepep_collective("combine", 61e-6, 6.5e-6 / 128, 0),
)

H800_RIVALS = {
    "decode fitted on the TPOT": with_values(H800_FIT, request_s=0.9045e-6),
    "slower products, faster vectors": with_values(
        H800_FIT, matrix_efficiency=0.65, vector_efficiency=0.592, request_s=1.343e-6
    ),
    "short launches": with_values(H800_FIT, request_s=1.37e-6, iteration_s=0.3e-3),
}


_ON_SGLANG = "rows h20-r1-decode-b32, h20-r1-decode-b1, h200-v3-64k-nomtp"

H100_FIT = replace(
    H800_FIT,
    block_s=fitted(100e-6, "s", _ON_SGLANG),
    drafting_s=Figure(
        6.1e-3, "s", "TPOT of row h200-v3-64k-nomtp without and with overlap of the host's scheduling", _ONE
    ),
)
"""Hopper under SGLang; H800's numbers are of DeepSeek's own engine, whose launches no row shows."""

H100_RIVALS = {
    "shorter launches, longer handling": with_values(H100_FIT, block_s=75e-6, request_s=2.2e-6),
    "longer launches, shorter handling": with_values(H100_FIT, block_s=120e-6, request_s=0.7e-6),
    "slower products, faster vectors": with_values(H100_FIT, matrix_efficiency=0.65, vector_efficiency=0.592),
}


H20_FIT = replace(
    H100_FIT,
    matrix_efficiency=fitted(
        0.95,
        "1",
        "row h20-r1-prefill-tp8; with a seventh of an H100's arithmetic beside more bandwidth, products wait less",
    ),
    drafting_s=fitted(9e-3, "s", "row h20-r1-decode-b1; 6.1 ms of H200 leave it 13 % too fast"),
)

H20_RIVALS = {
    "products as those of H100": with_values(H20_FIT, matrix_efficiency=H100_FIT.matrix_efficiency.value),
    "shorter launches, longer handling": with_values(H20_FIT, block_s=75e-6, request_s=2.2e-6),
    "longer launches, shorter handling": with_values(H20_FIT, block_s=120e-6, request_s=0.7e-6),
}


def _over_nvlink(collective: CollectiveFit) -> CollectiveFit:
    return replace(
        collective,
        line_share=fitted(UB_WRITE_SHARE.value, "1", f"as Ascend 910C: {NO_MEASUREMENT}"),
        fixed_s=fitted(collective.fixed_s.value, "s", f"as H800: {NO_MEASUREMENT}"),
        far_row_s=fitted(0.0, "s", "assumed: one NVLink domain"),
    )


GB200_FIT = replace(
    H100_FIT,
    vector_efficiency=fitted(H800_FIT.vector_efficiency.value, "1", f"as H800: {NO_MEASUREMENT}"),
    request_s=fitted(0.35e-6, "s", "rows gb200-part2-fp8-decode, gb200-part2-nvfp4-decode"),
    block_s=fitted(50e-6, "s", "rows gb200-part2-fp8-decode, gb200-part2-nvfp4-decode; 20 to 80 us meet them as well"),
    drafting_s=fitted(H100_FIT.drafting_s.value, "s", f"as H100: {NO_MEASUREMENT}"),
    prefill_core_share=fitted(1.0, "1", "assumed: no two micro-batches in the published software"),
    all_to_all_plane=Plane.UB,
    dispatch=_over_nvlink(H800_FIT.dispatch),
    combine=_over_nvlink(H800_FIT.combine),
)

GB200_RIVALS = {
    "slower products": with_values(GB200_FIT, matrix_efficiency=0.5, request_s=0.25e-6),
    "short launches": with_values(GB200_FIT, block_s=20e-6, request_s=0.37e-6),
    "long launches": with_values(GB200_FIT, block_s=100e-6, request_s=0.25e-6),
    # No longer: one request on eight B200 was published at 274 tok/s with drafts, so in steps of some 10 ms.
    "long iterations": with_values(GB200_FIT, request_s=0.27e-6, iteration_s=5e-3),
}

B200_FIT = replace(
    GB200_FIT,
    request_s=fitted(0.9e-6, "s", "rows trt-r1-b200-conc3072, trt-r1-b200-conc7168, of both stages in one pool"),
)
"""Under TensorRT-LLM, in nodes of eight; all else is GB200's."""

B200_RIVALS = {
    "slower products": with_values(B200_FIT, matrix_efficiency=0.5, request_s=0.8e-6),
    "short launches": with_values(B200_FIT, block_s=20e-6, request_s=0.92e-6),
    "long launches": with_values(B200_FIT, block_s=100e-6, request_s=0.87e-6),
}

GB200_OF_PART_1 = replace(GB200_FIT, request_s=fitted(0.6429e-6, "s", "row gb200_decode_sglang_part1"))
"""The engine of some months before: a request takes twice as long."""

SGLANG_OF_PART_1: Final = Calibration(
    fit=GB200_OF_PART_1,
    one_spread_away=(
        with_values(GB200_OF_PART_1, matrix_efficiency=0.5, request_s=0.5136e-6),
        with_values(GB200_OF_PART_1, block_s=100e-6, request_s=0.5739e-6),
    ),
    stage_spread=StageSpread(prefill=0.18, decode=0.08, operator=0.18),
    models=(),
)
"""Its row is the rate of a saturated pool, at the largest batch that fits."""
