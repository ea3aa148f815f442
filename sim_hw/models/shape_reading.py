"""The shape that a configuration describes, read off its fields. Field names are Hugging Face's; a row of
`architectures` says what a field that is left out means, and which fields contradict it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sim_hw.errors import DescriptionError
from sim_hw.figure import Confidence
from sim_hw.models.architectures import EXPERT_COUNTS, LATENT_RANKS, Architecture, AttentionKind, FeedForward
from sim_hw.models.attention import Attention, GroupedQueryAttention, LatentAttention
from sim_hw.models.config_fields import NO_GATE, listed, not_understood, refuse_different
from sim_hw.models.config_values import ConfigValues
from sim_hw.models.shape import Experts, ModelShape

MAX_LAYERS: Final = 10_000
"""Above any model's; whoever gives more has slipped."""

GATED: Final = ("silu", "swiglu", "swish")
"""Activations that stand for a gated feed-forward part in a model of which nothing else is known."""

ALIASES: Final = {
    "num_experts_per_tok": ("num_experts_per_token", "experts_per_token", "moe_k"),
    "n_shared_experts": ("num_shared_experts", "moe_num_shared_experts"),
    "shared_expert_intermediate_size": ("shared_intermediate_size",),
    "num_nextn_predict_layers": ("num_mtp_modules",),
}
"""Other names of a field in Hugging Face configurations, the same in all architectures."""


class Origin(Struct, frozen=True):
    """Where a configuration comes from. `notes`: what was assumed before it was read."""

    name: str
    source: str
    notes: tuple[str, ...] = ()
    in_mindformers: bool = False


def read_shape(values: ConfigValues, row: Architecture, origin: Origin) -> ModelShape:
    """The shape and, in its notes, what was assumed or left out.

    Raises `DescriptionError` on a field that is missing, wrong, contradicts the row or tells of a kind of model that is
    not modelled; on any that is not understood where the architecture itself is unknown.
    """
    refuse_different(values.values)
    _refuse_contradictions(values, row)
    strange = not_understood(values, in_mindformers=origin.in_mindformers)
    if not row.is_known:
        _refuse_what_might_be_anything(values, row, strange)
    layers = values.count("num_hidden_layers", most=MAX_LAYERS)
    experts = _experts(values, row)
    dense_layers = _dense_layers(values, layers) if experts else layers
    return ModelShape(
        name=origin.name,
        source=origin.source,
        confidence=Confidence.MODEL_CARD,
        hidden=values.count("hidden_size"),
        layers=layers,
        dense_layers=dense_layers,
        # Configurations of models without a dense layer carry a figure that nothing uses.
        dense_intermediate=_dense_intermediate(values) if dense_layers else 0,
        attention=_attention(values, row),
        experts=experts if dense_layers < layers else None,
        vocabulary=values.count("vocab_size"),
        max_positions=values.count("max_position_embeddings"),
        tied_embedding=values.flag("tie_word_embeddings", row.tied),
        mtp_layers=values.count("num_nextn_predict_layers", 0, least=0),
        notes=(*origin.notes, *_notes(values, row, strange)),
    )


def _refuse_contradictions(values: ConfigValues, row: Architecture) -> None:
    for name in row.must_not_meet:
        given = values.values.get(name)
        if type(given) is int and given > 1:
            kinds = f"{row.attention or 'attention'} and {row.feed_forward or 'layers'}"
            raise DescriptionError(name, f"is {given}, but {row.name} has {kinds}", "give the architecture that has it")


def _refuse_what_might_be_anything(values: ConfigValues, row: Architecture, strange: list[str]) -> None:
    if strange:
        problem = f"is not understood, and {row.name} is no architecture that is known here"
        more = f" ({len(strange)} such fields: {listed(strange)})" if len(strange) > 1 else ""
        raise DescriptionError(strange[0], f"{problem}{more}", "leave out what changes no size, or take a known one")
    activation = values.text("hidden_act") or values.text("hidden_activation")
    if activation is not None and activation.lower() not in GATED:
        problem = f"is {activation!r}: perhaps {NO_GATE}, which are not modelled"
        raise DescriptionError(
            "hidden_act", problem, f"{row.name} is not known here, and is read with {GATED[0]} alone"
        )


def _notes(values: ConfigValues, row: Architecture, strange: list[str]) -> list[str]:
    notes: list[str] = []
    if not row.is_known:
        tied = "" if values.has("tie_word_embeddings") else ", its output head taken for one of its own"
        notes.append(f"{row.name} is not known by name: read by the shape that its fields describe{tied}")
    if strange:
        count = f"{len(strange)} fields are" if len(strange) > 1 else "a field is"
        notes.append(f"{count} not understood and left out: {listed(strange)}")
    window = _window(values)
    if window is not None:
        name, tokens = window
        notes.append(
            f"{name} of {tokens:,} tokens is not modelled: every layer attends to the whole context and keeps its KV"
        )
    return notes


