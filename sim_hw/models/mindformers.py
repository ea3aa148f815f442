"""Model shapes from a MindSpore Transformers (mindformers) YAML, given as the mapping that it holds.

The sizes stand in `model.model_config`, those of experts in `moe_config`, at the top or beside them. What a size that
is left out means is as mindformers has it (mindformers/models/llama/llama_config.py and llama_layer.py,
mindformers/modules/transformer/moe.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from msgspec.structs import replace

from sim_hw.errors import DescriptionError
from sim_hw.models.architectures import BY_MODEL_TYPE, Architecture, FeedForward, unknown_architecture
from sim_hw.models.config_fields import UNDERSTOOD, different_name
from sim_hw.models.config_values import Aliases, ConfigValues, shown
from sim_hw.models.huggingface import find_architecture
from sim_hw.models.shape import ModelShape
from sim_hw.models.shape_reading import Origin, read_shape

TYPES: Final[Mapping[str, str]] = {
    "DeepseekV3Config": "deepseek_v3",
    "Qwen3MoeConfig": "qwen3_moe",
    "LlamaConfig": "llama",
    "Qwen3Config": "qwen3",
    "ChatGLM2Config": "chatglm",
    "InternLMConfig": "internlm",
    "InternLM2Config": "internlm2",
}
"""A class of configurations to the `model_type` of the architecture that it describes."""

ALIASES: Final[Aliases] = {
    "num_hidden_layers": ("num_layers",),
    "num_attention_heads": ("num_heads",),
    "num_key_value_heads": ("n_kv_heads",),
    "max_position_embeddings": ("max_position_embedding", "seq_length"),
    "n_routed_experts": ("expert_num",),
    "num_experts": ("expert_num", "n_routed_experts"),
    "num_experts_per_tok": ("num_experts_chosen",),
    "n_shared_experts": ("shared_expert_num",),
    "num_nextn_predict_layers": ("mtp_depth",),
}
"""Hugging Face's name of a field to the names that mindformers gives it."""

_OF_EXPERTS: Final = UNDERSTOOD | {"expert_num", "num_experts_chosen", "shared_expert_num"}
"""What `moe_config` may say of the shape; all else in it is about training and routing."""

_DERIVES_INTERMEDIATE: Final = ("LlamaConfig", "InternLMConfig", "InternLM2Config")
_MULTIPLE_OF: Final = 256


def model_from_mindformers(document: Mapping[str, object], name: str) -> ModelShape:
    """The shape of that configuration; `DescriptionError` names the type or field that cannot be used."""
    model_config = _section(_section(document, "model", ""), "model_config", "model.")
    row = _architecture(model_config)
    merged: dict[str, object] = {}
    for section in _sections_of_experts(document, model_config):
        merged |= {key: value for key, value in section.items() if value is not None and key in _OF_EXPERTS}
    merged |= {key: value for key, value in model_config.items() if value is not None}
    if isinstance(merged.get("first_k_dense_replace"), bool):  # which is its default there
        merged["first_k_dense_replace"] = int(cast(bool, merged["first_k_dense_replace"]))
    values = ConfigValues(row.name, merged, _joined(ALIASES, row.aliases), row.defaults)
    if row.name in _DERIVES_INTERMEDIATE and not values.has("intermediate_size"):
        values = replace(values, values={**merged, "intermediate_size": _derived_intermediate(values)})
    return read_shape(values, row, Origin(name, f"mindformers configuration {name}", in_mindformers=True))


def _architecture(model_config: Mapping[str, object]) -> Architecture:
    """The row of a class of configurations, under its name; each may have experts, as `moe_config` says."""
    kind = model_config.get("type")
    if kind is None and (model_config.get("architectures") or model_config.get("model_type")):
        row = find_architecture(model_config)
        if row is not None:
            return row
    supported = ", ".join(TYPES)
    if kind is None:
        raise DescriptionError("model.model_config.type", "is missing", f"give one of {supported}")
    if isinstance(kind, str) and kind in TYPES:
        row = BY_MODEL_TYPE[TYPES[kind]]
        return replace(row, name=kind, feed_forward=None if row.feed_forward is FeedForward.DENSE else row.feed_forward)
    problem = f"is {shown(kind)}, which is not supported"
    if not isinstance(kind, str) or not kind.endswith("Config"):
        raise DescriptionError("model.model_config.type", problem, f"supported: {supported}")
    word = different_name(kind)
    if word is not None:
        raise DescriptionError("model.model_config.type", problem, f"supported: {supported}; not {word}")
    return unknown_architecture(kind)


def _sections_of_experts(
    document: Mapping[str, object], model_config: Mapping[str, object]
) -> list[Mapping[str, object]]:
    return [
        _section(place, "moe_config", prefix)
        for place, prefix in ((document, ""), (model_config, "model.model_config."))
        if place.get("moe_config") is not None
    ]


def _derived_intermediate(values: ConfigValues) -> int:
    """Of a feed-forward part whose width is not given: two thirds of four times the hidden size, times
    `ffn_dim_multiplier`, rounded up to `multiple_of`."""
    width = 4 * values.count("hidden_size")
    multiplier = values.number("ffn_dim_multiplier")
    if multiplier is not None:
        width = int((multiplier + 0.01) * width)
    multiple = values.count("multiple_of", _MULTIPLE_OF)
    return -(-int(2 * width / 3) // multiple) * multiple


def _joined(one: Aliases, other: Aliases) -> Aliases:
    return {name: (*one.get(name, ()), *other.get(name, ())) for name in {**one, **other}}


def _section(values: Mapping[str, object], key: str, prefix: str) -> Mapping[str, object]:
    inner = values.get(key)
    if not isinstance(inner, Mapping):
        problem = "is missing" if inner is None else "is no section"
        raise DescriptionError(prefix + key, problem, "give a section of settings, as mindformers writes it")
    return cast(Mapping[str, object], inner)
