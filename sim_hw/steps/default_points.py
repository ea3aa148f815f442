"""The operating points that a question starts from when the user names only a cluster and a model."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from sim_hw.clusters.supernode import StageLayout, Supernode
from sim_hw.models.shape import ModelShape
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.operators.parallelism import Parallelism
from sim_hw.steps.die_memory import largest_fitting_batch

PUBLISHED_BATCH = 96
"""Requests per package of CloudMatrix-Infer's decode instance."""


def default_decode_point(cluster: Supernode, model: ModelShape) -> DecodePoint:
    """The decode instance that `cluster` is served with by default, at the published batch and context.

    The batch is smaller where that does not fit.
    """
    layout = cluster.defaults.decode
    point = DecodePoint(
        cluster=cluster,
        model=model,
        num_npus=layout.num_npus,
        ep=_default_ep(cluster, model, layout),
        overlap=layout.overlap,
        **_shares(model, layout),
        batch_per_npu=PUBLISHED_BATCH,
        context_tokens=4096,
        mtp_k=min(1, model.mtp_layers),
    )
    fitting = largest_fitting_batch(point)
    return replace(point, batch_per_npu=min(PUBLISHED_BATCH, fitting)) if fitting else point


def default_prefill_point(cluster: Supernode, model: ModelShape) -> PrefillPoint:
    """The prefill instance that `cluster` is served with by default, at the batch and prompt of the published one."""
    layout = cluster.defaults.prefill
    return PrefillPoint(
        cluster=cluster,
        model=model,
        num_npus=layout.num_npus,
        ep=_default_ep(cluster, model, layout),
        overlap=layout.overlap,
        **_shares(model, layout),
        batch_tokens_per_npu=16_384,
        prompt_tokens=4096,
    )


def _shares(model: ModelShape, layout: StageLayout) -> dict[str, Any]:
    """What the cluster says of how ranks share layers; a dense model has no experts to share."""
    given = {name: getattr(layout, name) for name in Parallelism.__struct_fields__}
    return {name: count for name, count in given.items() if count and (model.experts or name != "expert_tp")}


def _default_ep(cluster: Supernode, model: ModelShape, layout: StageLayout) -> int:
    """A dense model is split over no more ranks than it has heads to cache, nor than a node has."""
    if model.experts:
        return layout.ep
    if layout.tp is not None:
        return layout.tp
    return min(layout.ep, model.attention.cached_heads, cluster.npus_per_node.count * cluster.chip.num_dies.count)
