"""How much KV an instance has room for, in blocks, and how many sequences its dies take."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.chip import Chip
from sim_hw.errors import DoesNotFitError
from sim_hw.figure import Confidence, Figure
from sim_hw.operators.operating_point import DecodePoint, Instance, PrefillPoint
from sim_hw.steps.die_memory import RESERVE_SHARE, DieMemory, aggregated_memory, decode_memory, prefill_memory

KV_BLOCK_TOKENS = 128
"""Tokens of a KV block; CloudMatrix-Infer pages its cache in blocks of 128 to 512 tokens (arXiv 2506.12708 v3)."""

ASCEND_ROWS_PER_DIE = Figure(
    96,
    "token row",
    "size of the dispatch and combine buffers; CloudMatrix paper, arXiv 2506.12708 v2 and v3",
    Confidence.TWO_SOURCES,
)

OTHER_ROWS_PER_DIE = Figure(256, "token row", "assumed: the usual cap of serving engines on GPUs", Confidence.ESTIMATE)


class DecodeRoom(Struct, frozen=True):
    """Of one die."""

    kv_blocks: int
    sequences: int


def decode_room(point: DecodePoint, reserve_share: float = RESERVE_SHARE.value) -> DecodeRoom:
    """Of the instance of `point`, whatever load that names. Raises `HardwareModelError` if nothing fits."""
    return _room(point, reserve_share, decode_memory)


def aggregated_room(
    decode: DecodePoint, prefill: PrefillPoint, reserve_share: float = RESERVE_SHARE.value
) -> DecodeRoom:
    """Of the instance whose parts have these points. Raises `HardwareModelError` if nothing fits."""
    prefill.check()
    return _room(decode, reserve_share, lambda full: aggregated_memory(full, prefill))


def _room(point: DecodePoint, reserve_share: float, memory_of: Callable[[DecodePoint], DieMemory]) -> DecodeRoom:
    sequences = _rows_per_die(point.chip) // point.rows_per_request
    full = replace(point, batch_per_npu=sequences * point.chip.num_dies.count, context_tokens=KV_BLOCK_TOKENS)
    full.check()
    memory = memory_of(full)
    return DecodeRoom(_blocks(full, memory, memory.parts_bytes["kv"] / sequences, reserve_share), sequences)


def prefill_blocks(point: PrefillPoint, reserve_share: float = RESERVE_SHARE.value) -> int:
    """KV blocks of the whole instance of `point`; where each rank holds all KV, they are those of one die.

    Raises `HardwareModelError` if nothing fits.
    """
    point.check()
    memory = prefill_memory(point)
    tokens = point.batch_tokens_per_npu * point.num_npus
    return _blocks(point, memory, memory.parts_bytes["kv"] / tokens * KV_BLOCK_TOKENS, reserve_share)


def _blocks(instance: Instance, memory: DieMemory, block_bytes: float, reserve_share: float) -> int:
    taken = sum(size for part, size in memory.parts_bytes.items() if part not in ("kv", "reserve"))
    room_bytes = (1.0 - reserve_share) * memory.capacity_bytes - taken
    if room_bytes < block_bytes:
        # A dense model that is there several times over gets no more room from further NPUs.
        is_repeated = not instance.model.experts and instance.ep < instance.num_ranks
        fix = "take a smaller model, or a cluster with more HBM per die" if is_repeated else "take more NPUs"
        raise DoesNotFitError(
            f"an instance of {instance.num_npus} NPUs: weights and buffers of {taken / 1e9:.1f} GB per die leave no "
            f"room for KV in {memory.capacity_bytes / 1e9:.0f} GB; {fix}"
        )
    return int(room_bytes // block_bytes)


def _rows_per_die(chip: Chip) -> int:
    return (OTHER_ROWS_PER_DIE if chip.die.cube_cores is None else ASCEND_ROWS_PER_DIE).count
