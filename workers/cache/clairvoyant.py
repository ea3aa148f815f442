"""What a cache could find at most that knew all prompts to come.

Belady's MIN (IBM Systems Journal 5, 1966): what is used again last goes first. Two things make it a bound here for
every policy on the same prompts in the same order:

- A prompt is found up to its first missing block, and MIN counts hits of blocks wherever they are. Nothing is lost by
  that: whoever uses a block uses all blocks before it, so none before it is used later, and of blocks with the same
  next use the deepest goes first. What MIN keeps has no gaps.
- Blocks are of two sizes, since the last one of a prompt may be partial, and with two sizes MIN is not optimal. Here
  each block takes its tokens of KV, not what is allocated for it, and one of which a part must go loses that part only.
  For such tokens, all of one size and one worth, MIN is optimal, and no policy of whole blocks finds more.

So it is exact where all blocks are whole and the capacity is a multiple of them, and a bound elsewhere. What is not
used again is not kept, as a policy may let a new block go at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from workers.cache.block_keys import key_maker
from workers.cache.curve import HitTokens, Prompt
from workers.cache.sizes import StoreSizes
from workers.cache.tier import TENANT_SHIFT

_Use = tuple[int, int, int]
"""A block that a prompt uses and a later one too: key, tokens of KV in it, number of that later prompt."""


def clairvoyant_hits(prompts: Sequence[Prompt], sizes: StoreSizes, capacities: Sequence[int]) -> list[HitTokens]:
    """What one list of each capacity, in tokens, could find at most when the prompts are looked up and stored in
    turn."""
    looked_up = sum(num_tokens for _, _, num_tokens in prompts)
    keys, reused = _uses(prompts, sizes)
    return [HitTokens(_found(keys, reused, capacity), looked_up) for capacity in capacities]


def _uses(prompts: Sequence[Prompt], sizes: StoreSizes) -> tuple[list[list[int]], list[list[_Use]]]:
    """By prompt: the keys of its blocks, and those of them that a later prompt uses, by depth."""
    keys_of = key_maker(sizes.given_tokens or sizes.block_tokens, sizes.block_tokens)
    keys = [
        [tenant << TENANT_SHIFT | block for block in keys_of(blocks, num_tokens)]
        for blocks, tenant, num_tokens in prompts
    ]
    reused: list[list[_Use]] = []
    next_use: dict[int, int] = {}
    for number in range(len(prompts) - 1, -1, -1):
        num_tokens, mine, whole = prompts[number][2], keys[number], sizes.block_tokens
        reused.append(
            [
                (key, min(whole, num_tokens - depth * whole), next_use[key])
                for depth, key in enumerate(mine)
                if key in next_use
            ]
        )
        next_use.update(dict.fromkeys(mine, number))
    return keys, reused[::-1]


def _found(keys: list[list[int]], reused: list[list[_Use]], capacity: int) -> int:
    held: dict[int, int] = {}
    # By next use, the last first; those of uses that are over sink to the end, and are never met.
    latest: list[tuple[int, int, int]] = []
    found = used = 0
    for mine, again in zip(keys, reused, strict=True):
        hit = sum([held.pop(key, 0) for key in mine])
        found += hit
        used -= hit
        for depth, (key, tokens, next_use) in enumerate(again):
            held[key] = tokens
            used += tokens
            heappush(latest, (-next_use, -depth, key))
        while used > capacity:
            key, excess = latest[0][2], used - capacity
            if held[key] > excess:
                held[key] -= excess
                used = capacity
            else:
                used -= held.pop(key)
                heappop(latest)
    return found
