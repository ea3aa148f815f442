"""Hit rate against capacity: of one least-recently-used list or many by stack distances, and of a store as it is.

Both take a trace in order of arrival, as if each prompt were stored at once: what a replay adds is time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from workers.cache import ring
from workers.cache.block_keys import key_maker
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore
from workers.cache.tier import TENANT_SHIFT

Prompt = tuple[list[int], int, int]
"""Ids of a prompt's blocks, its tenant and its number of tokens."""


@dataclass(frozen=True, slots=True)
class HitTokens:
    """Tokens found, of tokens looked up; `ssd` of those found came from SSD."""

    found: int
    looked_up: int
    ssd: int = 0

    @property
    def rate(self) -> float:
        """The share of the tokens looked up that was found, 0 if there were none."""
        return self.found / self.looked_up if self.looked_up else 0.0


def stack_distance_hits(
    prompts: Sequence[Prompt], sizes: StoreSizes, capacities: Sequence[int], num_lists: int = 1
) -> list[HitTokens]:
    """What one list of each capacity, in tokens, would find: all in one pass (Mattson and others, IBM Systems Journal
    9, 1970). With `num_lists`: so many servers that evict each on its own, the capacity dealt out evenly.

    A block is in a list if all that was used there since its last use, and it, take no more than the capacity.
    """
    owners = ring.owners(range(num_lists))
    keys_of = key_maker(sizes.given_tokens or sizes.block_tokens, sizes.block_tokens)
    num_blocks = sum(len(keys_of(blocks, num_tokens)) for blocks, _, num_tokens in prompts)
    uses = [_Uses(num_blocks) for _ in range(num_lists)]
    limits = [capacity // num_lists for capacity in capacities]
    found = [0] * len(capacities)
    looked_up = 0
    for blocks, tenant, num_tokens in prompts:
        looked_up += num_tokens
        keys = [tenant << TENANT_SHIFT | block for block in keys_of(blocks, num_tokens)]
        distances = [uses[owners[key % ring.NUM_SLOTS]].distance(key) for key in keys]
        for index, limit in enumerate(limits):
            leading = next((i for i, tokens in enumerate(distances) if tokens is None or tokens > limit), len(keys))
            found[index] += min(leading * sizes.block_tokens, num_tokens)
        last_tokens = num_tokens - (len(keys) - 1) * sizes.block_tokens
        for key in reversed(keys):
            tokens = sizes.allocated(last_tokens) if key == keys[-1] else sizes.block_tokens
            uses[owners[key % ring.NUM_SLOTS]].note(key, tokens)
    return [HitTokens(tokens, looked_up) for tokens in found]


def store_hits(prompts: Iterable[Prompt], sizes: StoreSizes) -> HitTokens:
    """What a store of these sizes finds when the prompts are looked up and stored in turn."""
    store = BlockStore(sizes)
    for number, (blocks, tenant, num_tokens) in enumerate(prompts):
        store.look_up(number, blocks, tenant, num_tokens, number)
        store.store(number, number)
    account = store.account
    found = account.dram_found_tokens + account.ssd_found_tokens
    return HitTokens(found, account.asked_tokens, account.ssd_found_tokens)


class _Uses:
    """Tokens of the blocks by their last use, as a binary indexed tree over all uses (Fenwick, 1994)."""

    def __init__(self, num_uses: int) -> None:
        self._sums: Final[array[int]] = array("q", bytes(8 * (num_uses + 1)))
        self._last: Final[dict[int, tuple[int, int]]] = {}
        self._num_uses = 0
        self._total = 0

    def distance(self, key: int) -> int | None:
        """Tokens of all blocks used since this one was, itself included; None if it never was."""
        if key not in self._last:
            return None
        position, tokens = self._last[key]
        before = 0
        while position:
            before += self._sums[position]
            position &= position - 1
        return self._total - before + tokens

    def note(self, key: int, tokens: int) -> None:
        """A use, of a block that takes so many tokens."""
        position, known = self._last.get(key, (0, 0))
        if position:
            self._add(position, -known)
        self._num_uses += 1
        self._add(self._num_uses, tokens)
        self._last[key] = (self._num_uses, tokens)

    def _add(self, position: int, tokens: int) -> None:
        self._total += tokens
        while position < len(self._sums):
            self._sums[position] += tokens
            position += position & -position
