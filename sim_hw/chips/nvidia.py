"""The NVIDIA GPUs. Figures are per die (rank) inside `Die`, per package outside it.

Bandwidths are one direction, FLOP/s are dense; abbreviated sources stand in `sim_hw.sources`. A chip without a
published row takes the numbers of its nearest relative, which is the weakest kind of assumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from sim_hw.chips.ascend import ASCEND_910C_FIT, UB_WRITE_SHARE
from sim_hw.chips.chip import Chip, Die, PeakRates
from sim_hw.chips.fit import (
    ABSENT_S,
    ABSENT_SHARE,
    NO_MEASUREMENT,
    ChipFit,
    CollectiveFit,
    PowerFit,
    fitted,
    with_values,
)
from sim_hw.chips.sheet import ChipSheet
from sim_hw.figure import Confidence, Figure, gigabytes, gigabytes_per_s, teraflops, watts
from sim_hw.planes import Plane

MAKER: Final = "nvidia"

_TWO = Confidence.TWO_SOURCES
_ONE = Confidence.ONE_SOURCE
_ESTIMATE = Confidence.ESTIMATE

_AIC_IX = "AIC, IX"
_PAPER = "CloudMatrix paper, arXiv 2506.12708"


def _flops(value: float, source: str = _AIC_IX, confidence: Confidence = _TWO) -> Figure:
    return teraflops(value, source, confidence)


def _bytes(value: float, source: str = _AIC_IX, confidence: Confidence = _TWO) -> Figure:
    return gigabytes(value, source, confidence)


def _rate(value: float, source: str = _AIC_IX, confidence: Confidence = _TWO) -> Figure:
    return gigabytes_per_s(value, source, confidence)


def _multiprocessors(count: int, source: str) -> Figure:
    return Figure(count, "SM", source, _ONE)


def _domain(num_npus: int, source: str = _AIC_IX, confidence: Confidence = _TWO) -> Figure:
    return Figure(num_npus, "NPU", source, confidence)


_ONE_DIE = Figure(1, "die", "a GPU is one rank, whatever it is made of", _TWO)
_HOPPER_SM = "NVIDIA H100 architecture white paper, SXM5"
_BLACKWELL_SM = "NVIDIA CUDA device properties of B200"

H100 = Chip(
    name="h100",
    title="NVIDIA H100 SXM",
    die=Die(
        peak=PeakRates(bf16=_flops(989), int8=_flops(1978, "IX", _ONE), fp8=_flops(1979)),
        hbm_bytes=_bytes(80),
        hbm_bytes_per_s=_rate(3350),
        scale_up_bytes_per_s=_rate(450),
        scale_out_bytes_per_s=_rate(50),
        streaming_multiprocessors=_multiprocessors(132, _HOPPER_SM),
    ),
    num_dies=_ONE_DIE,
    scale_up_network="NVLink",
    scale_up_domain_npus=_domain(8),
    tdp_w=watts(700, _AIC_IX, _TWO),
    idle_w=watts(70, "SMI, five readings of 67-71 W", _TWO),
    resident_w=watts(145, "SMI, one reading", _ONE),
    price_usd=Figure(27_500, "USD", "fetchlogic and others, 25-30 k", _TWO),
)

H800 = Chip(
    name="h800",
    title="NVIDIA H800 SXM",
    die=Die(
        peak=PeakRates(bf16=_flops(989, "IS, CM"), int8=_flops(1979, "IS", _ONE), fp8=_flops(1979, "IS, CM")),
        hbm_bytes=_bytes(80, "IS", _ONE),
        hbm_bytes_per_s=_rate(3350, "IS; CM v2 table 9"),
        scale_up_bytes_per_s=_rate(200, "IS", _ONE),
        scale_out_bytes_per_s=_rate(50, "IS", _ONE),
        streaming_multiprocessors=_multiprocessors(132, "CM v3: 108 + 24 in prefill, 132 in decode"),
    ),
    num_dies=_ONE_DIE,
    scale_up_network="NVLink",
    scale_up_domain_npus=_domain(8, "IS", _ONE),
    tdp_w=watts(700, "as H100", _ESTIMATE),
    idle_w=watts(70, "as H100", _ESTIMATE),
    resident_w=watts(145, "as H100", _ESTIMATE),
)
"""An H100 with a slower NVLink."""

H20 = Chip(
    name="h20",
    title="NVIDIA H20",
    die=Die(
        peak=PeakRates(
            bf16=_flops(148, "IS, willitrunai"), int8=_flops(296, "IS", _ONE), fp8=_flops(296, "IS, willitrunai")
        ),
        hbm_bytes=_bytes(96, "IS, willitrunai"),
        hbm_bytes_per_s=_rate(4000, "IS, willitrunai"),
        scale_up_bytes_per_s=_rate(450, "IS, willitrunai"),
        scale_out_bytes_per_s=_rate(50, "IS", _ONE),
    ),
    num_dies=_ONE_DIE,
    scale_up_network="NVLink",
    scale_up_domain_npus=_domain(8, "IS, willitrunai"),
    tdp_w=watts(400, "trade pages; nvidia-smi shows a limit of 500 W", _ONE),
    idle_w=watts(72, "SMI, one reading", _ONE),
)

H200 = Chip(
    name="h200",
    title="NVIDIA H200 SXM",
    die=Die(
        peak=PeakRates(bf16=_flops(989), int8=_flops(1978, "IX", _ONE), fp8=_flops(1979)),
        hbm_bytes=_bytes(141),
        hbm_bytes_per_s=_rate(4800),
        scale_up_bytes_per_s=_rate(450),
        scale_out_bytes_per_s=_rate(50, "not published with the chip; one 400 Gbit/s adapter as H100", _ESTIMATE),
        streaming_multiprocessors=_multiprocessors(132, _HOPPER_SM),
    ),
    num_dies=_ONE_DIE,
    scale_up_network="NVLink",
    scale_up_domain_npus=_domain(8),
    tdp_w=watts(700, _AIC_IX, _TWO),
    idle_w=watts(75, "SMI, readings of 73-80 W", _TWO),
    resident_w=watts(122, "SMI, one reading", _ONE),
)

B200 = Chip(
    name="b200",
    title="NVIDIA B200 SXM",
    die=Die(
        peak=PeakRates(bf16=_flops(2250), int8=_flops(4500, "IX", _ONE), fp8=_flops(4500), fp4=_flops(9000)),
        hbm_bytes=_bytes(180),
        hbm_bytes_per_s=_rate(8000, "AIC, IX (AIC measures with 7.7 TB/s)"),
        scale_up_bytes_per_s=_rate(900),
        scale_out_bytes_per_s=_rate(50, "AIC", _ONE),
        streaming_multiprocessors=_multiprocessors(148, _BLACKWELL_SM),
    ),
    num_dies=_ONE_DIE,
    scale_up_network="NVLink",
    scale_up_domain_npus=_domain(8),
    tdp_w=watts(1000, _AIC_IX, _TWO),
    idle_w=watts(140, "SMI, readings of 136-144 W", _TWO),
    price_usd=Figure(40_000, "USD", "aiinframap", _ONE),
)

GB200 = Chip(
    name="gb200",
    title="NVIDIA GB200",
    die=Die(
        peak=PeakRates(bf16=_flops(2500), int8=_flops(5000, "IX", _ONE), fp8=_flops(5000), fp4=_flops(10_000)),
        hbm_bytes=_bytes(186, "FiberMall, winbuzzer; what is usable of 192 GB"),
        hbm_bytes_per_s=_rate(8000),
        scale_up_bytes_per_s=_rate(900),
        scale_out_bytes_per_s=_rate(50, "CX-7; the ratio printed by SA", _ONE),
        streaming_multiprocessors=_multiprocessors(148, f"{_BLACKWELL_SM}; same die"),
    ),
    num_dies=_ONE_DIE,
    scale_up_network="NVLink",
    scale_up_domain_npus=_domain(72),
    tdp_w=watts(1200, "AIC, SA", _TWO),
    idle_w=watts(140, "as B200; no real reading found", _ESTIMATE),
)
"""One GPU of a GB200 superchip, which has two and one Grace CPU."""

GB300 = Chip(
    name="gb300",
    title="NVIDIA GB300",
    die=Die(
        peak=PeakRates(bf16=_flops(2500), int8=_flops(165, "IX", _ONE), fp8=_flops(5000), fp4=_flops(15_000)),
        hbm_bytes=_bytes(278, "AIC, IX; what is usable of 288 GB"),
        hbm_bytes_per_s=_rate(8000),
        scale_up_bytes_per_s=_rate(900),
        scale_out_bytes_per_s=_rate(100, "AIC", _ONE),
    ),
    num_dies=_ONE_DIE,
    scale_up_network="NVLink",
    scale_up_domain_npus=_domain(72),
    tdp_w=watts(1400, _AIC_IX, _TWO),
    idle_w=watts(234, "SMI, one reading", _ONE),
)


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
    request_s=fitted(2.225e-6, "s", "row h800_decode_profile_tput"),
    kv_token_s=ABSENT_S,
    iteration_s=fitted(ASCEND_910C_FIT.iteration_s.value, "s", f"as Ascend 910C: {NO_MEASUREMENT}"),
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
    "decode fitted on the TPOT": with_values(H800_FIT, request_s=1.81e-6),
    "slower products, faster vectors": with_values(
        H800_FIT, matrix_efficiency=0.65, vector_efficiency=0.592, request_s=2.25e-6
    ),
    "short launches": with_values(H800_FIT, request_s=2.28e-6, iteration_s=0.3e-3),
}


def _over_nvlink(collective: CollectiveFit) -> CollectiveFit:
    return replace(
        collective,
        line_share=fitted(UB_WRITE_SHARE.value, "1", f"as Ascend 910C: {NO_MEASUREMENT}"),
        fixed_s=fitted(collective.fixed_s.value, "s", f"as H800: {NO_MEASUREMENT}"),
        far_row_s=fitted(0.0, "s", "assumed: one NVLink domain"),
    )


GB200_FIT = replace(
    H800_FIT,
    vector_efficiency=fitted(H800_FIT.vector_efficiency.value, "1", f"as H800: {NO_MEASUREMENT}"),
    request_s=fitted(0.706e-6, "s", "row gb200_decode_sglang_part1"),
    prefill_core_share=fitted(1.0, "1", "assumed: no two micro-batches in the published software"),
    all_to_all_plane=Plane.UB,
    dispatch=_over_nvlink(H800_FIT.dispatch),
    combine=_over_nvlink(H800_FIT.combine),
)

GB200_RIVALS = {
    "slower products": with_values(GB200_FIT, matrix_efficiency=0.5, request_s=0.577e-6),
    "short launches": with_values(GB200_FIT, request_s=0.713e-6, iteration_s=0.3e-3),
    "long launches": with_values(GB200_FIT, request_s=0.471e-6, iteration_s=20e-3),
}


def _power_fit(chip: str, floor_share: float, flop_coefficient: float, hbm_coefficient: float) -> PowerFit:
    source = f"fit on 9-10 thousand BF16 products of {chip}, ai-dynamo/aiconfigurator"
    numbers = (floor_share, flop_coefficient, hbm_coefficient)
    return PowerFit(*(fitted(number, "1", source) for number in numbers))


def _rents(hyperscaler: float, neocloud: float, three_years: float) -> Mapping[str, Figure]:
    source = "SemiAnalysisAI/InferenceX-app, constants"
    rents = {"hyperscaler": hyperscaler, "neocloud": neocloud, "three-years": three_years}
    return {name: Figure(rent, "USD/h", source, _ONE) for name, rent in rents.items()}


SHEETS: Final = (
    ChipSheet(chip=H20, maker=MAKER, fit="h800", power_fit="h200"),
    ChipSheet(chip=H100, maker=MAKER, fit="h800", power_fit="h200", rents=_rents(1.30, 1.69, 1.30)),
    ChipSheet(
        chip=H200,
        maker=MAKER,
        fit="h800",
        power_fit=_power_fit("H200", 0.31, 1.4, 0.75),
        rents=_rents(1.41, 1.74, 1.60),
    ),
    ChipSheet(
        chip=H800,
        maker=MAKER,
        fit=H800_FIT,
        rivals=H800_RIVALS,
        power_fit="h200",
        rents={"deepseek": Figure(2.0, "USD/h", "assumed by deepseek-ai/open-infra-index", _ONE)},
    ),
    ChipSheet(
        chip=B200,
        maker=MAKER,
        fit="gb200",
        power_fit=_power_fit("B200", 0.41, 1.7, 0.50),
        rents=_rents(1.95, 2.34, 2.90),
    ),
    ChipSheet(
        chip=GB200,
        maker=MAKER,
        fit=GB200_FIT,
        rivals=GB200_RIVALS,
        power_fit=_power_fit("GB200", 0.30, 1.6, 0.35),
        decode_draw=Figure(
            0.83, "1", "draw that memory bounds is that of B200, TDP is 1,200 instead of 1,000 W", _ESTIMATE
        ),
        rents=_rents(2.21, 2.75, 3.30),
    ),
    ChipSheet(chip=GB300, maker=MAKER, fit="gb200", power_fit="gb200", rents=_rents(2.65, 3.30, 3.96)),
)
