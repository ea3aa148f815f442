"""mindformers says the same as Hugging Face in other words."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from sim_hw.errors import DescriptionError
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
