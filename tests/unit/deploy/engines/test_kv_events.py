"""KV events: the bytes that vLLM writes, and blocks that are told of as the prompts are that they are of."""

from __future__ import annotations

from array import array
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack

from deploy.engines.kv_blocks import KvBlocks
from deploy.engines.kv_events import AllBlocksCleared, BatchEncoder, BlockRemoved, BlockStored, KvEvent, WireForm
from deploy.http.prompts import Prompt
from deploy.http.spec import BLOCK_TOKENS
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore

EVENTS = [BlockStored([7, 8], 6, [1, 2, 3, 4], 2), BlockRemoved([8]), AllBlocksCleared()]


def test_batches_are_arrays_of_tagged_arrays() -> None:
    assert msgpack.decode(BatchEncoder(WireForm.ARRAY).encode(1.5, EVENTS)) == [
        1.5,
        [
            ["BlockStored", [7, 8], 6, [1, 2, 3, 4], 2, None, "GPU", None],
            ["BlockRemoved", [8], "GPU"],
            ["AllBlocksCleared"],
        ],
        0,
    ]


def test_batches_are_arrays_of_tagged_maps() -> None:
    stored: dict[str, Any] = {"block_hashes": [7, 8], "parent_block_hash": 6, "token_ids": [1, 2, 3, 4]}
    stored |= {"block_size": 2, "lora_id": None, "medium": "GPU", "lora_name": None}
    assert msgpack.decode(BatchEncoder(WireForm.MAP).encode(1.5, EVENTS)) == [
        1.5,
        [
            {"type": "BlockStored", **stored},
            {"type": "BlockRemoved", "block_hashes": [8], "medium": "GPU"},
            {"type": "AllBlocksCleared"},
        ],
        0,
    ]


class Index:
    """A router's: which prefixes an engine holds, from events alone."""

    def __init__(self) -> None:
        self.tokens: dict[int, tuple[int, ...]] = {}
        """Tokens of a block and of all before it, by its hash."""

    def hear(self, event: KvEvent) -> None:
        """Take one event."""
        if isinstance(event, AllBlocksCleared):
            self.tokens.clear()
        elif isinstance(event, BlockRemoved):
            for one in event.block_hashes:
                del self.tokens[one]
        else:
            before = () if event.parent_block_hash is None else self.tokens[event.parent_block_hash]
            assert event.block_size == BLOCK_TOKENS
            assert len(event.token_ids) == BLOCK_TOKENS * len(event.block_hashes)
            for at, one in enumerate(event.block_hashes):
                before += tuple(event.token_ids[at * BLOCK_TOKENS : (at + 1) * BLOCK_TOKENS])
                assert self.tokens.setdefault(one, before) == before

    def matched(self, tokens: list[int]) -> int:
        """Leading tokens of a prompt that are held."""
        held, found = set(self.tokens.values()), 0
        while found + BLOCK_TOKENS <= len(tokens) and tuple(tokens[: found + BLOCK_TOKENS]) in held:
            found += BLOCK_TOKENS
        return found


blocks = st.lists(st.integers(0, 2), min_size=0, max_size=5)


@given(asked=st.lists(st.tuples(blocks, st.integers(0, BLOCK_TOKENS - 1)), min_size=1, max_size=12))
def test_an_index_of_events_finds_what_the_cache_finds(asked: list[tuple[list[int], int]]) -> None:
    index = Index()
    told = KvBlocks(index.hear)
    store = BlockStore(StoreSizes(1, 8 * BLOCK_TOKENS, BLOCK_TOKENS))
    assert store.listen(told)
    for number, (chosen, rest) in enumerate(asked):
        tokens = [one for one in chosen for _ in range(BLOCK_TOKENS)] + [9] * rest
        if not tokens:
            continue
        prefix = told.prefix(Prompt("ids", array("I", tokens).tobytes()))
        found, _ = store.look_up(number, prefix, 0, len(tokens), number)
        # What the cache has beyond whole blocks is the last, partial one of this very prompt.
        assert index.matched(tokens) == found // BLOCK_TOKENS * BLOCK_TOKENS
        store.store(number, number)


def test_two_tenants_share_no_hash_and_two_engines_share_all() -> None:
    def hashes(tenant: int) -> list[int]:
        heard: list[KvEvent] = []
        told = KvBlocks(heard.append)
        prefix = told.prefix(Prompt("ids", bytes(4 * BLOCK_TOKENS * 2)))
        told.stored(tenant, prefix, 0)
        (event,) = heard
        assert isinstance(event, BlockStored)
        return event.block_hashes

    assert hashes(1) == hashes(1)
    assert not set(hashes(1)) & set(hashes(2))
