"""The shape of DeepSeek-R1: its parts add up to the published sizes."""

from __future__ import annotations

import pytest

from sim_hw.model_shape import DEEPSEEK_R1


def test_parameters_add_to_the_published_totals() -> None:
    assert DEEPSEEK_R1.total_parameters == pytest.approx(671e9, rel=1e-3)
    assert DEEPSEEK_R1.active_parameters == pytest.approx(37e9, rel=0.015)
    assert DEEPSEEK_R1.mtp_parameters == pytest.approx(11.6e9, rel=0.005)


def test_parts_have_their_published_sizes() -> None:
    assert DEEPSEEK_R1.attention_parameters == pytest.approx(187.1e6, rel=1e-3)
    assert DEEPSEEK_R1.expert_parameters == pytest.approx(44.04e6, rel=1e-3)
    assert DEEPSEEK_R1.dense_parameters == pytest.approx(396.4e6, rel=1e-3)
    assert DEEPSEEK_R1.moe_layers * DEEPSEEK_R1.moe_layer_parameters == pytest.approx(656.6e9, rel=1e-3)
    assert 2 * DEEPSEEK_R1.embedding_parameters == pytest.approx(1.85e9, rel=5e-3)


def test_kv_bytes_per_token() -> None:
    assert DEEPSEEK_R1.kv_bytes_per_token(mtp=False) == 70_272
    assert DEEPSEEK_R1.kv_bytes_per_token(mtp=True) == 71_424
    assert 2 * DEEPSEEK_R1.kv_bytes_per_token(mtp=True, bytes_per_element=1) == 71_424


def test_work_per_token() -> None:
    assert DEEPSEEK_R1.linear_flops_per_token == pytest.approx(73e9, rel=0.005)
    assert DEEPSEEK_R1.routed_flops_per_token < DEEPSEEK_R1.linear_flops_per_token
    assert DEEPSEEK_R1.prefill_attention_flops_per_pair == 2 * 128 * (192 + 128)
    # 1.14 GFLOP per token row and layer at a context of 4,096.
    assert 4096 * DEEPSEEK_R1.decode_attention_flops_per_kv_token == pytest.approx(1.14e9, rel=2e-3)
