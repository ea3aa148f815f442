"""What a prefill instance keeps of a pass while it runs."""

from __future__ import annotations

from typing import Final


class Pass:
    """What one pass computes, and of whom.

    `started_ids`: their first chunk is in it; `started_cached`: cached tokens of each, where the instance looks them up
    itself, or was told of more than it was sent with, and `cached_tokens` of all of them. `last_chunk_ids`: their last
    chunk is in it; `stopping_ids`: those of them whose output ends with the token that it yields.
    """

    # No dataclass: the constructor of one stays Python where this module is compiled.
    __slots__ = (
        "cached_tokens",
        "last_chunk_ids",
        "pairs",
        "started_cached",
        "started_ids",
        "stopping_ids",
        "tokens",
    )

    def __init__(
        self,
        tokens: int,
        pairs: int,
        cached_tokens: int,
        started_ids: list[int],
        started_cached: list[int],
        last_chunk_ids: list[int],
        stopping_ids: list[int],
    ) -> None:
        self.tokens = tokens
        self.pairs = pairs
        self.cached_tokens = cached_tokens
        self.started_ids = started_ids
        self.started_cached = started_cached
        self.last_chunk_ids = last_chunk_ids
        self.stopping_ids = stopping_ids


NO_PASS: Final = Pass(0, 0, 0, [], [], [], [])
"""For an instance that stands still: nothing is ever added to it."""
