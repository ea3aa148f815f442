"""What the cache pool came to, from its last report."""

from __future__ import annotations

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
    """All servers together. `dedup_ratio`: tokens that were to be stored over those that were new, None without any.

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


def pool_use(report: CacheReported | None) -> PoolUse:
    """All zero without a pool."""
    if report is None:
        nothing = TierUse(0, 0, 0, 0)
        return PoolUse(0, nothing, nothing, 0, None, None, 0, 0)
    ages_s, evicted = report.evicted_age_ns / NS_PER_S, report.dram_evicted_blocks
    return PoolUse(
        report.num_servers,
        TierUse(report.dram_capacity_tokens, report.dram_tokens, report.dram_hit_tokens, evicted),
        TierUse(report.ssd_capacity_tokens, report.ssd_tokens, report.ssd_hit_tokens, report.ssd_evicted_blocks),
        report.stored_tokens,
        report.offered_tokens / report.stored_tokens if report.stored_tokens else None,
        ages_s / evicted if evicted else None,
        report.lost_blocks,
        report.moved_blocks,
    )
