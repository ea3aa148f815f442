"""Prefix caches: how many prompt tokens were found there, and the pools that hold them.

Two things are counted, under two names (docs/caching.md, "Hit and found"). *Hit* is what prefill used: of each prompt
whose prefill began, in whatever cache there is, the tokens that it had not to compute; `begun_tokens` counts both ways
of measuring, live by instance (`EngineTotals`). *Found* is what look-ups of a pool found, as its
servers report of themselves (`CacheReported`); both ways of measuring add reports up by `PoolReports`. What was read
and written is the fabric's account, by kinds of transfers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from scheduler.metrics.columns import NS_PER_S, ratio
from scheduler.metrics.family import Family, Labels, by_value
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.pool_reports import PoolReports
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subject import SUBJECTS, Account, Handlers, Session, Subject
from scheduler.metrics.subjects.engines import EngineTotals
from scheduler.metrics.subjects.fabric import FabricTotals
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import CacheReported

CACHE_TIERS: Final = ("dram", "ssd")
"""Memories of cache servers, in the order of what `CacheTotals` has by tier."""

_READS: Final = (TransferKind.CACHE_READ, TransferKind.CACHE_SSD_READ)
_WRITES: Final = (TransferKind.CACHE_WRITE, TransferKind.CACHE_SSD_WRITE)
"""By tier."""


class CacheTotals(Struct, frozen=True):
    """All cache pools as last reported: servers that are up, tokens that they can hold and hold, by tier; then counts
    over all sessions, as `CacheReported` has them, with tokens found and evictions by tier."""

    num_servers: int = 0
    capacity_tokens: tuple[int, ...] = (0, 0)
    held_tokens: tuple[int, ...] = (0, 0)
    asked_tokens: int = 0
    found_tokens: tuple[int, ...] = (0, 0)
    offered_tokens: int = 0
    stored_tokens: int = 0
    evicted_blocks: tuple[int, ...] = (0, 0)
    evicted_age_s: float = 0.0
    lost_blocks: int = 0
    moved_blocks: int = 0


def cache_totals(reports: PoolReports) -> CacheTotals:
    """All pools together."""

    def by_tier(field: str) -> tuple[int, ...]:
        return tuple(reports.sum(f"{tier}_{field}") for tier in CACHE_TIERS)

    return CacheTotals(
        num_servers=reports.sum("num_servers"),
        capacity_tokens=by_tier("capacity_tokens"),
        held_tokens=by_tier("tokens"),
        asked_tokens=reports.sum("asked_tokens"),
        found_tokens=by_tier("found_tokens"),
        offered_tokens=reports.sum("offered_tokens"),
        stored_tokens=reports.sum("stored_tokens"),
        evicted_blocks=by_tier("evicted_blocks"),
        evicted_age_s=reports.sum("evicted_age_ns") / NS_PER_S,
        lost_blocks=reports.sum("lost_blocks"),
        moved_blocks=reports.sum("moved_blocks"),
    )


class CacheAccount(Account[CacheTotals]):
    """Told of each report of a pool; a session begins with pools that are empty, and unheard of."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._reports = PoolReports()

    def handlers(self) -> Handlers:
        """Reports."""
        return {CacheReported: lambda _, message: self._reports.add(message)}

    def begin(self, session: Session) -> None:
        """A session has pools of its own."""
        self._reports.restart()

    def totals(self, session: Session | None) -> CacheTotals:
        """As they stand."""
        return cache_totals(self._reports)


class TierUse(Struct, frozen=True):
    """Tokens of KV held at the end, of a capacity; tokens that look-ups found in this tier; blocks evicted from it.

    `read_bytes` and `written_bytes` are those of finished transfers from and to this tier, on whatever plane.
    """

    capacity_tokens: int
    held_tokens: int
    found_tokens: int
    evicted_blocks: int
    read_bytes: int
    written_bytes: int


class PoolUse(Struct, frozen=True):
    """All servers of all pools together. `dedup_ratio`: tokens to be stored over those that were new, None without any.

    `asked_tokens`: of all prompts that pools were asked about, begun or not; what of them was found stands by
    tier. `evicted_age_s`: mean time since its last use of a block that left DRAM, None if none did. Blocks are lost
    with a server, and moved when servers join or are drained.
    """

    num_servers: int
    asked_tokens: int
    dram: TierUse
    ssd: TierUse
    stored_tokens: int
    dedup_ratio: float | None
    evicted_age_s: float | None
    lost_blocks: int
    moved_blocks: int


def pool_use(pools: CacheTotals, moved: Mapping[TransferKind, int]) -> PoolUse:
    """Of pools, and bytes `moved` on all planes by what for."""
    by_tier = (pools.capacity_tokens, pools.held_tokens, pools.found_tokens, pools.evicted_blocks)
    dram, ssd = (
        TierUse(
            *(counts[tier] for counts in by_tier),
            read_bytes=moved.get(_READS[tier], 0),
            written_bytes=moved.get(_WRITES[tier], 0),
        )
        for tier in range(len(CACHE_TIERS))
    )
    return PoolUse(
        pools.num_servers,
        pools.asked_tokens,
        dram,
        ssd,
        pools.stored_tokens,
        ratio(pools.offered_tokens, pools.stored_tokens),
        ratio(pools.evicted_age_s, dram.evicted_blocks),
        pools.lost_blocks,
        pools.moved_blocks,
    )


