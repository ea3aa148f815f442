"""mindformers says the same as Hugging Face in other words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from msgspec.structs import replace

from sim_hw.errors import DescriptionError
from sim_hw.models.attention import GroupedQueryAttention
from sim_hw.models.mindformers import ALIASES, model_from_mindformers
from sim_hw.models.published import DEEPSEEK_V3, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.models.shape import ModelShape
from tests.unit.sim_hw.configs import MINDFORMERS_DEEPSEEK, MINDFORMERS_LLAMA, QWEN3_MOE_JSON


@pytest.mark.parametrize(
    ("document", "built_in"), [(MINDFORMERS_DEEPSEEK, DEEPSEEK_V3), (MINDFORMERS_LLAMA, LLAMA_3_1_70B)]
)
def test_a_published_configuration_is_the_built_in_model(document: dict[str, Any], built_in: ModelShape) -> None:
    read = model_from_mindformers(document, built_in.name)
    assert read == replace(built_in, source=read.source)


def test_experts_may_stand_beside_the_sizes() -> None:
    document = deepcopy(MINDFORMERS_DEEPSEEK)
    document["model"]["model_config"]["moe_config"] = document.pop("moe_config")
    assert model_from_mindformers(document, "deepseek-v3").experts == DEEPSEEK_V3.experts


def test_names_of_hugging_face_are_taken_as_well() -> None:
    document = {"model": {"model_config": {**QWEN3_MOE_JSON, "type": "Qwen3MoeConfig"}}}
    read = model_from_mindformers(document, "qwen3-235b-a22b")
    assert read == replace(QWEN3_235B_A22B, source=read.source)


def test_the_first_name_of_a_field_wins() -> None:
    document = deepcopy(MINDFORMERS_LLAMA)
    document["model"]["model_config"]["max_position_embeddings"] = 4096
    assert "seq_length" in ALIASES["max_position_embeddings"]
    assert model_from_mindformers(document, "short").max_positions == 4096


def test_what_cannot_be_used_is_named() -> None:
    def message(document: dict[str, Any]) -> str:
        with pytest.raises(DescriptionError) as caught:
            model_from_mindformers(document, "broken")
        return str(caught.value)

    def sizes(**change: object) -> dict[str, Any]:
        return {"model": {"model_config": {**MINDFORMERS_LLAMA["model"]["model_config"], **change}}}

    assert message({}) == "model is missing; give a section of settings, as mindformers writes it"
    assert message({"model": {"model_config": 5}}).startswith("model.model_config is no section")
    assert message(sizes(type=None)).startswith("model.model_config.type is missing; give one of DeepseekV3Config")
    assert message(sizes(type="T5Config")).startswith("model.model_config.type is 'T5Config', which is not supported")
    assert message(sizes(num_layers=None)) == "num_hidden_layers or num_layers is missing; LlamaConfig needs it"
    assert message(sizes(num_heads=-4)).startswith("num_heads is -4; give an integer")


SMALL: dict[str, Any] = {
    "type": "LlamaConfig",
    "num_layers": 4,
    "num_heads": 8,
    "hidden_size": 1024,
    "vocab_size": 32000,
    "seq_length": 4096,
}


def small(moe: dict[str, Any] | None = None, **change: Any) -> ModelShape:
    """A small model, with experts beside its sizes."""
    sections = {} if moe is None else {"moe_config": moe}
    return model_from_mindformers({"model": {"model_config": {**SMALL, **change}}, **sections}, "small")


def test_experts_beside_a_llama_are_experts() -> None:
    shape = small({"expert_num": 8, "num_experts_chosen": 2}, n_kv_heads=2, intermediate_size=4096)
    assert (shape.dense_layers, shape.moe_layers) == (0, 4)
    assert 8 * shape.expert_parameters == 8 * 3 * 1024 * 4096
    assert (shape.routed_experts, shape.experts_per_token) == (8, 2)
    # What mindformers writes beside every dense model, its defaults.
    dense = small({"expert_num": 1, "num_experts_chosen": 1, "capacity_factor": 1.1}, intermediate_size=4096)
    assert (dense.experts, dense.dense_layers, dense.notes) == (None, 4, ())


def test_sizes_that_are_left_out_are_derived_as_mindformers_does() -> None:
    shape = small()
    assert shape.attention == GroupedQueryAttention(heads=8, kv_heads=8, head_dim=128)
    assert shape.dense_intermediate == 2816  # 2/3 of 4,096 is 2,730, up to a multiple of 256
    # Llama 2: 7 B, 13 B and 70 B.
    assert small(hidden_size=4096, num_heads=32, multiple_of=256).dense_intermediate == 11008
    assert small(hidden_size=5120, num_heads=40, multiple_of=256).dense_intermediate == 13824
    llama_70b = small(hidden_size=8192, num_heads=64, n_kv_heads=8, multiple_of=4096, ffn_dim_multiplier=1.3)
    assert llama_70b.dense_intermediate == 28672
    with pytest.raises(DescriptionError, match=r"^ffn_dim_multiplier is 'x'; give a number above 0"):
        small(ffn_dim_multiplier="x")


def test_the_first_layers_may_be_said_to_be_dense_by_a_flag() -> None:
    experts: dict[str, Any] = {"expert_num": 8, "num_experts_chosen": 2, "first_k_dense_replace": True}
    assert small(experts, intermediate_size=4096).dense_layers == 1
    assert small({**experts, "first_k_dense_replace": False}, intermediate_size=4096).dense_layers == 0


def test_an_unknown_class_is_read_by_shape_and_a_different_one_refused() -> None:
    (note,) = small(type="TelechatConfig", intermediate_size=4096).notes
    assert note.startswith("TelechatConfig is not known by name: read by the shape")
    with pytest.raises(DescriptionError, match=r"^hash_layers is not understood, and TelechatConfig is no"):
        small(type="TelechatConfig", intermediate_size=4096, hash_layers=3)
    assert small(intermediate_size=4096, hash_layers=3).notes == (
        "a field is not understood and left out: hash_layers",
    )
    with pytest.raises(
        DescriptionError, match=r"model_config.type is 'GPT2Config', which is not supported.* without a"
    ):
        small(type="GPT2Config")


def test_a_configuration_that_names_a_hugging_face_architecture_is_that_one() -> None:
    named = {key: value for key, value in QWEN3_MOE_JSON.items() if key != "type"}
    read = model_from_mindformers({"model": {"model_config": named}}, "qwen3-235b-a22b")
    assert read == replace(QWEN3_235B_A22B, source=read.source)
