"""Stores of KV blocks as cases of the simulation tests have them, and what is in them."""

from __future__ import annotations

from tests.naive.case import Case
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore
from workers.cache.tier import TENANT_SHIFT


def blocks_in(cache: BlockStore) -> list[tuple[int, int]]:
    """All (tenant, block) of a store, sorted, from whichever tier; checks what it says it holds (INV-4)."""
    block_tokens = cache.sizes.block_tokens
    if cache._tiers is None:
        tree = cache._tree
        runs = list(tree.by_use())
        used = sum(len(blocks) * block_tokens - saved for _, _, blocks, saved in runs)
        assert used == tree.used_tokens <= cache.sizes.num_servers * cache.sizes.dram_tokens
        return sorted((tenant, block) for tenant, _, blocks, _ in runs for block in blocks)
    keys: set[int] = set()
    for tier in (cache._tiers.dram, cache._tiers.ssd):
        assert tier.pinned.isdisjoint(tier.order)
        used = sum(tier._sizes.get(key, block_tokens) for key in tier.blocks())
        assert used == tier.used_tokens <= tier.capacity_tokens
        keys |= tier.blocks()
    assert cache._tiers.pins.keys() <= keys
    return sorted((key >> TENANT_SHIFT, key & (1 << TENANT_SHIFT) - 1) for key in keys)


def store_sizes(case: Case) -> StoreSizes:
    """Of the pool, or of each local cache."""
    num_servers = case.cache_servers if case.cache_mode == "pool" else 1
    return StoreSizes(
        num_servers,
        case.cache_blocks * case.block_tokens,
        case.block_tokens,
        case.cache_ssd_blocks * case.block_tokens,
        case.cache_namespace_share,
    )


def has_pool_ssd(case: Case) -> bool:
    """Whether a shared pool has SSD behind its DRAM."""
    return case.cache_mode == "pool" and case.cache_ssd_blocks > 0
