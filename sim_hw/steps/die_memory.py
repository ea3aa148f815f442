"""What lies in the HBM of the fullest die at an operating point; the batch that still fits.

Weights stay resident; buffers of the all-to-all follow CloudMatrix-Infer's rule, ranks x rows x message; a tenth is
kept for activations, graphs and fragmentation, as serving engines do.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.sheet import fit_of
from sim_hw.errors import DoesNotFitError, OperatingPointError
from sim_hw.figure import Confidence, Figure
from sim_hw.operators.attention import shared_parameters
from sim_hw.operators.collectives import ExpertAllToAll
from sim_hw.operators.layout import expert_layout, tensor_ranks
from sim_hw.operators.operating_point import DecodePoint, Drafter, Instance, PrefillPoint, draft_layers
from sim_hw.operators.sharing import sharing_of
from sim_hw.steps.decode_step import eagle_ffn_parameters
from sim_hw.steps.prefill_pass import is_staged

AnyPoint = TypeVar("AnyPoint", bound=Instance)

RESERVE_SHARE = Figure(
    0.10, "1", "activations, graphs, fragmentation; serving engines usually take a share of 0.9", Confidence.ESTIMATE
)

PREFILL_RESERVE_SHARE = Figure(
    0.08,
    "1",
    "as of decode without its graphs; a published prefill of DeepSeek-R1 on four GB200 fits",
    Confidence.ESTIMATE,
)

PREFILL_BUFFER_BYTES = Figure(
    645 * 2**20,
    "B",
    "assumed: large passes are exchanged in slices through buffers as large as decode's",
    Confidence.ESTIMATE,
)


class DieMemory(Struct, frozen=True):
    """Bytes by use; `capacity_bytes` is the die's."""

    parts_bytes: dict[str, float]
    capacity_bytes: float

    @property
    def needed_bytes(self) -> float:
        return sum(self.parts_bytes.values())

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= self.capacity_bytes


