"""The chips, as data: one entry each. Figures are per die (rank) inside `Die`, per package outside it.

Bandwidths are one direction, FLOP/s are dense; abbreviated sources stand in `sources`.
"""

from __future__ import annotations

from sim_hw.figure import Confidence, Figure
from sim_hw.hardware.chip import Chip, Die, PeakRates

_TWO = Confidence.TWO_SOURCES
_ONE = Confidence.ONE_SOURCE
_ESTIMATE = Confidence.ESTIMATE

_AIC_IX = "AIC, IX"


def _flops(teraflops: float, source: str = _AIC_IX, confidence: Confidence = _TWO) -> Figure:
    return Figure(teraflops * 1e12, "FLOP/s", source, confidence)


def _bytes(gigabytes: float, source: str = _AIC_IX, confidence: Confidence = _TWO) -> Figure:
    return Figure(gigabytes * 1e9, "B", source, confidence)


def _rate(gigabytes_per_s: float, source: str = _AIC_IX, confidence: Confidence = _TWO) -> Figure:
    return Figure(gigabytes_per_s * 1e9, "B/s", source, confidence)


def _watts(watts: float, source: str, confidence: Confidence) -> Figure:
    return Figure(watts, "W", source, confidence)


def _multiprocessors(count: int, source: str) -> Figure:
    return Figure(count, "SM", source, _ONE)


def _domain(num_npus: int, source: str = _AIC_IX, confidence: Confidence = _TWO) -> Figure:
    return Figure(num_npus, "NPU", source, confidence)


_ONE_DIE = Figure(1, "die", "a GPU is one rank, whatever it is made of", _TWO)
_HOPPER_SM = "NVIDIA H100 architecture white paper, SXM5"
_BLACKWELL_SM = "NVIDIA CUDA device properties of B200"

ASCEND_910C = Chip(
    name="ascend-910c",
    title="Ascend 910C",
    die=Die(
        peak=PeakRates(
            bf16=_flops(353.9, "MS; the peak implied by arXiv 2509.25224 agrees"),
            fp16=_flops(376, "MS, CITIC"),
            int8=_flops(752, "MS; implied by the tok/s-per-TOPS column of CM v2 and v3"),
        ),
        hbm_bytes=_bytes(64, "CM v2, CITIC, HC2025"),
        hbm_bytes_per_s=_rate(1600, "CM v2, MS, HC2025 (MS reads 1.6 TiB/s)"),
        scale_up_bytes_per_s=_rate(196, "7 ports x 28 GB/s; CM v2, MS, HC2025"),
        scale_out_bytes_per_s=_rate(25, "200 Gbit/s; CM v2, A3"),
        cube_cores=Figure(24, "core", "CM v2, CM v3", _TWO),
        vector_cores=Figure(48, "core", "CM v2, CM v3", _TWO),
    ),
    num_dies=Figure(2, "die", "CM v2, CM v3", _TWO),
    scale_up_network="UB",
    scale_up_domain_npus=_domain(384, "CM v2, CM v3"),
    tdp_w=_watts(700, "twice a 310-350 W 910B; range 620-800, no vendor figure", _ESTIMATE),
    idle_w=_watts(168, "seven npu-smi readings in public repositories, 161-179 W", _TWO),
    resident_w=_watts(200, "npu-smi, 200-233 W; the lowest, as the others show AI cores at work", _TWO),
    die_to_die_bytes_per_s=_rate(270, "CM v2; The Register"),
    price_usd=Figure(19_500, "USD", "RMB 142.5 k at 7.3 a dollar; broker note of dzcnc gives RMB 140-145 k", _ESTIMATE),
)
"""Two identical dies; FP16, BF16 and INT8, no native FP8."""

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
    tdp_w=_watts(700, _AIC_IX, _TWO),
    idle_w=_watts(70, "SMI, five readings of 67-71 W", _TWO),
    resident_w=_watts(145, "SMI, one reading", _ONE),
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
    tdp_w=_watts(700, "as H100", _ESTIMATE),
    idle_w=_watts(70, "as H100", _ESTIMATE),
    resident_w=_watts(145, "as H100", _ESTIMATE),
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
    tdp_w=_watts(400, "trade pages; nvidia-smi shows a limit of 500 W", _ONE),
    idle_w=_watts(72, "SMI, one reading", _ONE),
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
    tdp_w=_watts(700, _AIC_IX, _TWO),
    idle_w=_watts(75, "SMI, readings of 73-80 W", _TWO),
    resident_w=_watts(122, "SMI, one reading", _ONE),
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
    tdp_w=_watts(1000, _AIC_IX, _TWO),
    idle_w=_watts(140, "SMI, readings of 136-144 W", _TWO),
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
    tdp_w=_watts(1200, "AIC, SA", _TWO),
    idle_w=_watts(140, "as B200; no real reading found", _ESTIMATE),
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
    tdp_w=_watts(1400, _AIC_IX, _TWO),
    idle_w=_watts(234, "SMI, one reading", _ONE),
)

CHIPS: tuple[Chip, ...] = (ASCEND_910C, H20, H100, H200, H800, B200, GB200, GB300)
"""Everything that `--cluster` files may name. The Ascend 910B is missing: its links are published nowhere found."""
