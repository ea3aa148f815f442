"""The NVIDIA GPUs. Figures are per die (rank) inside `Die`, per package outside it.

Bandwidths are one direction, FLOP/s are dense; abbreviated sources stand in `sim_hw.sources`. A chip without a
published row takes the numbers of its nearest relative, which is the weakest kind of assumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sim_hw.chips.chip import Chip, Die, PeakRates
from sim_hw.chips.fit import (
    PowerFit,
    errors,
    fitted,
)
from sim_hw.chips.nvidia_fits import (
    B200_FIT,
    B200_RIVALS,
    GB200_FIT,
    GB200_RIVALS,
    H20_FIT,
    H20_RIVALS,
    H100_FIT,
    H100_RIVALS,
    H800_FIT,
    H800_RIVALS,
    SGLANG_OF_PART_1,
)
from sim_hw.chips.sheet import ChipSheet
from sim_hw.figure import Confidence, Figure, gigabytes, gigabytes_per_s, teraflops, watts

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
        hbm_bytes=Figure(183_359 * 2**20, "B", "SMI, 183,359 MiB; sold as 180 GB", _TWO),
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
        hbm_bytes=Figure(189_471 * 2**20, "B", "SMI, 189,471 MiB; sold as 186 GB", _TWO),
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


_NO_ROW = "no row of this chip; such chips came out up to 39 % too fast, assumed"


def _power_fit(chip: str, floor_share: float, flop_coefficient: float, hbm_coefficient: float) -> PowerFit:
    source = f"fit on 9-10 thousand BF16 products of {chip}, ai-dynamo/aiconfigurator"
    numbers = (floor_share, flop_coefficient, hbm_coefficient)
    return PowerFit(*(fitted(number, "1", source) for number in numbers))


def _rents(hyperscaler: float, neocloud: float, three_years: float) -> Mapping[str, Figure]:
    source = "SemiAnalysisAI/InferenceX-app, constants"
    rents = {"hyperscaler": hyperscaler, "neocloud": neocloud, "three-years": three_years}
    return {name: Figure(rent, "USD/h", source, _ONE) for name, rent in rents.items()}


SHEETS: Final = (
    ChipSheet(
        chip=H20,
        maker=MAKER,
        fit=H20_FIT,
        rivals=H20_RIVALS,
        engine="SGLang",
        errors=errors(
            (0.25, "row h20-r1-prefill-tp8: 14 %, and one row, whose tokens of a pass are not told, tells little"),
            (0.20, "rows h20-r1-decode-b32, h20-r1-decode-b1: 1 and 5 %, which fixed two numbers"),
            (0.20, _NO_ROW),
        ),
        power_fit="h200",
    ),
    ChipSheet(
        chip=H100,
        maker=MAKER,
        fit=H100_FIT,
        rivals=H100_RIVALS,
        engine="SGLang",
        errors=errors(
            (0.10, "rows h100-sglang-prefill-default, h100-sglang-prefill-perfect: 7 and 6 %"),
            (0.15, "two gains by two batches and two rates, of speculation whose acceptance is not told: up to 5 %"),
            (0.10, "H800 with a faster NVLink"),
        ),
        power_fit="h200",
        rents=_rents(1.30, 1.69, 1.30),
    ),
    ChipSheet(
        chip=H200,
        maker=MAKER,
        fit="h100",
        errors=errors((0.20, _NO_ROW), (0.20, "row h200-v3-64k-nomtp: 7 %, and one row tells little"), (0.10, _NO_ROW)),
        power_fit=_power_fit("H200", 0.31, 1.4, 0.75),
        rents=_rents(1.41, 1.74, 1.60),
    ),
    ChipSheet(
        chip=H800,
        maker=MAKER,
        fit=H800_FIT,
        rivals=H800_RIVALS,
        engine="DeepSeek's own",
        errors=errors(
            (0.10, "H100 with these numbers misses two blind rows by 6 and 7 %"),
            (0.10, "its two decode rows contradict each other by 10 %"),
            (0.03, "largest of 6 rows: 2 %"),
        ),
        power_fit="h200",
        rents={"deepseek": Figure(2.0, "USD/h", "assumed by deepseek-ai/open-infra-index", _ONE)},
    ),
    ChipSheet(
        chip=B200,
        maker=MAKER,
        fit=B200_FIT,
        rivals=B200_RIVALS,
        engine="TensorRT-LLM",
        errors=errors(
            (0.35, _NO_ROW),
            (0.35, "two rows of both stages in one pool, which fixed one number: 2 and 5 %"),
            (0.35, _NO_ROW),
        ),
        power_fit=_power_fit("B200", 0.41, 1.7, 0.50),
        rents=_rents(1.95, 2.34, 2.90),
    ),
    ChipSheet(
        chip=GB200,
        maker=MAKER,
        fit=GB200_FIT,
        rivals=GB200_RIVALS,
        engine="SGLang",
        engines={"sglang-part-1": SGLANG_OF_PART_1},
        errors=errors(
            (0.35, _NO_ROW),
            (0.28, "four rows, each predicted without those of its table: 6 to 28 %"),
            (0.35, _NO_ROW),
        ),
        power_fit=_power_fit("GB200", 0.30, 1.6, 0.35),
        decode_draw=Figure(
            0.83, "1", "draw that memory bounds is that of B200, TDP is 1,200 instead of 1,000 W", _ESTIMATE
        ),
        rents=_rents(2.21, 2.75, 3.30),
    ),
    ChipSheet(
        chip=GB300,
        maker=MAKER,
        fit="gb200",
        errors=errors((0.35, _NO_ROW), (0.35, _NO_ROW), (0.35, _NO_ROW)),
        power_fit="gb200",
        rents=_rents(2.65, 3.30, 3.96),
    ),
)
