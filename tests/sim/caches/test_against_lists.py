"""A block store alone against lists of blocks, under long random series of uses while servers join and leave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.naive.cache import DRAM, SSD, NaiveCache
from tests.naive.case import Row
from tests.naive.request import Request
from tests.naive.strategies import QUICK_PHASES
from tests.sim.cache_parts import blocks_in
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore
from workers.cache.tier import TENANT_SHIFT

BLOCK_TOKENS = 512
NUM_SERVERS = 4
PARTIAL = 1000
"""Added to the id of a partial block, so that equal ids have equal lengths."""

CHAINS = st.lists(st.integers(0, 1), min_size=0, max_size=6)
"""A path through a tree of two branches a level; the id of a block spells the path to it."""

USES = st.tuples(
    st.integers(0, 4), CHAINS, st.sampled_from([0, 0, 0, 1]), st.sampled_from(["store", "store", "release", "extend"])
)
"""Whose turn it is, and should that one hold no pins the chain to look up, else what becomes of the look-up."""

CHANGES = st.tuples(st.sets(st.integers(0, NUM_SERVERS - 1)), st.sets(st.integers(0, NUM_SERVERS - 1)))
"""Servers that are up from now on, and those that were lost."""

SIZES = st.builds(
    StoreSizes,
    st.integers(1, NUM_SERVERS),
    st.sampled_from([0, 128, 512, 1024, 3000, 10_000]),
    st.just(BLOCK_TOKENS),
    st.sampled_from([0, 0, 0, 300, 1024, 4000, 20_000]),
    st.sampled_from([1.0, 1.0, 1.0, 0.6]),
)


STEPS = st.one_of(
    st.lists(USES, min_size=30, max_size=60),
    st.lists(st.one_of(USES, USES, USES, USES, CHANGES), min_size=30, max_size=60),
)
"""While all servers stay, a store without SSD and quotas keeps runs, else blocks one by one."""


def spell(chain: list[int]) -> tuple[int, ...]:
    """Ids of a chain. Of three last blocks two are partial: other blocks than the whole ones at the same place."""
    ids: list[int] = []
    number = 1
    for branch in chain:
        number = number * 2 + branch
        ids.append(number)
    if number % 3 and ids:
        ids[-1] += PARTIAL
    return tuple(ids)


def num_tokens_of(prefix: tuple[int, ...]) -> int:
    """Of a prompt with these blocks."""
    missing = prefix[-1] * 97 % BLOCK_TOKENS if prefix and prefix[-1] > PARTIAL else 0
    return len(prefix) * BLOCK_TOKENS - missing


def _names(keys: Iterable[int]) -> list[tuple[int, int]]:
    """As the naive store knows blocks."""
    return [(key >> TENANT_SHIFT, key % 2**TENANT_SHIFT) for key in keys]


@dataclass
class Pair:
    """The same store twice."""

    real: BlockStore
    naive: NaiveCache
    now_ns: int = 0

    def check(self) -> None:
        """The same blocks in the same order in each tier, and the same evictions."""
        assert blocks_in(self.real) == sorted(self.naive.blocks)
        account = self.real.account
        assert account.dram_evicted_blocks + account.ssd_evicted_blocks == self.naive.num_evictions
        assert {block for _, block in self.naive.pins} <= set(self.naive.blocks)
        pinned = {block for _, block in self.naive.pins}
        tiers = self.real._tiers
        if tiers is None:
            order = [(ns, block) for ns, _, run, _ in self.real._tree.by_use() for block in reversed(run)]
            assert _without(order, pinned) == _without(self.naive.lists[DRAM], pinned)
            return
        assert set(_names(tiers.pins)) == pinned
        for here, blocks in ((tiers.dram, self.naive.lists[DRAM]), (tiers.ssd, self.naive.lists[SSD])):
            assert _without(_names(here.order), pinned) == _without(blocks, pinned)
            assert here.pinned <= tiers.pins.keys()
            assert set(_names(here.blocks())) == set(blocks)


def _without(blocks: Iterable[tuple[int, int]], pinned: set[tuple[int, int]]) -> list[tuple[int, int]]:
    return [block for block in blocks if block not in pinned]


def _pair(sizes: StoreSizes) -> Pair:
    naive = NaiveCache(
        sizes.dram_tokens,
        sizes.block_tokens,
        num_servers=sizes.num_servers,
        ssd_tokens=sizes.ssd_tokens,
        share=sizes.tenant_share,
    )
    return Pair(BlockStore(sizes), naive)


@settings(max_examples=150, phases=QUICK_PHASES)
@given(sizes=SIZES, steps=STEPS)
def test_store_equals_lists_of_blocks(sizes: StoreSizes, steps: list[Any]) -> None:
    pair = _pair(sizes)
    real, naive = pair.real, pair.naive
    requests: dict[int, Request] = {}
    for step in steps:
        pair.now_ns += 1
        if len(step) == 2:
            _change(pair, requests, *step)
            continue
        who, chain, tenant, use = step
        request = requests.pop(who, None)
        if request is None:
            prefix = spell(chain)
            request = requests[who] = Request(Row(0, num_tokens_of(prefix), 1, prefix, tenant))
            found = real.look_up(who, list(prefix), tenant, request.prompt_tokens, pair.now_ns)
            assert found == naive.find(request)
        elif use == "extend":
            _, *more = real.extend(who, pair.now_ns)
            assert tuple(more) == naive.find_more(request)
            requests[who] = request
        elif use == "store":
            real.store(who, pair.now_ns)
            naive.store(request)
        else:
            real.release(who, pair.now_ns)
            naive.release(request)
        pair.check()


def _change(pair: Pair, requests: dict[int, Request], up: set[int], lost: set[int]) -> None:
    left = pair.real.set_up(up, lost, pair.now_ns)
    cut = pair.naive.set_up(up, lost)
    assert {id(requests[who]) for who in left} == {id(request) for request in cut}
    for who, tokens in left.items():
        pins = [block for request, block in pair.naive.pins if request is requests[who]]
        assert tokens == len(pins) * BLOCK_TOKENS
    pair.check()
