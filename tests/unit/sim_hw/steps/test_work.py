"""Utilisation, against the model's FLOPs and bytes by hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sim_hw.chips.chip import Precision
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.supernode import Overlap
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B
from sim_hw.operators.operating_point import ExpertBalance
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.work import decode_work, prefill_work

DECODE = replace(default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1), num_npus=16, ep=32, mtp_k=0, overlap=Overlap.NONE)
CHIP = CLOUDMATRIX384.chip


def test_a_decode_step_computes_what_its_rows_need() -> None:
    rows = DECODE.requests_per_rank
    linear = rows * DEEPSEEK_R1.linear_flops_per_token
    gate = rows * 2 * 58 * DEEPSEEK_R1.router_parameters  # BF16
    attention = rows * 61 * 4096 * DEEPSEEK_R1.decode_attention_flops_per_kv_token
    expected_s = (linear - gate) / CHIP.die_flops(Precision.INT8) + (gate + attention) / CHIP.die_flops(Precision.BF16)
    work = decode_work(DECODE, is_split=False)
    assert work.compute_s == pytest.approx(expected_s)
    # Experts that tokens avoid cost the others time, but nobody work.
    perfect = replace(DECODE, eplb=ExpertBalance.PERFECT)
    assert decode_work(perfect, is_split=False) == work


def test_a_split_batch_reads_weights_twice_and_computes_as_much() -> None:
    split_point = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
    whole_point = replace(split_point, overlap=Overlap.NONE)
    split_step = decode_step(split_point)
    assert split_step.is_split
    split, whole = decode_work(split_point, is_split=True), decode_work(whole_point, is_split=False)
    # Attention, one expert and the gate, which is BF16; 58 layers and that of the MTP module.
    layer_bytes = DEEPSEEK_R1.attention_parameters + DEEPSEEK_R1.expert_parameters + 2 * DEEPSEEK_R1.router_parameters
    assert split.memory_s - whole.memory_s == pytest.approx(59 * layer_bytes / CHIP.die.hbm_bytes_per_s.value)
    assert split.compute_s == pytest.approx(whole.compute_s)


def test_a_prefill_pass_of_a_dense_model() -> None:
    point = default_prefill_point(CLOUDMATRIX384, LLAMA_3_1_70B)
    tokens = point.tokens_per_rank
    products = tokens * 2 * (LLAMA_3_1_70B.active_parameters - LLAMA_3_1_70B.embedding_parameters)
    pairs = tokens * (4096 + 1) / 2 * 80 * LLAMA_3_1_70B.prefill_attention_flops_per_pair
    expected_s = products / CHIP.die_flops(Precision.INT8) + pairs / CHIP.die_flops(Precision.BF16)
    assert prefill_work(point).compute_s == pytest.approx(expected_s, rel=1e-3)
