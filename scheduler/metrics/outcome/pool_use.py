"""What the cache pools came to, from their last reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scheduler.metrics.columns import NS_PER_S
from scheduler.protocol.messages import CacheReported, TransferKind


@dataclass(frozen=True, slots=True)
class TierUse:
    """Tokens of KV held at the end, of a capacity; tokens of hits that came from this tier; blocks evicted from it.

    `read_bytes` and `written_bytes` are those of finished transfers from and to this tier, on whatever plane.
    """

    capacity_tokens: int
    held_tokens: int
    hit_tokens: int
    evicted_blocks: int
    read_bytes: int
    written_bytes: int


@dataclass(frozen=True, slots=True)
class PoolUse:
    """All servers of all pools together. `dedup_ratio`: tokens to be stored over those that were new, None without any.

    `evicted_age_s`: mean time since its last use of a block that left DRAM, None if none did. Blocks are lost with
    a server, and moved when servers join or are drained. Look-ups of requests that never began count in `hit_tokens`.
    """

    num_servers: int
    dram: TierUse
    ssd: TierUse
    stored_tokens: int
    dedup_ratio: float | None
    evicted_age_s: float | None
    lost_blocks: int
    moved_blocks: int


def pool_use(reports: Sequence[CacheReported], moved: Mapping[TransferKind, int]) -> PoolUse:
    """Of all pools together, and bytes `moved` on all planes by what for; all zero without one."""

    def total(field: str) -> int:
        return sum(getattr(report, field) for report in reports)

    def tier(name: str, read: TransferKind, written: TransferKind) -> TierUse:
        fields = ("capacity_tokens", "tokens", "hit_tokens", "evicted_blocks")
        return TierUse(
            *(total(f"{name}_{field}") for field in fields), *(moved.get(kind, 0) for kind in (read, written))
        )

    dram, stored = tier("dram", TransferKind.CACHE_READ, TransferKind.CACHE_WRITE), total("stored_tokens")
    return PoolUse(
        total("num_servers"),
        dram,
        tier("ssd", TransferKind.CACHE_SSD_READ, TransferKind.CACHE_SSD_WRITE),
        stored,
        total("offered_tokens") / stored if stored else None,
        total("evicted_age_ns") / NS_PER_S / dram.evicted_blocks if dram.evicted_blocks else None,
        total("lost_blocks"),
        total("moved_blocks"),
    )
