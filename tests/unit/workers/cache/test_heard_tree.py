"""A store that is listened to: what it told is what it holds, and it holds the same as one that nobody listens to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore

BLOCK_TOKENS = 4
CAPACITY_BLOCKS = 6
SIZES = StoreSizes(1, CAPACITY_BLOCKS * BLOCK_TOKENS, BLOCK_TOKENS)


class Mirror:
    """Blocks by tenant as a listener knows them; a chain is told from a block whose parent is known."""

    def __init__(self) -> None:
        self.held: set[tuple[int, int]] = set()
        self.num_removed = 0

    def stored(self, tenant: int, blocks: list[int], num_known: int) -> None:
        """See `StoreListener`."""
        assert num_known < len(blocks)
        assert all((tenant, block) in self.held for block in blocks[:num_known])
        new = {(tenant, block) for block in blocks[num_known:]}
        assert not new & self.held
        self.held |= new

    def removed(self, tenant: int, blocks: list[int]) -> None:
        """See `StoreListener`."""
        gone = {(tenant, block) for block in blocks}
        assert gone <= self.held
        assert len(gone) == len(blocks) > 0
        self.held -= gone
        self.num_removed += len(gone)

    def cleared(self) -> None:
        """See `StoreListener`."""
        self.held.clear()


def held(store: BlockStore) -> set[tuple[int, int]]:
    """What a store of runs holds."""
    return {(tenant, block) for tenant, _, blocks, _ in store._tree.by_use() for block in blocks}


def chain(path: list[int]) -> list[int]:
    """Ids of blocks along a path, equal exactly where the paths up to there are."""
    ids = [0]
    for step in path:
        ids.append(ids[-1] * 3 + step + 1)
    return ids[1:]


prompts = st.tuples(st.integers(0, 1), st.lists(st.integers(0, 2), min_size=1, max_size=CAPACITY_BLOCKS + 2))
uses = st.tuples(prompts, st.sampled_from(["store", "release", "wait", "clear"]))


@given(steps=st.lists(uses, max_size=40))
def test_what_was_told_is_what_is_held(steps: list[tuple[tuple[int, list[int]], str]]) -> None:
    mirror, told, plain = Mirror(), BlockStore(SIZES), BlockStore(SIZES)
    assert told.listen(mirror)
    for now_ns, ((tenant, path), then) in enumerate(steps):
        blocks = chain(path)
        for store in (told, plain):
            store.look_up(now_ns, blocks, tenant, len(blocks) * BLOCK_TOKENS, now_ns)
            if then == "store":
                store.store(now_ns, now_ns)
            elif then == "release":
                store.release(now_ns, now_ns)
            elif then == "clear":
                assert store.clear() == (not store.num_open)
        assert mirror.held == held(told) == held(plain)
    assert told.account == plain.account
    assert mirror.num_removed == told.account.dram_evicted_blocks


def test_a_chain_that_does_not_fit_is_told_and_taken_back() -> None:
    mirror, store = Mirror(), BlockStore(SIZES)
    store.listen(mirror)
    blocks = list(range(1, CAPACITY_BLOCKS + 3))
    store.look_up(0, blocks, 0, len(blocks) * BLOCK_TOKENS, 0)
    store.store(0, 0)
    assert mirror.held == {(0, block) for block in blocks[:CAPACITY_BLOCKS]}


@pytest.mark.parametrize("sizes", [StoreSizes(1, 64, 4, ssd_tokens=64), StoreSizes(1, 64, 8, given_tokens=4)])
def test_nobody_tells_of_blocks_kept_otherwise(sizes: StoreSizes) -> None:
    assert not BlockStore(sizes).listen(Mirror())
