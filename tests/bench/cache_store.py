"""Microseconds per look-up and per store of a prompt in a cache pool of 48 servers that holds a million blocks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from scheduler.protocol.cache_policy import CachePolicy
from workers.cache.session_store import SessionStore
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore

NUM_BLOCKS: Final = 1_000_000
BLOCKS_PER_PROMPT: Final = 20
_PROMPTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class StoreCost:
    """Of a prompt of 20 blocks of which half are found; `name` says how full the pool is."""

    name: str
    look_up_us: float
    store_us: float


def store_costs() -> list[StoreCost]:
    """With room for more, and when each new block needs one to go; the same where there are more orders of eviction
    than one: SSD behind DRAM, quotas of tenants, and a policy that is asked."""
    return [
        _cost("room", 2 * NUM_BLOCKS),
        _cost("full", NUM_BLOCKS),
        _cost("with SSD, room", 2 * NUM_BLOCKS, ssd_blocks=4 * NUM_BLOCKS),
        _cost("with SSD, both full", NUM_BLOCKS // 2, ssd_blocks=NUM_BLOCKS),
        _cost("with quotas, full", 2 * NUM_BLOCKS, tenant_share=0.5),
        _cost("with a policy, full", NUM_BLOCKS, policy=CachePolicy()),
    ]


def _cost(
    name: str,
    capacity_blocks: int,
    ssd_blocks: int = 0,
    tenant_share: float = 1.0,
    policy: CachePolicy | None = None,
) -> StoreCost:
    """Half of what each prompt looks up is found: where DRAM is half as large as SSD, in DRAM still."""
    dram_tokens, ssd_tokens = (num_blocks * 512 // 48 for num_blocks in (capacity_blocks, ssd_blocks))
    sizes = StoreSizes(48, dram_tokens, 512, ssd_tokens, tenant_share)
    store = BlockStore(sizes) if policy is None else SessionStore(sizes, policy)
    half, tokens = BLOCKS_PER_PROMPT // 2, BLOCKS_PER_PROMPT * 512
    num_stored = NUM_BLOCKS // BLOCKS_PER_PROMPT
    for number in range(num_stored):
        first = number * BLOCKS_PER_PROMPT
        store.look_up(number, list(range(first, first + BLOCKS_PER_PROMPT)), 0, tokens, number)
        store.store(number, number)
    prompts = [
        [
            *range(first := (num_stored - 1 - i) * BLOCKS_PER_PROMPT, first + half),
            *range(2**32 + half * i, 2**32 + half * (i + 1)),
        ]
        for i in range(_PROMPTS)
    ]
    times = [time.perf_counter()]
    for number, prompt in enumerate(prompts, num_stored):
        store.look_up(number, prompt, 0, tokens, number)
    times.append(time.perf_counter())
    for number in range(num_stored, num_stored + _PROMPTS):
        store.store(number, number)
    times.append(time.perf_counter())
    look_up, put = ((end - start) / _PROMPTS * 1e6 for start, end in pairwise(times))
    return StoreCost(name, look_up, put)
