"""Blocks of KV in the naive simulation."""

from __future__ import annotations

KV_BLOCK = 128


def blocks_for(tokens: int) -> int:
    """Blocks that hold so many tokens."""
    blocks = 0
    while blocks * KV_BLOCK < tokens:
        blocks += 1
    return blocks
