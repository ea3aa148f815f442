"""What a live system exports of its cache pools: counts of tokens and blocks, from which any ratio can be made."""

from __future__ import annotations

from typing import Final

from scheduler.metrics.family import Family, Labels
from scheduler.metrics.snapshot import CACHE_TIERS

_TIERS: Final[list[Labels]] = [(tier,) for tier in CACHE_TIERS]

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
"""In the order of exposition. Bytes by plane are the fabric's, of transfers of kinds cache_read and cache_write."""
