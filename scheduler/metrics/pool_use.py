"""What the cache pools came to, from their last reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.metrics.columns import NS_PER_S
from scheduler.protocol.messages import CacheReported


@dataclass(frozen=True, slots=True)
class TierUse:
    """Tokens of KV held at the end, of a capacity; tokens of hits that came from this tier; blocks evicted from it."""

    capacity_tokens: int
    held_tokens: int
    hit_tokens: int
    evicted_blocks: int


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


def pool_use(reports: Sequence[CacheReported]) -> PoolUse:
    """Of all pools together; all zero without one."""

    def total(field: str) -> int:
        return sum(getattr(report, field) for report in reports)

    def tier(name: str) -> TierUse:
        fields = ("capacity_tokens", "tokens", "hit_tokens", "evicted_blocks")
        return TierUse(*(total(f"{name}_{field}") for field in fields))

    dram, stored = tier("dram"), total("stored_tokens")
    return PoolUse(
        total("num_servers"),
        dram,
        tier("ssd"),
        stored,
        total("offered_tokens") / stored if stored else None,
        total("evicted_age_ns") / NS_PER_S / dram.evicted_blocks if dram.evicted_blocks else None,
        total("lost_blocks"),
        total("moved_blocks"),
    )