def _window(values: ConfigValues) -> tuple[str, int] | None:
    """The field and the tokens of a window that some layer attends within, if it is shorter than the context."""
    positions = values.count("max_position_embeddings")
    is_used = values.flag("use_sliding_window", True)
    for name, applies in (("sliding_window", is_used), ("attention_chunk_size", True)):
        tokens = values.optional_count(name, least=0)
        if applies and tokens and tokens < positions:
            return name, tokens
    return None


def _attention(values: ConfigValues, row: Architecture) -> Attention:
    if row.attention is AttentionKind.LATENT or (row.attention is None and values.has(LATENT_RANKS[0])):
        return LatentAttention(
            heads=values.count("num_attention_heads"),
            q_rank=values.optional_count("q_lora_rank"),
            kv_rank=values.count("kv_lora_rank"),
            rope_dim=values.count("qk_rope_head_dim"),
            nope_dim=values.count("qk_nope_head_dim"),
            value_dim=values.count("v_head_dim"),
        )
    heads, hidden = values.count("num_attention_heads"), values.count("hidden_size")
    kv_heads = values.count("num_key_value_heads", heads)
    values.require(
        heads % kv_heads == 0,
        "num_key_value_heads",
        f"is {kv_heads}, which does not divide the {heads} query heads",
        f"give a divisor of {heads}",
    )
    head_dim = values.optional_count("head_dim")
    values.require(
        head_dim is not None or hidden % heads == 0,
        "hidden_size",
        f"is {hidden}, no multiple of the {heads} heads",
        "give head_dim, or a multiple",
    )
    return GroupedQueryAttention(heads, kv_heads, head_dim or hidden // heads)


def _experts(values: ConfigValues, row: Architecture) -> Experts | None:
    """None for a dense model. Experts are as wide as `moe_intermediate_size` says or, without it, as a dense layer."""
    if row.feed_forward is FeedForward.DENSE:
        return None
    names = (row.experts, *(name for name in EXPERT_COUNTS if name != row.experts))
    counted = next((name for name in names if values.has(name)), row.experts)
    if row.feed_forward is None and (values.optional_count(counted, least=0) or 0) <= 1:
        return None
    routed, per_token = values.count(counted), values.count("num_experts_per_tok")
    values.require(
        per_token <= routed,
        "num_experts_per_tok",
        f"is {per_token}, but there are {routed} routed experts",
        f"give at most {routed}",
    )
    width = values.optional_count("moe_intermediate_size")
    if width is None:
        width = values.count("intermediate_size")
    return Experts(routed, per_token, _shared_experts(values, row, width), width)


def _shared_experts(values: ConfigValues, row: Architecture, width: int) -> int:
    """Shared experts as large as routed ones; a single one may be as large as several of these."""
    if values.has("n_shared_experts"):
        return values.count("n_shared_experts", least=0)
    name = "shared_expert_intermediate_size"
    shared_width = values.optional_count(name, least=0)
    if shared_width is None:
        return row.shared_experts
    values.require(
        shared_width % width == 0,
        name,
        f"is {shared_width}, no multiple of the {width} of a routed expert",
        "only shared experts as large as some routed ones are modelled",
    )
    return shared_width // width


def _dense_intermediate(values: ConfigValues) -> int:
    """Of a dense layer; Llama 4 has a name of its own for it, its experts having the usual one."""
    given = values.optional_count("intermediate_size_mlp")
    return values.count("intermediate_size") if given is None else given


def _dense_layers(values: ConfigValues, layers: int) -> int:
    """Layers without experts. Each family has its own way to say which; a layer has experts if none of them objects."""
    frequency = values.count("moe_layer_freq", 1)
    values.require(frequency == 1, "moe_layer_freq", f"is {frequency}", "only 1 is supported")
    first = values.count("first_k_dense_replace", 0, least=0)
    values.require(
        first <= layers,
        "first_k_dense_replace",
        f"is {first}, but there are {layers} layers",
        f"give at most {layers}",
    )
    steps = [
        values.count(name, 1) for name in ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval")
    ]
    start = max(first, values.count("moe_layer_start_index", 0, least=0))
    end = values.count("moe_layer_end_index", layers - 1, least=0)
    dense = set(values.counts("mlp_only_layers"))
    dense |= {index for index, kind in enumerate(values.texts("mlp_layer_types")) if kind == "dense"}
    if values.has("moe_layers"):
        # As in the published implementation, a list overrides the step.
        with_experts = set(values.counts("moe_layers"))
        return sum(index not in with_experts for index in range(layers))
    return sum(
        index in dense or not start <= index <= end or any((index + 1) % step for step in steps)
        for index in range(layers)
    )
