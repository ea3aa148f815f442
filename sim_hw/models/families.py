"""The supported families of models: how each one's configuration becomes a shape. Field names are Hugging Face's."""

from __future__ import annotations

from collections.abc import Callable

from sim_hw.figure import Confidence
from sim_hw.models.attention import Attention, GroupedQueryAttention, LatentAttention
from sim_hw.models.config_values import ConfigValues
from sim_hw.models.shape import Experts, ModelShape

MAX_LAYERS = 10_000
"""Above any model's; whoever gives more has slipped."""

Family = Callable[[ConfigValues, str, str], ModelShape]
"""Values, name of the model and source of the values to shape."""


def deepseek_v3(values: ConfigValues, name: str, source: str) -> ModelShape:
    """Latent attention; the first layers dense, then experts; shared experts; MTP modules."""
    frequency = values.count("moe_layer_freq", 1)
    values.require(frequency == 1, "moe_layer_freq", f"is {frequency}", "only 1 is supported")
    attention = LatentAttention(
        heads=values.count("num_attention_heads"),
        q_rank=values.optional_count("q_lora_rank"),
        kv_rank=values.count("kv_lora_rank"),
        rope_dim=values.count("qk_rope_head_dim"),
        nope_dim=values.count("qk_nope_head_dim"),
        value_dim=values.count("v_head_dim"),
    )
    dense_layers = values.count("first_k_dense_replace", least=0)
    experts = _experts(values, "n_routed_experts", values.count("n_shared_experts", 0, least=0))
    mtp_layers = values.count("num_nextn_predict_layers", 0, least=0)
    return _shape(values, name, source, attention, dense_layers, experts, mtp_layers)


def qwen3_moe(values: ConfigValues, name: str, source: str) -> ModelShape:
    """Grouped-query attention; experts in all layers but those that are listed or skipped."""
    layers = _layers(values)
    step = values.count("decoder_sparse_step", 1)
    dense = set(values.counts("mlp_only_layers"))
    # As in the published implementation: layer i has experts if it is not listed and (i + 1) is a multiple of the step.
    dense_layers = sum(index in dense or (index + 1) % step > 0 for index in range(layers))
    experts = _experts(values, "num_experts", 0)
    return _shape(values, name, source, _grouped_query_attention(values), dense_layers, experts)


def llama(values: ConfigValues, name: str, source: str) -> ModelShape:
    """Grouped-query attention, dense layers."""
    layers = _layers(values)
    return _shape(values, name, source, _grouped_query_attention(values), layers, None)


def _layers(values: ConfigValues) -> int:
    return values.count("num_hidden_layers", most=MAX_LAYERS)


def _grouped_query_attention(values: ConfigValues) -> GroupedQueryAttention:
    heads, hidden = values.count("num_attention_heads"), values.count("hidden_size")
    kv_heads = values.count("num_key_value_heads", heads)
    values.require(
        heads % kv_heads == 0,
        "num_key_value_heads",
        f"is {kv_heads}, which does not divide the {heads} query heads",
        f"give a divisor of {heads}",
    )
    if values.optional_count("head_dim") is None:
        values.require(
            hidden % heads == 0,
            "hidden_size",
            f"is {hidden}, no multiple of the {heads} heads",
            "give head_dim, or a multiple",
        )
    return GroupedQueryAttention(heads, kv_heads, values.count("head_dim", hidden // heads))


def _experts(values: ConfigValues, count_name: str, shared: int) -> Experts:
    routed, per_token = values.count(count_name), values.count("num_experts_per_tok")
    values.require(
        per_token <= routed,
        "num_experts_per_tok",
        f"is {per_token}, but there are {routed} routed experts",
        f"give at most {routed}",
    )
    return Experts(routed, per_token, shared, values.count("moe_intermediate_size"))


def _shape(
    values: ConfigValues,
    name: str,
    source: str,
    attention: Attention,
    dense_layers: int,
    experts: Experts | None,
    mtp_layers: int = 0,
) -> ModelShape:
    layers = _layers(values)
    values.require(
        dense_layers <= layers,
        "first_k_dense_replace",
        f"is {dense_layers}, but there are {layers} layers",
        f"give at most {layers}",
    )
    return ModelShape(
        name=name,
        source=source,
        confidence=Confidence.MODEL_CARD,
        hidden=values.count("hidden_size"),
        layers=layers,
        dense_layers=dense_layers,
        # Configurations of models without a dense layer carry a figure that nothing uses.
        dense_intermediate=values.count("intermediate_size") if dense_layers else 0,
        attention=attention,
        experts=experts if dense_layers < layers else None,
        vocabulary=values.count("vocab_size"),
        max_positions=values.count("max_position_embeddings"),
        tied_embedding=values.flag("tie_word_embeddings", False),
        mtp_layers=mtp_layers,
    )
