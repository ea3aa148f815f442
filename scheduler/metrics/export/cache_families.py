"""What a live system exports of its cache pools: counts of tokens and blocks, from which any ratio can be made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scheduler.metrics.export.family import Family, Labels
from scheduler.metrics.live.snapshot import CACHE_TIERS, FLOWS, Snapshot
from scheduler.protocol.messages import Plane, TransferKind

_TIERS: Final[list[Labels]] = [(tier,) for tier in CACHE_TIERS]

_READS: Final = (TransferKind.CACHE_READ, TransferKind.CACHE_SSD_READ)
_WRITES: Final = (TransferKind.CACHE_WRITE, TransferKind.CACHE_SSD_WRITE)
"""By tier, in the order of `CACHE_TIERS`."""

_WAYS: Final = ((0, Plane.UB), (0, Plane.VPC), (1, Plane.VPC))
"""Index of each tier, and the planes on which it is reached."""

_TIERS_AND_PLANES: Final[list[Labels]] = [(CACHE_TIERS[tier], plane.name.lower()) for tier, plane in _WAYS]


def _moved(snapshot: Snapshot, by_tier: Sequence[TransferKind]) -> list[float]:
    return [snapshot.flow_bytes[FLOWS.index((plane, by_tier[tier]))] for tier, plane in _WAYS]


CACHE_FAMILIES: Final = (
    Family(
        "supernode_cache_pool_servers", "gauge", "Servers of the cache pools that are up.",
        lambda s: (s.caches.num_servers,),
    ),
    Family(
        "supernode_cache_pool_capacity_tokens", "gauge", "Tokens of KV that the servers that are up can hold.",
        lambda s: s.caches.capacity_tokens, ("tier",), lambda _: _TIERS,
    ),
    Family(
        "supernode_cache_pool_held_tokens", "gauge", "Tokens of KV that they hold, by the granularity of allocation.",
        lambda s: s.caches.held_tokens, ("tier",), lambda _: _TIERS,
    ),
    Family(
        "supernode_cache_pool_held_bytes", "gauge", "What those tokens of KV take.",
        lambda s: [tokens * s.layout.kv_bytes_per_token for tokens in s.caches.held_tokens],
        ("tier",), lambda _: _TIERS,
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
        "supernode_cache_pool_lookup_tokens_total", "counter", "Prompt tokens looked up in the pools.",
        lambda s: (s.caches.lookup_tokens,),
    ),
    Family(
        "supernode_cache_pool_hit_tokens_total", "counter", "Prompt tokens found, by the tier that they came from.",
        lambda s: s.caches.hit_tokens, ("tier",), lambda _: _TIERS,
    ),
    Family(
        "supernode_cache_pool_offered_tokens_total", "counter", "Tokens of prompts whose KV was to be stored.",
        lambda s: (s.caches.offered_tokens,),
    ),
    Family(
        "supernode_cache_pool_stored_tokens_total", "counter",
        "Tokens of those of their blocks that were new; offered over stored is the deduplication ratio.",
        lambda s: (s.caches.stored_tokens,),
    ),
    Family(
        "supernode_cache_pool_evicted_blocks_total", "counter", "Blocks that had to make room.",
        lambda s: s.caches.evicted_blocks, ("tier",), lambda _: _TIERS,
    ),
    Family(
        "supernode_cache_pool_evicted_age_seconds_total", "counter",
        "How long blocks that left DRAM had not been used, added up; over the blocks it is their mean age.",
        lambda s: (s.caches.evicted_age_s,),
    ),
    Family(
        "supernode_cache_pool_lost_blocks_total", "counter", "Blocks that were lost with a server.",
        lambda s: (s.caches.lost_blocks,),
    ),
    Family(
        "supernode_cache_pool_moved_blocks_total", "counter", "Blocks handed over when servers joined or were drained.",
        lambda s: (s.caches.moved_blocks,),
    ),
)  # fmt: skip
"""In the order of exposition. What was read and written is the fabric's account, what is held that of the pools."""
