"""The configuration of a prefill instance: its size, and what it tells."""

from __future__ import annotations

from msgspec import Struct


class PrefillConfig(Struct, frozen=True):
    """`token_budget` bounds the computed tokens of one pass of the whole instance, `kv_blocks` its KV memory.

    `budget_w` is the power budget that it begins with, if it keeps one. `names_next`: it names the prompts that are
    next, so that more of what is cached of them can be fetched meanwhile.
    """

    token_budget: int
    kv_blocks: int
    budget_w: int = 0
    names_next: bool = False
