"""The shapes: their parts add up to the published sizes, whatever the kind of attention and layer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.models.attention import GroupedQueryAttention, LatentAttention
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, MODELS, QWEN3_235B_A22B
from sim_hw.models.shape import Experts, ModelShape


@pytest.mark.parametrize(
    ("shape", "total", "active", "mtp"),
    [(DEEPSEEK_R1, 671.0e9, 37e9, 11.6e9), (QWEN3_235B_A22B, 235e9, 22e9, 0), (LLAMA_3_1_70B, 70.6e9, 69.5e9, 0)],
)
def test_parameters_add_to_the_published_totals(shape: ModelShape, total: float, active: float, mtp: float) -> None:
    assert shape.total_parameters == pytest.approx(total, rel=1e-3)
    assert shape.active_parameters == pytest.approx(active, rel=0.025)
    assert shape.mtp_parameters == pytest.approx(mtp, rel=0.005)


def test_parts_of_deepseek_have_their_published_sizes() -> None:
    assert DEEPSEEK_R1.attention_parameters == pytest.approx(187.1e6, rel=1e-3)
    by_name = {one.name: one.parameters for one in DEEPSEEK_R1.attention.projections(DEEPSEEK_R1.hidden)}
    published = {"q_down": 11.0e6, "q_up": 37.7e6, "kv_down": 4.1e6, "kv_up": 16.8e6, "output": 117.4e6}
    assert by_name == pytest.approx(published, rel=0.01)
    assert DEEPSEEK_R1.expert_parameters == pytest.approx(44.04e6, rel=1e-3)
    assert DEEPSEEK_R1.dense_parameters == pytest.approx(396.4e6, rel=1e-3)
    assert DEEPSEEK_R1.moe_layers * DEEPSEEK_R1.moe_layer_parameters == pytest.approx(656.6e9, rel=1e-3)
    assert 2 * DEEPSEEK_R1.embedding_parameters == pytest.approx(1.85e9, rel=5e-3)


def test_kv_bytes_per_token() -> None:
    assert DEEPSEEK_R1.kv_bytes_per_token(mtp=False) == 70_272
    assert DEEPSEEK_R1.kv_bytes_per_token(mtp=True) == 71_424
    assert 2 * DEEPSEEK_R1.kv_bytes_per_token(mtp=True, bytes_per_element=1) == 71_424
    assert QWEN3_235B_A22B.kv_bytes_per_token(mtp=True) == 94 * 2 * 4 * 128 * 2
    assert LLAMA_3_1_70B.kv_bytes_per_token(mtp=False) == 80 * 2 * 8 * 128 * 2


def test_the_latent_is_far_smaller_than_the_heads_it_stands_for() -> None:
    attention = DEEPSEEK_R1.attention
    assert isinstance(attention, LatentAttention)
    expanded = attention.heads * (attention.nope_dim + attention.rope_dim + attention.value_dim)
    assert attention.cached_elements < 0.02 * expanded


def test_work_per_token() -> None:
    assert DEEPSEEK_R1.linear_flops_per_token == pytest.approx(73e9, rel=0.005)
    assert DEEPSEEK_R1.prefill_attention_flops_per_pair == 2 * 128 * (192 + 128)
    # 1.14 GFLOP per token row and layer at a context of 4,096.
    assert 4096 * DEEPSEEK_R1.decode_attention_flops_per_kv_token == pytest.approx(1.14e9, rel=2e-3)
    assert LLAMA_3_1_70B.decode_attention_flops_per_kv_token == LLAMA_3_1_70B.prefill_attention_flops_per_pair


@pytest.mark.parametrize("shape", MODELS, ids=lambda shape: shape.name)
def test_no_token_uses_more_than_there_is(shape: ModelShape) -> None:
    assert shape.active_parameters <= shape.total_parameters
    assert shape.attention_head_parameters + shape.attention_shared_parameters == shape.attention_parameters


@given(routed=st.integers(1, 512), layers=st.integers(1, 100), dense=st.integers(0, 100), shared=st.integers(0, 4))
def test_a_model_whose_tokens_pass_all_experts_is_dense(routed: int, layers: int, dense: int, shared: int) -> None:
    shape = ModelShape(
        name="any",
        source="test",
        confidence=DEEPSEEK_R1.confidence,
        hidden=64,
        layers=layers,
        dense_layers=min(dense, layers),
        dense_intermediate=32,
        attention=GroupedQueryAttention(heads=8, kv_heads=2, head_dim=16),
        experts=Experts(routed=routed, routed_per_token=routed, shared=shared, intermediate=16),
        vocabulary=100,
        max_positions=1000,
        tied_embedding=True,
    )
    assert shape.active_parameters == shape.total_parameters
    assert replace(shape, tied_embedding=False).total_parameters == shape.total_parameters + 6400


def test_queries_without_a_down_projection_are_projected_at_once() -> None:
    direct = LatentAttention(heads=16, q_rank=None, kv_rank=512, rope_dim=64, nope_dim=128, value_dim=128)
    names = [(one.name, one.inputs, one.outputs) for one in direct.projections(2048)]
    assert names[0] == ("q", 2048, 16 * 192)
    assert [name for name, *_ in names] == ["q", "kv_down", "kv_up", "output"]
