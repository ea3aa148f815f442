"""The sizes of a store: what it may hold, and what a block takes, in tokens of KV."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

GRANULARITIES: Final = (128, 256)
"""Tokens of what can be allocated below a whole block; arXiv 2506.12708 tells of several, not of which."""


class StoreSizes(Struct, frozen=True):
    """Of a store of `num_servers` servers, each with so much DRAM and SSD for KV; a tier of 0 tokens is not there.

    `tenant_share`: the part of each tier that one tenant may take. `given_tokens`: the tokens that one id of a
    prompt stands for, if not a block of the store.
    """

    num_servers: int
    dram_tokens: int
    block_tokens: int
    ssd_tokens: int = 0
    tenant_share: float = 1.0
    given_tokens: int = 0

    def quota_of(self, capacity_tokens: int) -> int:
        """What one tenant may take of a tier of that size, in tokens of KV."""
        return int(capacity_tokens * self.tenant_share) if self.tenant_share < 1 else capacity_tokens

    def allocated(self, num_tokens: int) -> int:
        """Tokens of the smallest granularity into which a block of so many fits."""
        for tokens in GRANULARITIES:
            if num_tokens <= tokens < self.block_tokens:
                return tokens
        return self.block_tokens

    def saved_by_last(self) -> list[int]:
        """What the last block of a prompt takes less than a whole one, by the rest of the prompt's tokens by the
        block's."""
        return [self.block_tokens - self.allocated(rest or self.block_tokens) for rest in range(self.block_tokens)]

    @property
    def is_one_list(self) -> bool:
        """Whether there is one order of eviction: DRAM alone, and no quotas."""
        return self.dram_tokens > 0 and not self.ssd_tokens and self.tenant_share >= 1
