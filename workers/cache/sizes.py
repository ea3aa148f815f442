"""How much a store may hold, and what a block takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GRANULARITIES: Final = (128, 256)
"""Tokens of what can be allocated below a whole block; arXiv 2506.12708 tells of several, not of which."""


@dataclass(frozen=True, slots=True)
class StoreSizes:
    """Of a store of `num_servers` servers, each with so much DRAM and SSD for KV; a tier of 0 tokens is not there.

    `namespace_share`: the part of each tier of each server that one namespace may take. `given_tokens`: the tokens
    that one id of a prompt stands for, if not a block of the store.
    """

    num_servers: int
    dram_tokens: int
    block_tokens: int
    ssd_tokens: int = 0
    namespace_share: float = 1.0
    given_tokens: int = 0

    def quota_of(self, capacity_tokens: int) -> int:
        """What one namespace may take of a tier of that size."""
        return int(capacity_tokens * self.namespace_share)

    def allocated(self, num_tokens: int) -> int:
        """Tokens of the smallest granularity into which a block of so many fits."""
        for tokens in GRANULARITIES:
            if num_tokens <= tokens < self.block_tokens:
                return tokens
        return self.block_tokens

    def without_eviction(self) -> int:
        """Tokens that any server can hold before anything has to go; 0 also if there is no DRAM."""
        tokens = self.quota_of(self.dram_tokens)
        return min(tokens, self.quota_of(self.ssd_tokens)) if self.ssd_tokens else tokens
