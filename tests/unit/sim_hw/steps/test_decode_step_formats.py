"""Formats of KV and of experts change bytes, time and memory alike; what hardware cannot multiply is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.chips.chip import ExpertWeights, Precision
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H200_CLUSTER
from sim_hw.clusters.supernode import Supernode
from sim_hw.errors import OperatingPointError, PrecisionError
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B
from sim_hw.operators.model_bytes import model_bytes
from sim_hw.operators.operating_point import DecodePoint
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.die_memory import decode_memory, prefill_memory
from sim_hw.steps.predict import predict_prefill


def served_in(cluster: Supernode, **formats: Any) -> Supernode:
    return replace(cluster, defaults=replace(cluster.defaults, **formats))


def decode_in(cluster: Supernode, **formats: Any) -> DecodePoint:
    return default_decode_point(served_in(cluster, **formats), DEEPSEEK_R1)


EIGHT_BITS = ((CLOUDMATRIX384, Precision.INT8), (H200_CLUSTER, Precision.FP8), (GB200_NVL72, Precision.FP8))


@given(st.sampled_from(EIGHT_BITS), st.integers(1, 300), st.integers(1, 65_536))
def test_kv_of_half_the_bytes_takes_half_the_room_and_no_more_time(
    on: tuple[Supernode, Precision], batch: int, context: int
) -> None:
    cluster, eight = on
    whole, half = (
        replace(decode_in(cluster, kv_precision=kv), batch_per_npu=batch, context_tokens=context)
        for kv in (Precision.BF16, eight)
    )
    assert decode_memory(half).parts_bytes["kv"] == decode_memory(whole).parts_bytes["kv"] / 2
    assert decode_step(half).step.seconds <= decode_step(whole).step.seconds


@given(st.sampled_from(EIGHT_BITS), st.integers(1, 300))
def test_experts_of_four_bits_are_read_in_half_the_time(on: tuple[Supernode, Precision], batch: int) -> None:
    whole, half = (
        replace(decode_in(on[0], expert_weights=weights), batch_per_npu=batch) for weights in (None, ExpertWeights.W4A8)
    )
    assert decode_step(half).step.seconds <= decode_step(whole).step.seconds
    memory, other = decode_memory(half).parts_bytes, decode_memory(whole).parts_bytes
    assert 0.5 < memory["weights_experts"] / other["weights_experts"] < 0.54  # the gate keeps its size
    assert memory["weights_attention"] == other["weights_attention"]


def test_nvfp4_multiplies_experts_in_fp4_and_counts_its_scales() -> None:
    prefill = default_prefill_point(GB200_NVL72, DEEPSEEK_R1)
    four = default_prefill_point(served_in(GB200_NVL72, expert_weights=ExpertWeights.NVFP4), DEEPSEEK_R1)
    assert predict_prefill(four).operators_s["experts"] < 0.55 * predict_prefill(prefill).operators_s["experts"]
    sizes = [prefill_memory(point).parts_bytes["weights_experts"] for point in (four, prefill)]
    assert sizes[0] / sizes[1] == pytest.approx(0.5625, rel=2e-3)


def test_a_model_is_loaded_in_the_formats_that_it_is_kept_in() -> None:
    defaults = CLOUDMATRIX384.defaults
    whole = model_bytes(DEEPSEEK_R1, defaults, has_mtp=False)
    assert whole == DEEPSEEK_R1.total_parameters
    four = model_bytes(DEEPSEEK_R1, replace(defaults, expert_weights=ExpertWeights.W4A8), has_mtp=True)
    assert 0.52 < four / model_bytes(DEEPSEEK_R1, defaults, has_mtp=True) < 0.54


@pytest.mark.parametrize(
    ("cluster", "formats", "problem"),
    [
        (
            CLOUDMATRIX384,
            {"expert_weights": ExpertWeights.NVFP4},
            "experts in nvfp4 are multiplied in fp4, ascend-910c has bf16, fp16, int8: give --expert-weights w4a8",
        ),
        (
            H200_CLUSTER,
            {"expert_weights": ExpertWeights.W4A8, "precision": Precision.BF16},
            "experts in w4a8 are multiplied in 8 bits, not in bf16: give --precision int8 or fp8",
        ),
        (H200_CLUSTER, {"kv_precision": Precision.FP4}, "KV in fp4: give --kv-precision bf16, int8, fp8"),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused(
    cluster: Supernode, formats: dict[str, Any], problem: str
) -> None:
    with pytest.raises(OperatingPointError) as caught:
        decode_in(cluster, **formats).check()
    assert problem in str(caught.value)


def test_what_the_chip_does_not_multiply_is_refused_with_what_it_does() -> None:
    with pytest.raises(PrecisionError, match="ascend-910c has no native fp8; it has bf16, fp16, int8"):
        decode_in(CLOUDMATRIX384, kv_precision=Precision.FP8).check()
    dense = default_decode_point(served_in(H200_CLUSTER, expert_weights=ExpertWeights.W4A8), LLAMA_3_1_70B)
    with pytest.raises(OperatingPointError, match=r"llama-3\.1-70b has none: leave --expert-weights out"):
        dense.check()
