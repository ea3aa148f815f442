"""A store of prefix KV blocks on one or many servers: what pools and the caches of single instances are made of.

The exact rules are in docs/caching.md. While one order of eviction is all there is, blocks are kept as runs, which is
several times faster than one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from scheduler.protocol.component import Outputs
from scheduler.protocol.messages import Message, StoreAnswers
from workers.cache.account import STAMP_SHIFT, Account
from workers.cache.block_keys import key_maker
from workers.cache.heard_tree import HeardRunTree, StoreListener
from workers.cache.run_tree import Run, RunTree
from workers.cache.sizes import StoreSizes
from workers.cache.tier import TENANT_SHIFT
from workers.cache.tiers import Tiers

_LookUp = tuple[list[int], int, int, int, Run | None]
"""A look-up that was neither stored nor released yet: blocks, tenant, tokens of the prompt, how many blocks were
found: those are pinned, and the run in which they end if blocks are kept as runs."""


def keys_of_blocks(tenant: int, blocks: list[int]) -> list[int]:
    """Keys in tiers of blocks of a tenant."""
    base = tenant << TENANT_SHIFT
    return [base | block for block in blocks] if base else blocks


class BlockStore:
    """Blocks pinned + cached + free = total in each tier (INV-4).

    A prompt is known by its tenant, the ids of its consecutive blocks and its number of tokens; equal ids mean equal
    blocks with equal prefixes, and so equal lengths.
    """

    def __init__(self, sizes: StoreSizes) -> None:
        self.sizes: Final = sizes
        self.account: Final = Account()
        self._block_tokens: Final = sizes.block_tokens
        self._is_given: Final = sizes.given_tokens in (0, sizes.block_tokens)
        self._keys_of = key_maker(sizes.given_tokens or sizes.block_tokens, sizes.block_tokens)
        self._saved_tokens: Final = sizes.saved_by_last()
        self._open: dict[int, _LookUp] = {}
        self._stamp = 0
        self._listener: StoreListener | None = None
        self._tree = self._new_tree()
        self._tiers = self._new_tiers()

    def _new_tree(self) -> RunTree:
        sizes = self.sizes
        size = sizes.num_servers * sizes.dram_tokens, sizes.block_tokens, self.account
        return RunTree(*size) if self._listener is None else HeardRunTree(*size, self._listener)

    def listen(self, listener: StoreListener) -> bool:
        """Have what comes and goes told from now on, while nothing is here yet. False if blocks are kept one by one, or
        under other ids than prompts have: nobody tells of those."""
        if self._tiers is not None or not self._is_given:
            return False
        self._listener = listener
        self._tree = self._new_tree()
        return True

    def clear(self) -> bool:
        """Drop all blocks, as an engine does that is told to. False, and nothing is dropped, while a look-up is open or
        where blocks are kept one by one."""
        if self._open or self._tiers is not None:
            return False
        self._tree = self._new_tree()
        if self._listener is not None:
            self._listener.cleared()
        return True

    def _new_tiers(self) -> Tiers | None:
        """Where blocks are kept one by one; None if they are kept as runs."""
        return None if self.sizes.is_one_list else Tiers(self.sizes, self.account)

    def look_up(self, request_id: int, prefix: list[int], tenant: int, num_tokens: int, now_ns: int) -> tuple[int, int]:
        """Leading tokens of the prompt that are here, and how many of them come from SSD.

        Their blocks are pinned until `store` or `release`.
        """
        blocks = prefix if self._is_given else self._keys_of(prefix, num_tokens)
        account = self.account
        account.asked_tokens += num_tokens
        if self._tiers is None:
            # What is pinned needs no stamp: whoever lets go of it leaves one.
            run, found = self._tree.look_up(tenant, blocks)
            self._open[request_id] = (blocks, tenant, num_tokens, found, run)
            tokens = found * self._block_tokens
            if tokens > num_tokens:
                tokens = num_tokens
            account.dram_found_tokens += tokens
            return tokens, 0
        found, on_ssd = self._tiers.find(keys_of_blocks(tenant, blocks), now_ns)
        self._open[request_id] = (blocks, tenant, num_tokens, found, None)
        tokens = min(found * self._block_tokens, num_tokens)
        # A partial block counts as a whole one here.
        ssd_tokens = min(on_ssd * self._block_tokens, tokens)
        account.dram_found_tokens += tokens - ssd_tokens
        account.ssd_found_tokens += ssd_tokens
        return tokens, ssd_tokens

    def extend(self, request_id: int, now_ns: int) -> tuple[int, int, int]:
        """What more of a prompt that was looked up is here now, pinned like the rest: leading tokens found before and
        now, and how many of those that are new come from SSD."""
        blocks, tenant, num_tokens, before, run = self._open[request_id]
        before_tokens = min(before * self._block_tokens, num_tokens)
        ssd_tokens = 0
        if self._tiers is None:
            assert run is not None
            run, found = self._tree.extend(run, before, blocks)
        else:
            more, on_ssd = self._tiers.find(keys_of_blocks(tenant, blocks[before:]), now_ns)
            found = before + more
            ssd_tokens = min(on_ssd * self._block_tokens, min(found * self._block_tokens, num_tokens) - before_tokens)
        if found > before:
            self._open[request_id] = (blocks, tenant, num_tokens, found, run)
        tokens = min(found * self._block_tokens, num_tokens)
        self.account.dram_found_tokens += tokens - before_tokens - ssd_tokens
        self.account.ssd_found_tokens += ssd_tokens
        return before_tokens, tokens, ssd_tokens

    def release(self, request_id: int, now_ns: int) -> None:
        """The blocks that a look-up pinned may go; they were used until now."""
        blocks, tenant, _, found, run = self._open.pop(request_id)
        if self._tiers is None:
            assert run is not None
            self._tree.release(run, self._next_stamp(now_ns))
        else:
            self._tiers.unpin(keys_of_blocks(tenant, blocks[:found]), now_ns)

    def store(self, request_id: int, now_ns: int) -> None:
        """The prompt that was looked up is computed: its blocks are here now, most recent of all, if they fit."""
        blocks, tenant, num_tokens, found, run = self._open.pop(request_id)
        if not blocks:
            return
        saved_tokens = self._saved_tokens[num_tokens % self._block_tokens]
        if self._tiers is None:
            assert run is not None
            num_new = self._tree.store(run, found, blocks, saved_tokens, self._next_stamp(now_ns))
        else:
            num_new = self._tiers.put(keys_of_blocks(tenant, blocks), found, saved_tokens, now_ns)
        self.account.offered_tokens += num_tokens
        if num_new:
            self.account.stored_tokens += min(num_new * self._block_tokens, num_tokens)

    def insert_all(self, message: StoreAnswers, now_ns: int) -> None:
        """Take what decode has made of these requests."""
        for chain, tenant, kv_tokens in zip(message.chains, message.tenants, message.kv_tokens, strict=True):
            self.insert(chain, tenant, kv_tokens, now_ns)

    def insert(self, prefix: list[int], tenant: int, num_tokens: int, now_ns: int) -> None:
        """The KV of these tokens exists, whether it was looked up or not: the whole blocks of them are here now, most
        recent of all, if they fit."""
        blocks = self._keys_of(prefix, num_tokens)[: num_tokens // self._block_tokens]
        if not blocks:
            return
        if self._tiers is None:
            run, found = self._tree.look_up(tenant, blocks)
            num_new = self._tree.store(run, found, blocks, 0, self._next_stamp(now_ns))
        else:
            num_new = self._tiers.put(keys_of_blocks(tenant, blocks), 0, 0, now_ns)
        self.account.offered_tokens += num_new * self._block_tokens
        self.account.stored_tokens += num_new * self._block_tokens

    def _next_stamp(self, now_ns: int) -> int:
        now, self._stamp = now_ns << STAMP_SHIFT, self._stamp + 1
        if now > self._stamp:
            self._stamp = now
        return self._stamp

    def _one_by_one(self) -> Tiers:
        """From now on chains may have gaps."""
        tiers = self._tiers = Tiers(self.sizes, self.account)
        for tenant, stamp, blocks, saved_tokens in self._tree.by_use():
            for key in reversed(keys_of_blocks(tenant, blocks)):
                tiers.take(key, stamp, saved_tokens)
                saved_tokens = 0
        self._tree = RunTree(0, self._block_tokens, self.account)
        for blocks, tenant, _, found, _ in self._open.values():
            tiers.pin(keys_of_blocks(tenant, blocks[:found]))
        return tiers

    def set_up(self, up: Collection[int], lost: Collection[int], now_ns: int) -> dict[int, int]:
        """Only these servers are up now; `lost` ones took their blocks along, others handed them over.

        Returns the open look-ups that lost something, with the leading tokens that are left to each.
        """
        tiers = self._one_by_one() if self._tiers is None else self._tiers
        return self._left(tiers, tiers.set_up(up, lost, now_ns), now_ns)

    def _left(self, tiers: Tiers, gone: Collection[int], now_ns: int) -> dict[int, int]:
        """What is left to open look-ups when these pinned blocks are gone."""
        left: dict[int, int] = {}
        if not gone:
            return left
        for request_id, (blocks, tenant, num_tokens, found, _) in self._open.items():
            keys = keys_of_blocks(tenant, blocks[:found])
            kept = next((index for index, key in enumerate(keys) if key in gone), found)
            if kept < found:
                tiers.unpin([key for key in keys[kept:] if key not in gone], now_ns)
                self._open[request_id] = (blocks, tenant, num_tokens, kept, None)
                left[request_id] = min(kept * self._block_tokens, num_tokens)
        return left

    @property
    def handlers(self) -> Mapping[type, Callable[[int, Any], Outputs]]:
        """What it takes of messages about sessions: nothing, as least recently used does not ask for them."""
        return {}

    def policy_report(self, address: str) -> Sequence[Message]:
        """What a policy has done that is not least recently used."""
        return ()

    @property
    def num_open(self) -> int:
        """Look-ups that were neither stored nor released."""
        return len(self._open)

    def held_tokens(self) -> tuple[int, int]:
        """Tokens that the blocks in DRAM and on SSD take, all servers together."""
        if self._tiers is None:
            return self._tree.used_tokens, 0
        return self._tiers.dram.used_tokens, self._tiers.ssd.used_tokens