def weights_bytes(instance: Instance, is_split_by_head: bool, drafter: Drafter | None = None) -> dict[str, float]:
    """Weights of one die by kind, with those of what drafts.

    With `is_split_by_head` (staged prefill) projections into heads and the vocabulary are spread over all ranks; else
    attention and vocabulary over those that share attention. Of a pipeline it is the longest stage.
    """
    shape, layout, ranks = instance.model, expert_layout(instance), tensor_ranks(instance)
    head_ranks = min(instance.stage_ranks, shape.heads) if is_split_by_head else ranks
    attention = sum(shared_parameters(shape, ranks).values())
    if is_split_by_head:
        attention = shape.attention_shared_parameters + shape.attention_head_parameters / head_ranks
    # In parameters of the size that all others have.
    expert_size = instance.expert_bytes / instance.precision.bytes_per_element
    experts = layout.slots_per_rank * shape.expert_parameters / instance.expert_tp * expert_size if layout else 0.0
    expert_layer = experts + shape.router_parameters if layout else 0.0
    vocabularies = (1 if shape.tied_embedding or instance.pp > 1 else 2) * shape.embedding_parameters
    stage_layers = -(-shape.layers // instance.pp)
    drafts = {
        Drafter.MTP: shape.mtp_layers * (attention + expert_layer + shape.mtp_projection_parameters),
        Drafter.EAGLE: attention + eagle_ffn_parameters(shape) / ranks + shape.mtp_projection_parameters,
    }
    parameters = {
        "attention": stage_layers * attention,
        "experts": min(stage_layers, shape.moe_layers) * expert_layer,
        "dense_ffn": instance.layer_share * shape.dense_layers * shape.dense_parameters / sharing_of(instance).dense,
        "vocabulary": vocabularies / head_ranks,
        "drafter" if drafter is Drafter.EAGLE else "mtp": drafts.get(drafter, 0.0) if drafter else 0.0,
    }
    size = instance.precision.bytes_per_element
    return {kind: count * size for kind, count in parameters.items() if count}


def decode_memory(point: DecodePoint) -> DieMemory:
    """Of the fullest die, without asking whether it fits."""
    layout, ranks = expert_layout(point), tensor_ranks(point)
    requests = point.requests_per_rank
    heads = min(ranks, point.model.attention.cached_heads)
    drafter = point.drafter if point.mtp_k else None
    layers = point.model.layers + (draft_layers(drafter, point.model) if drafter else 0)
    layer_bytes = point.model.attention.cached_elements * point.kv_precision.bytes_per_element
    kv_bytes = requests * ranks * point.context_tokens * layers * layer_bytes / heads
    weights = weights_bytes(point, False, drafter)
    if drafter is Drafter.MODEL and point.draft_model is not None:
        small = point.draft_model
        weights["drafter"] = small.total_parameters / ranks * point.precision.bytes_per_element
        small_bytes = small.layers * small.attention.cached_elements * point.kv_precision.bytes_per_element
        kv_bytes += requests * ranks * point.context_tokens * small_bytes / min(ranks, small.attention.cached_heads)
    buffers = 0.0
    if layout and not sharing_of(point).is_joined:
        copies = min(point.model.experts_per_token, layout.slots_per_rank)
        all_to_all = ExpertAllToAll(point.cluster, fit_of(point.chip), layout.ep, point.model.hidden, 1)
        message_bytes = all_to_all.message_bytes("dispatch") + all_to_all.message_bytes("combine")
        buffers = layout.ep * point.expert_tp * requests * point.rows_per_request * copies * message_bytes
    return _die_memory(point, weights, buffers, kv_bytes)


def prefill_memory(point: PrefillPoint) -> DieMemory:
    """Of one die; staged attention keeps the whole pass's latents on each (one latent head cannot be split)."""
    staged = is_staged(point, fit_of(point.chip))
    sharing = point.stage_ranks if staged else tensor_ranks(point)
    heads = min(sharing, point.model.attention.cached_heads)
    tokens = point.pp * point.tokens_per_rank * sharing
    token_bytes = point.model.kv_bytes_per_token(False, point.kv_precision.bytes_per_element)
    kv_bytes = tokens * point.layer_share * token_bytes / heads
    buffers = PREFILL_BUFFER_BYTES.value if expert_layout(point) and not sharing_of(point).is_joined else 0.0
    return _die_memory(point, weights_bytes(point, staged), buffers, kv_bytes, PREFILL_RESERVE_SHARE)


def aggregated_memory(decode: DecodePoint, prefill: PrefillPoint) -> DieMemory:
    """Of the fullest die of an instance that does both: weights and KV as decode has them, whole on each rank, and the
    larger buffers of the two."""
    memory = decode_memory(decode)
    buffers = prefill_memory(prefill).parts_bytes["buffers"]
    return memory if memory.parts_bytes["buffers"] >= buffers else _with_buffers(memory, buffers)


def _with_buffers(memory: DieMemory, buffers: float) -> DieMemory:
    return replace(memory, parts_bytes={**memory.parts_bytes, "buffers": buffers})


def check_decode(point: DecodePoint) -> DieMemory:
    """The memory map of `point`. Raises `DoesNotFitError` with what would fit."""
    memory = decode_memory(point)
    if memory.fits:
        return memory
    fixes: list[str] = []
    batch, context = largest_fitting_batch(point), _largest_fitting_context(point, memory)
    if batch:
        fixes.append(f"lower --batch to {batch}")
    if context:
        fixes.append(f"lower --context to {context}")
    needs = _needs(memory) if batch else f"{_needs(memory)} even with a batch of 1"
    raise DoesNotFitError(f"{needs}: {_either([*fixes, *_other_size(point, decode_memory)])}")


def check_prefill(point: PrefillPoint) -> DieMemory:
    """The memory map of `point`. Raises `DoesNotFitError` with what would fit."""
    memory = prefill_memory(point)
    if memory.fits:
        return memory
    tokens = int(point.batch_tokens_per_npu * _kv_share_that_fits(memory))
    fixes = [f"lower --batch-tokens to {tokens}"] if tokens >= 1 else []
    needs = _needs(memory) if fixes else f"{_needs(memory)} whatever the batch"
    raise DoesNotFitError(f"{needs}: {_either([*fixes, *_other_size(point, prefill_memory)])}")


def check_aggregated(decode: DecodePoint, prefill: PrefillPoint) -> DieMemory:
    """The memory map of an instance that does both. Raises `DoesNotFitError` with what would fit."""
    memory = aggregated_memory(decode, prefill)
    if memory.fits:
        return memory

    def memory_of(size: DecodePoint) -> DieMemory:
        return aggregated_memory(size, replace(prefill, num_npus=size.num_npus, ep=size.ep))

    batch = largest_aggregated_fit(decode, prefill)
    fixes = [f"lower --batch to {batch}"] if batch else []
    needs = _needs(memory) if batch else f"{_needs(memory)} even with a batch of 1"
    raise DoesNotFitError(f"{needs}: {_either([*fixes, *_other_size(decode, memory_of)])}")


def _kv_share_that_fits(memory: DieMemory) -> float:
    """Of the KV, with all else as it is; not above 0 where that alone is too much."""
    return 1.0 - (memory.needed_bytes - memory.capacity_bytes) / memory.parts_bytes["kv"]


def _largest_fitting_context(point: DecodePoint, memory: DieMemory) -> int:
    return max(0, int(point.context_tokens * _kv_share_that_fits(memory)))


def _other_size(point: AnyPoint, memory_of: Callable[[AnyPoint], DieMemory]) -> list[str]:
    """The flags of the nearest larger instance of whole packages that holds the same load per NPU, else of the nearest
    smaller one; none if no size does.

    Each size is tried, since neither direction is sure to help: more ranks hold fewer weights each, but the buffers of
    a rank grow with them, and in staged prefill so do the latents, which each rank keeps of all.
    """
    dies = point.chip.num_dies.count
    group = point.expert_tp * point.pp
    larger = [
        (ep, max(point.num_npus, -(-ep * group // dies)))
        for ep in _sizes(point.ep // dies + 1, point.cluster.num_npus // group, dies)
    ]
    smaller = [(ep, ep * group // dies) for ep in reversed(_sizes(1, (point.ep - 1) // dies, dies))]
    for verb, sizes in (("raise", larger), ("lower", smaller)):
        for ep, num_npus in sizes:
            other = replace(point, ep=ep, num_npus=num_npus)
            # Slots that cannot hold all experts, ranks that do not share evenly.
            with suppress(DoesNotFitError, OperatingPointError):
                other.check()
                if memory_of(other).fits:
                    npus = f"--npus to {num_npus} and " if num_npus != point.num_npus else ""
                    return [f"{verb} {npus}--ep to {ep}"]
    return []


def _sizes(least: int, most: int, dies: int) -> range:
    """Ranks of instances of so many packages."""
    return range(least * dies, most * dies + 1, dies)


def _either(fixes: list[str]) -> str:
    """What to do instead, any of these."""
    *first, last = fixes or ["take a smaller model, or a cluster with more HBM per die"]
    return f"{', '.join(first)} or {last}" if first else last


def largest_fitting_batch(point: DecodePoint) -> int:
    """The most requests per NPU whose KV and buffers fit; 0 if not even one does."""
    return _largest_fit(point, decode_memory)


def largest_aggregated_fit(decode: DecodePoint, prefill: PrefillPoint) -> int:
    """Likewise, of an instance that does both."""
    buffers = prefill_memory(prefill).parts_bytes["buffers"]
    beside_prompts = _largest_fit(decode, lambda point: _with_buffers(decode_memory(point), buffers))
    return min(beside_prompts, largest_fitting_batch(decode))


def _largest_fit(point: DecodePoint, memory_of: Callable[[DecodePoint], DieMemory]) -> int:
    dies = point.chip.num_dies.count
    one = memory_of(replace(point, batch_per_npu=dies))
    two = memory_of(replace(point, batch_per_npu=2 * dies))
    request_bytes = two.needed_bytes - one.needed_bytes
    spare_bytes = one.capacity_bytes - one.needed_bytes + request_bytes
    return max(0, int(spare_bytes // request_bytes)) * dies


def _die_memory(
    instance: Instance,
    weights: dict[str, float],
    buffers: float,
    kv_bytes: float,
    reserve_share: Figure = RESERVE_SHARE,
) -> DieMemory:
    capacity_bytes = instance.chip.die.hbm_bytes.value
    parts = {f"weights_{kind}": value for kind, value in weights.items()}
    reserve = reserve_share.value if instance.reserve_share is None else instance.reserve_share
    parts |= {"buffers": buffers, "kv": kv_bytes, "reserve": reserve * capacity_bytes}
    return DieMemory(parts, capacity_bytes)


def _needs(memory: DieMemory) -> str:
    return f"needs {memory.needed_bytes / 1e9:.1f} GB per die, {memory.capacity_bytes / 1e9:.0f} GB available"
