"""The index of own caches against lists of blocks, under random routing and losses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.estimates.prefix_index import PrefixIndex

CHAINS = st.lists(st.integers(0, 1), max_size=6).map(
    lambda path: [int("1" + "".join(map(str, path[: depth + 1])), 2) for depth in range(len(path))]
)
"""A path through a tree of two branches a level; the id of a block spells the path to it."""

STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), CHAINS, st.integers(0, 9)), max_size=40)


class NaiveCache:
    """Blocks from the least to the most recently used."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.blocks: list[tuple[int, int]] = []

    def add(self, tenant: int, chain: list[int]) -> None:
        for block in reversed(chain[: self.capacity]):
            key = (tenant, block)
            if key in self.blocks:
                self.blocks.remove(key)
            self.blocks.append(key)
        while len(self.blocks) > self.capacity:
            self.blocks.pop(0)

    def match(self, tenant: int, chain: list[int]) -> int:
        depth = 0
        while depth < len(chain) and (tenant, chain[depth]) in self.blocks:
            depth += 1
        return depth


@given(capacities=st.lists(st.integers(0, 9), min_size=3, max_size=3), steps=STEPS)
def test_index_equals_a_list_of_blocks_for_each_instance(
    capacities: list[int], steps: list[tuple[int, int, list[int], int]]
) -> None:
    index, naive = PrefixIndex(capacities), [NaiveCache(capacity) for capacity in capacities]
    for instance, tenant, chain, kind in steps:
        assert index.match(tenant, chain) == [cache.match(tenant, chain) for cache in naive]
        if kind:
            index.add(instance, tenant, chain)
            naive[instance].add(tenant, chain)
        else:
            index.forget(instance)
            naive[instance].blocks.clear()
        assert index.sizes == [len(cache.blocks) for cache in naive]
        assert index.num_blocks == len({key for cache in naive for key in cache.blocks})
