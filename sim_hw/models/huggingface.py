"""Model shapes from a Hugging Face `config.json`, given as the mapping that it holds.

The language model inside one that sees or hears stands in a section of its own; the rest of such a model is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from sim_hw.errors import DescriptionError
from sim_hw.models.architectures import ARCHITECTURES, BY_MODEL_TYPE, BY_NAME, Architecture, unknown_architecture
from sim_hw.models.config_fields import different_name, refuse_different
from sim_hw.models.config_values import ConfigValues, shown
from sim_hw.models.shape import ModelShape
from sim_hw.models.shape_reading import ALIASES, Origin, read_shape

NESTED: Final = ("text_config", "llm_config", "language_config")
"""Where the language model of a larger one is described."""


def model_from_huggingface(config: Mapping[str, object], name: str) -> ModelShape:
    """The shape of that configuration; `DescriptionError` names the architecture or field that cannot be used."""
    inner, section = _language_model(config)
    row = find_architecture(inner) or find_architecture(config)
    if row is None:
        known = ", ".join(one.name for one in ARCHITECTURES)
        raise DescriptionError("architectures", "is missing", f"give one of {known}")
    notes = (f"the language model in {section} alone is read",) if section else ()
    values = ConfigValues(row.name, inner, {**ALIASES, **row.aliases}, row.defaults)
    return read_shape(values, row, Origin(name, f"Hugging Face configuration {name}", notes))


def find_architecture(config: Mapping[str, object]) -> Architecture | None:
    """The row of the architecture that a configuration names, of its own if it is unknown; None if it names none.

    Raises `DescriptionError` for what names no architecture, and for one that is known to be of another kind.
    """
    model_type = config.get("model_type")
    by_type = BY_MODEL_TYPE.get(model_type) if isinstance(model_type, str) else None
    given: object = config.get("architectures")
    if given is None:
        return by_type or (unknown_architecture(model_type) if isinstance(model_type, str) and model_type else None)
    names = cast(list[object], given) if isinstance(given, list) else [given]
    architecture = names[0] if len(names) == 1 else None
    problem = f"is {shown(cast(object, given))}, which is not supported"
    if not isinstance(architecture, str) or not architecture:
        raise DescriptionError("architectures", problem, "give one name")
    word = different_name(architecture)
    if word is not None:
        kinds = "supported are decoders of grouped-query or latent attention and gated feed-forward parts"
        raise DescriptionError("architectures", problem, f"{kinds}, not {word}")
    return BY_NAME.get(architecture) or by_type or unknown_architecture(architecture)


def _language_model(config: Mapping[str, object]) -> tuple[Mapping[str, object], str]:
    """The fields of the language model, and the section that they stand in; empty for the configuration itself."""
    for section in NESTED:
        inner = config.get(section)
        if isinstance(inner, Mapping) and inner and "hidden_size" not in config:
            refuse_different({key: value for key, value in config.items() if key not in NESTED})
            fields = cast(Mapping[str, object], inner)
            # What joins embedding and head is often said of the whole.
            tied = fields.get("tie_word_embeddings", config.get("tie_word_embeddings"))
            return {**fields, "tie_word_embeddings": tied}, section
    return config, ""
