"""Model shapes from a MindSpore Transformers (mindformers) YAML, given as the mapping that it holds.

The sizes stand in `model.model_config`, those of experts in `moe_config`, at the top or beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from sim_hw.errors import DescriptionError
from sim_hw.models.config_values import ConfigValues
from sim_hw.models.families import Family, deepseek_v3, llama, qwen3_moe
from sim_hw.models.shape import ModelShape

TYPES: Final[Mapping[str, Family]] = {
    "DeepseekV3Config": deepseek_v3,
    "Qwen3MoeConfig": qwen3_moe,
    "LlamaConfig": llama,
}

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
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


def model_from_mindformers(document: Mapping[str, object], name: str) -> ModelShape:
    """The shape of that configuration; `DescriptionError` names the type or field that cannot be used."""
    model_config = _section(_section(document, "model", ""), "model_config", "model.")
    kind = model_config.get("type")
    supported = ", ".join(TYPES)
    if kind is None:
        raise DescriptionError("model.model_config.type", "is missing", f"give one of {supported}")
    if not isinstance(kind, str) or kind not in TYPES:
        problem = f"is {kind!r}, which is not supported"
        raise DescriptionError("model.model_config.type", problem, f"supported: {supported}")
    experts = [
        _section(place, "moe_config", prefix)
        for place, prefix in ((document, ""), (model_config, "model.model_config."))
        if place.get("moe_config") is not None
    ]
    merged: dict[str, object] = {}
    for section in (*experts, model_config):
        merged |= {key: value for key, value in section.items() if value is not None}
    return TYPES[kind](ConfigValues(kind, merged, ALIASES), name, f"mindformers configuration {name}")


def _section(values: Mapping[str, object], key: str, prefix: str) -> Mapping[str, object]:
    inner = values.get(key)
    if not isinstance(inner, Mapping):
        problem = "is missing" if inner is None else "is no section"
        raise DescriptionError(prefix + key, problem, "give a section of settings, as mindformers writes it")
    return cast(Mapping[str, object], inner)
