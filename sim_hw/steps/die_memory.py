"""What lies in the HBM of the fullest die at an operating point; the batch that still fits.

Weights stay resident; buffers of the exchange follow CloudMatrix-Infer's rule, ranks x rows x message; a tenth is kept
for activations, graphs and fragmentation, as serving engines do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim_hw.chips.sheet import fit_of
from sim_hw.errors import DoesNotFitError
from sim_hw.figure import Confidence, Figure
from sim_hw.models.attention import LatentAttention
from sim_hw.operators.attention import KV_BYTES_PER_ELEMENT
from sim_hw.operators.collectives import Exchange
from sim_hw.operators.layout import expert_layout, tensor_ranks
from sim_hw.operators.operating_point import DecodePoint, Instance, PrefillPoint

RESERVE_SHARE = Figure(
    0.10, "1", "activations, graphs, fragmentation; serving engines usually take a share of 0.9", Confidence.ESTIMATE
)

PREFILL_BUFFER_BYTES = Figure(
    645 * 2**20,
    "B",
    "assumed: large passes are exchanged in slices through buffers as large as decode's",
    Confidence.ESTIMATE,
)


@dataclass(frozen=True, slots=True)
class DieMemory:
    """Bytes by use; `capacity_bytes` is the die's."""

    parts_bytes: dict[str, float]
    capacity_bytes: float

    @property
    def needed_bytes(self) -> float:
        return sum(self.parts_bytes.values())

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= self.capacity_bytes


def weights_bytes(instance: Instance, is_split_by_head: bool) -> dict[str, float]:
    """Weights of one die by kind, the MTP module included if the model has one.

    With `is_split_by_head` (staged prefill) projections into heads and the vocabulary are spread over all ranks. A
    dense model splits everything over its tensor-parallel ranks.
    """
    shape, layout, ranks = instance.model, expert_layout(instance), tensor_ranks(instance)
    head_ranks = min(instance.num_ranks, shape.heads) if is_split_by_head else ranks
    attention = shape.attention_shared_parameters / ranks + shape.attention_head_parameters / head_ranks
    expert_layer = layout.slots_per_rank * shape.expert_parameters + shape.router_parameters if layout else 0
    vocabularies = (1 if shape.tied_embedding else 2) * shape.embedding_parameters
    parameters = {
        "attention": shape.layers * attention,
        "experts": shape.moe_layers * expert_layer,
        "dense_ffn": shape.dense_layers * shape.dense_parameters / ranks,
        "vocabulary": vocabularies / head_ranks,
        "mtp": shape.mtp_layers * (attention + expert_layer + shape.mtp_projection_parameters),
    }
    size = instance.precision.bytes_per_element
    return {kind: count * size for kind, count in parameters.items() if count}


def decode_memory(point: DecodePoint) -> DieMemory:
    """Of the fullest die, without asking whether it fits."""
    layout, ranks = expert_layout(point), tensor_ranks(point)
    requests = point.requests_per_rank
    heads = min(ranks, point.model.attention.cached_heads)
    kv_bytes = (
        requests * ranks * point.context_tokens * point.model.kv_bytes_per_token(point.mtp_k > 0, KV_BYTES_PER_ELEMENT)
    )
    buffers = 0.0
    if layout:
        copies = min(point.model.experts_per_token, layout.slots_per_rank)
        exchange = Exchange(point.cluster, fit_of(point.chip), layout.ep, point.model.hidden, 1)
        message_bytes = exchange.message_bytes("dispatch") + exchange.message_bytes("combine")
        buffers = layout.ep * requests * point.rows_per_request * copies * message_bytes
    return _die_memory(point, weights_bytes(point, False), buffers, kv_bytes / heads)


def prefill_memory(point: PrefillPoint) -> DieMemory:
    """Of one die; staged attention keeps the whole pass's latents on each (one latent head cannot be split)."""
    is_latent = isinstance(point.model.attention, LatentAttention)
    is_staged = fit_of(point.chip).is_staged_prefill and is_latent and tensor_ranks(point) == 1
    sharing = point.num_ranks if is_staged else tensor_ranks(point)
    heads = min(sharing, point.model.attention.cached_heads)
    tokens = point.tokens_per_rank * sharing
    kv_bytes = tokens * point.model.kv_bytes_per_token(False, KV_BYTES_PER_ELEMENT) / heads
    buffers = PREFILL_BUFFER_BYTES.value if expert_layout(point) else 0.0
    return _die_memory(point, weights_bytes(point, is_staged), buffers, kv_bytes)


def check_decode(point: DecodePoint) -> DieMemory:
    """The memory map of `point`. Raises `DoesNotFitError` with the batch that would fit."""
    memory = decode_memory(point)
    if memory.fits:
        return memory
    fitting = largest_fitting_batch(point)
    if fitting:
        raise DoesNotFitError(f"{_needs(memory)}: lower --batch to {fitting} or --context, or raise --ep")
    raise DoesNotFitError(f"{_needs(memory)} even with a batch of 1: raise --npus and --ep, or lower --context")


def check_prefill(point: PrefillPoint) -> DieMemory:
    """The memory map of `point`. Raises `DoesNotFitError` with the number of tokens that would fit."""
    memory = prefill_memory(point)
    if memory.fits:
        return memory
    kv_bytes = memory.parts_bytes["kv"]
    left_bytes = kv_bytes - (memory.needed_bytes - memory.capacity_bytes)
    fitting = int(point.batch_tokens_per_npu * left_bytes / kv_bytes)
    if fitting >= 1:
        raise DoesNotFitError(f"{_needs(memory)}: lower --batch-tokens to {fitting} or raise --ep")
    raise DoesNotFitError(f"{_needs(memory)} whatever the batch: raise --npus and --ep")


def largest_fitting_batch(point: DecodePoint) -> int:
    """The most requests per NPU whose KV and buffers fit; 0 if not even one does."""
    dies = point.chip.num_dies.count
    one = decode_memory(replace(point, batch_per_npu=dies))
    two = decode_memory(replace(point, batch_per_npu=2 * dies))
    request_bytes = two.needed_bytes - one.needed_bytes
    spare_bytes = one.capacity_bytes - one.needed_bytes + request_bytes
    return max(0, int(spare_bytes // request_bytes)) * dies


def _die_memory(instance: Instance, weights: dict[str, float], buffers: float, kv_bytes: float) -> DieMemory:
    capacity_bytes = instance.chip.die.hbm_bytes.value
    parts = {f"weights_{kind}": value for kind, value in weights.items()}
    parts |= {"buffers": buffers, "kv": kv_bytes, "reserve": RESERVE_SHARE.value * capacity_bytes}
    return DieMemory(parts, capacity_bytes)


def _needs(memory: DieMemory) -> str:
    return f"needs {memory.needed_bytes / 1e9:.1f} GB per die, {memory.capacity_bytes / 1e9:.0f} GB available"
