"""What follows from a model's shape: parameters by kind, work and KV per token."""

from __future__ import annotations

from msgspec import Struct

from sim_hw.models.attention import LatentAttention
from sim_hw.models.shape import ModelShape


class ModelTotals(Struct, frozen=True):
    """Of the whole model. KV is BF16."""

    parameters: dict[str, int]
    """By kind; the kinds add to the total, `mtp` comes on top of it."""
    total_parameters: int
    active_parameters: int
    mtp_parameters: int
    linear_flops_per_token: int
    prefill_attention_flops_per_pair: int
    """All layers."""
    decode_attention_flops_per_kv_token: int
    """All layers."""
    kv_bytes_per_token: int
    kv_bytes_per_token_with_mtp: int
    attention_kind: str


def totals(shape: ModelShape) -> ModelTotals:
    """The derived figures of a model."""
    shared = shape.experts.shared if shape.experts else 0
    by_kind = {
        "embedding": shape.embedding_parameters,
        "output_head": 0 if shape.tied_embedding else shape.embedding_parameters,
        "attention": shape.layers * shape.attention_parameters,
        "dense_ffn": shape.dense_layers * shape.dense_parameters,
        "routed_experts": shape.moe_layers * shape.routed_experts * shape.expert_parameters,
        "shared_experts": shape.moe_layers * shared * shape.expert_parameters,
        "router": shape.moe_layers * shape.router_parameters,
    }
    return ModelTotals(
        parameters=by_kind,
        total_parameters=shape.total_parameters,
        active_parameters=shape.active_parameters,
        mtp_parameters=shape.mtp_parameters,
        linear_flops_per_token=shape.linear_flops_per_token,
        prefill_attention_flops_per_pair=shape.layers * shape.prefill_attention_flops_per_pair,
        decode_attention_flops_per_kv_token=shape.layers * shape.decode_attention_flops_per_kv_token,
        kv_bytes_per_token=shape.kv_bytes_per_token(mtp=False),
        kv_bytes_per_token_with_mtp=shape.kv_bytes_per_token(mtp=True),
        attention_kind="latent" if isinstance(shape.attention, LatentAttention) else "grouped_query",
    )
