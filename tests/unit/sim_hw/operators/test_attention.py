"""Operators do the work that the model's shape says, no more and no less."""

from __future__ import annotations

import pytest

from sim_hw.chips.ascend import ASCEND_910C
from sim_hw.chips.chip import Precision
from sim_hw.chips.sheet import fit_of
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.models.shape import ModelShape
from sim_hw.operators.attention import activation_elements, decode_attention, expanded_elements, prefill_attention

FIT = fit_of(ASCEND_910C)
MODELS = [DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_decode_attention_does_the_published_work(model: ModelShape) -> None:
    operators = {one.name: one for one in decode_attention(model, FIT, Precision.INT8, 3, 2, 1000)}
    linear = operators["attention_prolog"].flops + operators["output_projection"].flops
    assert linear == 2 * 6 * model.attention_parameters
    assert operators["attention"].flops == 6 * 1000 * model.decode_attention_flops_per_kv_token
    assert operators["attention"].hbm_bytes == 3 * 1000 * model.kv_bytes_per_token(mtp=False) / model.layers
    weights = operators["attention_prolog"].hbm_bytes + operators["output_projection"].hbm_bytes
    assert weights == model.attention_parameters  # INT8


def test_decode_attention_at_4096_tokens_is_1_14_gflop() -> None:
    operators = decode_attention(DEEPSEEK_R1, FIT, Precision.INT8, 1, 1, 4096)
    assert next(one.flops for one in operators if one.name == "attention") == pytest.approx(1.14e9, rel=2e-3)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_tensor_parallelism_divides_the_work(model: ModelShape) -> None:
    ranks = model.attention.cached_heads
    whole = decode_attention(model, FIT, Precision.INT8, 8, 1, 1000)
    part = decode_attention(model, FIT, Precision.INT8, 8, 1, 1000, ranks)
    for one, other in zip(whole, part):
        assert other.flops * ranks == pytest.approx(one.flops)
        assert other.hbm_bytes * ranks == pytest.approx(one.hbm_bytes)


def test_cached_tokens_skip_projections_but_are_expanded_and_handled() -> None:
    operators = {one.name: one for one in prefill_attention(DEEPSEEK_R1, FIT, Precision.INT8, 0, 100, 0)}
    assert operators["attention_prolog"].flops == operators["output_projection"].flops == 0
    assert operators["cached_expansion"].flops == 2 * 100 * 512 * 128 * 256
    assert operators["cached_handling"].hbm_bytes > 0


def test_activations_of_a_token() -> None:
    # q_down 1,536, q_up 24,576, kv_down 576, kv_up 32,768, output 7,168; attended 16,384; norm and residual 7,168 each.
    assert activation_elements(DEEPSEEK_R1) == 1536 + 24576 + 576 + 32768 + 7168 + 16384 + 2 * 7168
    assert expanded_elements(DEEPSEEK_R1) == 128 * 256
    assert expanded_elements(LLAMA_3_1_70B) == 2 * 8 * 128
