"""A store of prefix KV blocks on one or many servers: what pools and the caches of single instances are made of.

The exact rules are in docs/caching.md. As long as every server has room for all that it was given, which server holds
what decides nothing: the blocks are then kept as runs, which is several times faster than one by one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from workers.cache.account import Account
from workers.cache.block_keys import key_maker
from workers.cache.fill import Fill
from workers.cache.run_tree import Run, RunTree, touch
from workers.cache.shards import STAMP_SHIFT, Shards
from workers.cache.sizes import StoreSizes
from workers.cache.tier import NAMESPACE_SHIFT

_LookUp = tuple[list[int], int, int, int, Run | None]
"""A look-up that was neither stored nor released yet: blocks, namespace, tokens of the prompt, how many blocks were
found: those are pinned, and the run in which they end if blocks are kept as runs."""


def _keys(namespace: int, blocks: list[int]) -> list[int]:
    base = namespace << NAMESPACE_SHIFT
    return [base | block for block in blocks] if base else blocks


class BlockStore:
    """Blocks pinned + cached + free = total in each tier of each server (INV-4).

    A prompt is known by its namespace, the ids of its consecutive blocks and its number of tokens; equal ids mean equal
    blocks with equal prefixes, and so equal lengths.
    """

    def __init__(self, sizes: StoreSizes) -> None:
        self.sizes: Final = sizes
        self.account: Final = Account()
        self._block_tokens: Final = sizes.block_tokens
        self._is_given: Final = sizes.given_tokens in (0, sizes.block_tokens)
        self._keys_of = key_maker(sizes.given_tokens or sizes.block_tokens, sizes.block_tokens)
        self._open: dict[int, _LookUp] = {}
        self._stamp = 0
        self._tree = RunTree()
        self._fill = Fill(sizes)
        self._shards = None if sizes.without_eviction() else Shards(sizes, self.account)

    def look_up(
        self, request_id: int, prefix: list[int], namespace: int, num_tokens: int, now_ns: int
    ) -> tuple[int, int]:
        """Leading tokens of the prompt that are here, and how many of them come from SSD.

        Their blocks are pinned until `store` or `release`.
        """
        blocks = prefix if self._is_given else self._keys_of(prefix, num_tokens)
        if self._shards is None:
            # What is pinned needs no stamp: whoever lets go of it leaves one.
            run, found = self._tree.look_up(namespace, blocks)
            on_ssd = 0
        else:
            run = None
            found, on_ssd = self._shards.find(_keys(namespace, blocks), now_ns)
        self._open[request_id] = (blocks, namespace, num_tokens, found, run)
        block_tokens, account = self._block_tokens, self.account
        tokens = min(found * block_tokens, num_tokens) if found else 0
        account.lookup_tokens += num_tokens
        if not on_ssd:
            account.dram_hit_tokens += tokens
            return tokens, 0
        # A partial block counts as a whole one here.
        ssd_tokens = min(on_ssd * block_tokens, tokens)
        account.dram_hit_tokens += tokens - ssd_tokens
        account.ssd_hit_tokens += ssd_tokens
        return tokens, ssd_tokens

    def release(self, request_id: int, now_ns: int) -> None:
        """The blocks that a look-up pinned may go; they were used until now."""
        blocks, namespace, _, found, run = self._open.pop(request_id)
        if self._shards is None:
            assert run is not None
            touch(run, self._next_stamp(now_ns))
        else:
            self._shards.unpin(_keys(namespace, blocks[:found]), now_ns)

    def store(self, request_id: int, now_ns: int) -> None:
        """The prompt that was looked up is computed: its blocks are here now, most recent of all, if they fit."""
        blocks, namespace, num_tokens, found, run = self._open.pop(request_id)
        if not blocks:
            return
        if self._shards is None:
            assert run is not None
            missing = self._tree.store(run, found, blocks, self._next_stamp(now_ns))
            num_new = len(missing)
            if missing and not self._fill.add(namespace, missing, num_tokens - (len(blocks) - 1) * self._block_tokens):
                self._spread().fit(_keys(namespace, blocks), now_ns)
        else:
            num_new = self._shards.put(
                _keys(namespace, blocks), found, num_tokens - (len(blocks) - 1) * self._block_tokens, now_ns
            )
        self.account.offered_tokens += num_tokens
        if num_new:
            self.account.stored_tokens += min(num_new * self._block_tokens, num_tokens)

    def _next_stamp(self, now_ns: int) -> int:
        now, self._stamp = now_ns << STAMP_SHIFT, self._stamp + 1
        if now > self._stamp:
            self._stamp = now
        return self._stamp

    def _spread(self) -> Shards:
        """From now on it matters which server holds what."""
        shards = self._shards = Shards(self.sizes, self.account)
        short = self._fill.short_blocks()
        for namespace, stamp, blocks in self._tree.by_use():
            for key in _keys(namespace, blocks):
                shards.take(key, stamp, short.get(key, self._block_tokens))
        self._tree, self._fill = RunTree(), Fill(self.sizes)
        for blocks, namespace, _, found, _ in self._open.values():
            shards.pin(_keys(namespace, blocks[:found]))
        return shards

    def set_up(self, up: Collection[int], lost: Collection[int], now_ns: int) -> dict[int, int]:
        """Only these servers are up now; `lost` ones took their blocks along, others handed them over.

        Answers the open look-ups that lost something, with the leading tokens that are left to each.
        """
        shards = self._spread() if self._shards is None else self._shards
        gone = shards.set_up(up, lost, now_ns)
        left: dict[int, int] = {}
        if not gone:
            return left
        for request_id, (blocks, namespace, num_tokens, found, _) in self._open.items():
            keys = _keys(namespace, blocks[:found])
            kept = next((index for index, key in enumerate(keys) if key in gone), found)
            if kept < found:
                shards.unpin([key for key in keys[kept:] if key not in gone], now_ns)
                self._open[request_id] = (blocks, namespace, num_tokens, kept, None)
                left[request_id] = min(kept * self._block_tokens, num_tokens)
        return left

    @property
    def num_open(self) -> int:
        """Look-ups that were neither stored nor released."""
        return len(self._open)

    def held_tokens(self) -> tuple[int, int]:
        """Tokens that the blocks in DRAM and on SSD take, all servers together."""
        if self._shards is None:
            saved = sum(self._block_tokens - tokens for tokens in self._fill.short_blocks().values())
            tokens = self._tree.num_blocks * self._block_tokens - saved
            return tokens, tokens if self.sizes.ssd_tokens else 0
        servers = self._shards.servers.values()
        return sum(server.dram.used_tokens for server in servers), sum(server.ssd.used_tokens for server in servers)
