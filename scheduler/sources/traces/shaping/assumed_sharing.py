"""Block ids for prompts that name none: what is assumed to be shared, where a trace does not say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from msgspec.structs import replace

from scheduler.protocol.errors import ConfigError
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.traces.options import AssumedSharing

ASSUMED_BLOCK_TOKENS: Final = 128
"""Tokens of a block unless the user says: fine enough for short prompts, and a block of the caches that there are."""

OWN_IDS: Final = 2**39
"""Blocks that a prompt has alone are numbered from here."""

GROUP_BLOCKS: Final = 2**17
"""Blocks of one group's text, at most: those of the longest prompt."""


def assume_shared(
    blocks: Iterator[ArrivalBlock], sharing: AssumedSharing, block_tokens: int, generator: np.random.Generator
) -> Iterator[ArrivalBlock]:
    """The same requests, each of one group, drawn evenly.

    The leading `share` of a prompt, in whole blocks, is the beginning of its group's text, which is the same for all of
    the group; all behind is its own. So two prompts of a group share what the shorter of them shares.
    """
    next_id = OWN_IDS
    for block in blocks:
        if any(block.prefixes):
            raise ConfigError("assume-shared is for traces without ids of blocks, and this one has some; leave it out")
        groups: list[int] = generator.integers(0, sharing.num_groups, len(block)).tolist()
        prefixes: list[list[int]] = []
        for group, prompt_tokens in zip(groups, block.prompt_tokens, strict=True):
            num_common = min(int(prompt_tokens * sharing.share) // block_tokens, GROUP_BLOCKS)
            num_own = -(-prompt_tokens // block_tokens) - num_common
            start = group * GROUP_BLOCKS
            prefixes.append([*range(start, start + num_common), *range(next_id, next_id + num_own)])
            next_id += num_own
        yield replace(block, prefixes=prefixes)
