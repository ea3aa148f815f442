"""Model shapes from a Hugging Face `config.json`, given as the mapping that it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from sim_hw.errors import DescriptionError
from sim_hw.models.config_values import ConfigValues
from sim_hw.models.families import Family, deepseek_v3, llama, qwen3_moe
from sim_hw.models.shape import ModelShape

ARCHITECTURES: Final[Mapping[str, Family]] = {
    "DeepseekV3ForCausalLM": deepseek_v3,
    "Qwen3MoeForCausalLM": qwen3_moe,
    "LlamaForCausalLM": llama,
}


def model_from_huggingface(config: Mapping[str, object], name: str) -> ModelShape:
    """The shape of that configuration; `DescriptionError` names the architecture or field that cannot be used."""
    given = config.get("architectures")
    supported = ", ".join(ARCHITECTURES)
    if given is None:
        raise DescriptionError("architectures", "is missing", f"give one of {supported}")
    names = cast(list[object], given) if isinstance(given, list) else [given]
    architecture = names[0] if len(names) == 1 else None
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise DescriptionError("architectures", f"is {given!r}, which is not supported", f"supported: {supported}")
    values = ConfigValues(architecture, config)
    return ARCHITECTURES[architecture](values, name, f"Hugging Face configuration {name}")
