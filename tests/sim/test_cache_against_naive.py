"""The prefix cache alone against a list of blocks, under long random series of look-ups, stores and releases."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.build import blocks_in
from tests.sim.case import Row
from tests.sim.naive_cache import NaiveCache
from tests.sim.naive_request import Request
from workers.prefix_cache import PrefixCache

BLOCK_TOKENS = 10

CHAINS = st.lists(st.integers(0, 1), min_size=0, max_size=6)
"""A path through a tree of two branches a level; the id of a block spells the path to it."""

ACTIONS = st.lists(
    st.tuples(st.integers(0, 4), CHAINS, st.sampled_from([0, 0, 0, 1]), st.booleans()), min_size=30, max_size=60
)
"""For each: whose turn it is, and should that one hold no pins the chain to look up, else whether to store it."""


def _spell(chain: list[int]) -> tuple[int, ...]:
    ids: list[int] = []
    number = 1
    for branch in chain:
        number = number * 2 + branch
        ids.append(number)
    return tuple(ids)


@settings(max_examples=200)
@given(capacity_blocks=st.integers(0, 10), actions=ACTIONS)
def test_cache_equals_a_list_of_blocks(capacity_blocks: int, actions: list[tuple[int, list[int], int, bool]]) -> None:
    real, naive = PrefixCache(capacity_blocks, BLOCK_TOKENS), NaiveCache(capacity_blocks, BLOCK_TOKENS)
    open_requests: dict[int, Request] = {}
    for who, chain, namespace, is_stored in actions:
        request = open_requests.pop(who, None)
        if request is None:
            prefix = _spell(chain)
            request = open_requests[who] = Request(Row(0, BLOCK_TOKENS * len(chain), 1, prefix, namespace))
            assert real.look_up(who, list(prefix), namespace) * BLOCK_TOKENS == naive.find(request)
        elif is_stored:
            real.store(who)
            naive.store(request)
        else:
            real.release(who)
            naive.release(request)
        assert blocks_in(real) == sorted(naive.blocks)
        assert real.num_evicted == naive.num_evictions
        assert {block for _, block in naive.pins} <= set(naive.blocks)
