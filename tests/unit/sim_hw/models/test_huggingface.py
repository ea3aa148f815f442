"""Published configurations give the built-in shapes; what cannot be used is named."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.errors import DescriptionError
from sim_hw.models.attention import GroupedQueryAttention
from sim_hw.models.huggingface import model_from_huggingface
from sim_hw.models.published import DEEPSEEK_V3, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.models.shape import ModelShape
from tests.unit.sim_hw.configs import DEEPSEEK_V3_JSON, LLAMA_JSON, QWEN3_MOE_JSON
from tests.unit.sim_hw.json_values import ANY_VALUE

MISSING = object()


@pytest.mark.parametrize(
    ("config", "built_in"),
    [(DEEPSEEK_V3_JSON, DEEPSEEK_V3), (QWEN3_MOE_JSON, QWEN3_235B_A22B), (LLAMA_JSON, LLAMA_3_1_70B)],
)
def test_a_published_configuration_is_the_built_in_model(config: dict[str, Any], built_in: ModelShape) -> None:
    read = model_from_huggingface(config, built_in.name)
    assert read == replace(built_in, source=read.source)


def test_what_is_left_out_has_the_meaning_of_its_family() -> None:
    old = {key: value for key, value in LLAMA_JSON.items() if key not in ("num_key_value_heads", "tie_word_embeddings")}
    assert model_from_huggingface(old, "old").attention == GroupedQueryAttention(heads=64, kv_heads=64, head_dim=128)
    without_rank = model_from_huggingface({**DEEPSEEK_V3_JSON, "q_lora_rank": None}, "lite")
    assert without_rank.attention.projections(7168)[0].name == "q"
    assert model_from_huggingface({**LLAMA_JSON, "tie_word_embeddings": True}, "tied").tied_embedding


@given(step=st.integers(1, 5), layers=st.integers(1, 40), listed=st.lists(st.integers(0, 50)))
def test_qwen_layers_are_dense_where_listed_or_skipped(step: int, layers: int, listed: list[int]) -> None:
    config = QWEN3_MOE_JSON | {
        "num_hidden_layers": layers,
        "decoder_sparse_step": step,
        "mlp_only_layers": listed,
    }
    sparse = sum(1 for layer in range(layers) if layer not in listed and (layer + 1) % step == 0)
    shape = model_from_huggingface(config, "any")
    assert shape.moe_layers == sparse
    assert (shape.experts is None) == (sparse == 0)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        (
            "architectures",
            ["GPT2LMHeadModel"],
            "architectures is ['GPT2LMHeadModel'], which is not supported; supported",
        ),
        ("architectures", [], "architectures is [], which is not supported"),
        ("architectures", [[]], "architectures is [[]], which is not supported"),
        ("kv_lora_rank", MISSING, "kv_lora_rank is missing; DeepseekV3ForCausalLM needs it"),
        ("hidden_size", None, "hidden_size is missing"),
        ("hidden_size", 0, "hidden_size is 0; give an integer from 1"),
        ("hidden_size", "7168", "hidden_size is '7168'; give an integer"),
        ("hidden_size", True, "hidden_size is True; give an integer"),
        ("num_hidden_layers", 10**9, "num_hidden_layers is 1000000000; give an integer from 1 to 10,000"),
        ("num_experts_per_tok", 300, "num_experts_per_tok is 300, but there are 256 routed experts; give at most 256"),
        ("first_k_dense_replace", 62, "first_k_dense_replace is 62, but there are 61 layers; give at most 61"),
        ("moe_layer_freq", 2, "moe_layer_freq is 2; only 1 is supported"),
        ("tie_word_embeddings", "no", "tie_word_embeddings is 'no'; give true or false"),
    ],
)
def test_what_cannot_be_used_is_named(field: str, value: object, problem: str) -> None:
    config = {**DEEPSEEK_V3_JSON, field: value}
    if value is MISSING:
        del config[field]
    with pytest.raises(DescriptionError) as caught:
        model_from_huggingface(config, "broken")
    assert str(caught.value).startswith(problem)
    assert caught.value.field == field


def test_a_configuration_that_names_no_architecture_is_refused() -> None:
    nameless = {key: value for key, value in DEEPSEEK_V3_JSON.items() if key not in ("architectures", "model_type")}
    with pytest.raises(DescriptionError) as caught:
        model_from_huggingface(nameless, "broken")
    start = "architectures is missing; give one of DeepseekV3ForCausalLM, Qwen3MoeForCausalLM"
    assert str(caught.value).startswith(start)
    by_type = model_from_huggingface({**nameless, "model_type": "deepseek_v3"}, "deepseek-v3")
    assert by_type == replace(DEEPSEEK_V3, source=by_type.source)


@pytest.mark.parametrize(
    ("config", "change", "problem"),
    [
        (LLAMA_JSON, {"num_key_value_heads": 7}, "num_key_value_heads is 7, which does not divide the 64 query heads"),
        (LLAMA_JSON, {"hidden_size": 8190}, "hidden_size is 8190, no multiple of the 64 heads"),
        (QWEN3_MOE_JSON, {"mlp_only_layers": [-1]}, "mlp_only_layers is [-1]; give a list of integers from 0 on"),
        (QWEN3_MOE_JSON, {"mlp_only_layers": 3}, "mlp_only_layers is 3; give a list of integers from 0 on"),
        (QWEN3_MOE_JSON, {"num_experts": None}, "num_experts is missing"),
    ],
)
def test_what_contradicts_itself_is_named(config: dict[str, Any], change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        model_from_huggingface({**config, **change}, "broken")
    assert str(caught.value).startswith(problem)


@given(
    config=st.sampled_from([DEEPSEEK_V3_JSON, QWEN3_MOE_JSON, LLAMA_JSON]),
    changes=st.lists(st.tuples(st.integers(0, 30), ANY_VALUE), min_size=1, max_size=3),
)
def test_any_value_in_any_field_is_taken_or_named(config: dict[str, Any], changes: list[tuple[int, object]]) -> None:
    changed = dict(config)
    for place, value in changes:
        changed[list(config)[place % len(config)]] = value
    with suppress(DescriptionError):
        shape = model_from_huggingface(changed, "any")
        assert shape.active_parameters > 0
        assert 0 <= shape.moe_layers <= shape.layers