class CacheUse(Struct, frozen=True):
    """Prompt tokens of prefills that began, and those of them that a prefix cache spared them; both 0 without one.

    A request that is requeued counts once more for each prefill that it begins.
    `pool` is the account of the cache pools themselves, all together.
    """

    hit_tokens: int
    lookup_tokens: int
    pool: PoolUse


def _summary(run: EndedRun) -> Mapping[str, Any]:
    collector = run.collector
    if not run.info.has_prefix_cache:
        return {"cache": CacheUse(0, 0, pool_use(CacheTotals(), {}))}
    moved = {
        kind: sum(int(collector.flow_rows(plane, kind)["num_bytes"].sum()) for plane in Plane) for kind in TransferKind
    }
    begun = collector.begun_rows()
    return {
        "cache": CacheUse(
            int(begun["hit_tokens"].sum()),
            int(begun["lookup_tokens"].sum()),
            pool_use(cache_totals(collector.pool_reports), moved),
        )
    }


_BY_TIER: Final = by_value(*CACHE_TIERS)

_ROUTES: Final = ((0, Plane.UB), (0, Plane.VPC), (1, Plane.VPC))
"""Index of each tier, and the planes on which it is reached."""

_TIERS_AND_PLANES: Final[list[Labels]] = [(CACHE_TIERS[tier], plane.name.lower()) for tier, plane in _ROUTES]


def _moved(snapshot: Snapshot, by_tier: Sequence[TransferKind]) -> list[float]:
    moved = snapshot[FabricTotals].moved
    return [moved[plane, by_tier[tier]] for tier, plane in _ROUTES]


FAMILIES: Final = (
    Family(
        "supernode_cache_lookup_tokens_total", "counter",
        "Prompt tokens of prefills that began, where there is a prefix cache.",
        lambda s: (sum(s[EngineTotals].lookup_tokens),),
    ),
    Family(
        "supernode_cache_hit_tokens_total", "counter",
        "Those of them that came from the prefix cache, and were not computed.",
        lambda s: (sum(s[EngineTotals].hit_tokens),),
    ),
    Family(
        "supernode_cache_servers", "gauge", "Nodes whose memory holds the cache pool, in the plan.",
        lambda s: (s.layout.num_cache_servers,),
    ),
    Family(
        "supernode_cache_pool_servers", "gauge", "Servers of the cache pools that are up.",
        lambda s: (s[CacheTotals].num_servers,),
    ),
    Family(
        "supernode_cache_pool_capacity_tokens", "gauge", "Tokens of KV that the servers that are up can hold.",
        lambda s: s[CacheTotals].capacity_tokens, ("tier",), _BY_TIER,
    ),
    Family(
        "supernode_cache_pool_held_tokens", "gauge", "Tokens of KV that they hold, by the granularity of allocation.",
        lambda s: s[CacheTotals].held_tokens, ("tier",), _BY_TIER,
    ),
    Family(
        "supernode_cache_pool_held_bytes", "gauge", "What those tokens of KV take.",
        lambda s: [tokens * s.layout.kv_bytes_per_token for tokens in s[CacheTotals].held_tokens],
        ("tier",), _BY_TIER,
    ),
    Family(
        "supernode_cache_pool_read_bytes_total", "counter",
        "Bytes of finished reads, by the memory that they came from and the plane that carried them; what was on SSD "
        "comes to DRAM over VPC, and counts there once more when it goes on.",
        lambda s: _moved(s, _READS), ("tier", "plane"), lambda _: _TIERS_AND_PLANES,
    ),
    Family(
        "supernode_cache_pool_written_bytes_total", "counter",
        "Bytes of finished writes, by the memory that they went to; SSD is written through.",
        lambda s: _moved(s, _WRITES), ("tier", "plane"), lambda _: _TIERS_AND_PLANES,
    ),
    Family(
        "supernode_cache_pool_asked_tokens_total", "counter",
        "Prompt tokens that the pools were asked about, whether their prefill began or not.",
        lambda s: (s[CacheTotals].asked_tokens,),
    ),
    Family(
        "supernode_cache_pool_found_tokens_total", "counter",
        "Those of them that the pools found, by tier, whether prefill used them or not.",
        lambda s: s[CacheTotals].found_tokens, ("tier",), _BY_TIER,
    ),
    Family(
        "supernode_cache_pool_offered_tokens_total", "counter", "Tokens of prompts whose KV was to be stored.",
        lambda s: (s[CacheTotals].offered_tokens,),
    ),
    Family(
        "supernode_cache_pool_stored_tokens_total", "counter",
        "Tokens of those of their blocks that were new; offered over stored is the deduplication ratio.",
        lambda s: (s[CacheTotals].stored_tokens,),
    ),
    Family(
        "supernode_cache_pool_evicted_blocks_total", "counter", "Blocks that had to make room.",
        lambda s: s[CacheTotals].evicted_blocks, ("tier",), _BY_TIER,
    ),
    Family(
        "supernode_cache_pool_evicted_age_seconds_total", "counter",
        "How long blocks that left DRAM had not been used, added up; over the blocks it is their mean age.",
        lambda s: (s[CacheTotals].evicted_age_s,),
    ),
    Family(
        "supernode_cache_pool_lost_blocks_total", "counter", "Blocks that were lost with a server.",
        lambda s: (s[CacheTotals].lost_blocks,),
    ),
    Family(
        "supernode_cache_pool_moved_blocks_total", "counter", "Blocks handed over when servers joined or were drained.",
        lambda s: (s[CacheTotals].moved_blocks,),
    ),
)  # fmt: skip

SUBJECTS.register("caches", Subject(CacheTotals, CacheAccount, FAMILIES, _summary))
