"""Whether every server still has room, without looking at each block as it comes."""

from __future__ import annotations

from itertools import chain
from typing import Final

import numpy as np

from workers.cache import ring
from workers.cache.sizes import StoreSizes
from workers.cache.tier import NAMESPACE_SHIFT


class Fill:
    """Counts what servers hold in batches: as long as all that came since the last count would fit in the fullest
    server, none can be over."""

    def __init__(self, sizes: StoreSizes) -> None:
        self._sizes: Final = sizes
        self._capacity_tokens: Final = sizes.without_eviction()
        self._block_tokens: Final = sizes.block_tokens
        self._owners = np.zeros(0, np.int64)
        self._used_tokens = np.zeros(sizes.num_servers, np.int64)
        self._slack_tokens = self._capacity_tokens
        self._added: list[tuple[int, list[int], int]] = []
        self._num_counted = 0

    def add(self, namespace: int, blocks: list[int], last_tokens: int) -> bool:
        """These are new, the last of them with so many tokens in it; whether all servers have room."""
        self._added.append((namespace, blocks, last_tokens))
        self._slack_tokens -= len(blocks) * self._block_tokens
        return self._slack_tokens >= 0 or self._count()

    def short_blocks(self) -> dict[int, int]:
        """Keys of all blocks that take less than a whole one, and what they take."""
        allocated, whole = self._sizes.allocated, self._block_tokens
        return {
            namespace << NAMESPACE_SHIFT | blocks[-1]: allocated(tokens)
            for namespace, blocks, tokens in self._added
            if allocated(tokens) < whole
        }

    def _count(self) -> bool:
        added = self._added[self._num_counted :]
        self._num_counted = len(self._added)
        lengths = [len(blocks) for _, blocks, _ in added]
        ids = np.fromiter(chain.from_iterable(blocks for _, blocks, _ in added), np.int64, sum(lengths))
        offsets = np.array([(namespace << NAMESPACE_SHIFT) % ring.NUM_SLOTS for namespace, _, _ in added])
        slots = (ids + np.repeat(offsets, lengths)) % ring.NUM_SLOTS
        tokens = np.full(len(ids), self._block_tokens, np.int64)
        tokens[np.cumsum(lengths) - 1] = [self._sizes.allocated(last_tokens) for _, _, last_tokens in added]
        num_servers = self._sizes.num_servers
        if not len(self._owners):
            self._owners = np.array(ring.owners(range(num_servers)))
        self._used_tokens += np.bincount(self._owners[slots], tokens, num_servers).astype(np.int64)
        self._slack_tokens = self._capacity_tokens - int(self._used_tokens.max())
        return self._slack_tokens >= 0
