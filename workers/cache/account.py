"""What a store did, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Account:
    """Tokens of prompts looked up and found (by the tier that they came from), of prompts whose store was asked for and
    of those blocks of them that were new; blocks evicted from each tier, lost with their server and handed over (each
    tier for itself).

    `evicted_age_ns`: how long blocks had not been used when they left DRAM (or SSD, if there is no DRAM), summed up.
    """

    lookup_tokens: int = 0
    dram_hit_tokens: int = 0
    ssd_hit_tokens: int = 0
    offered_tokens: int = 0
    stored_tokens: int = 0
    dram_evicted_blocks: int = 0
    ssd_evicted_blocks: int = 0
    evicted_age_ns: int = 0
    lost_blocks: int = 0
    moved_blocks: int = 0

    def note_evicted(self, evicted: Sequence[tuple[int, int]], now_stamp: int, *, is_dram: bool) -> None:
        """Blocks that left a tier, with their stamps."""
        if is_dram:
            self.dram_evicted_blocks += len(evicted)
            # Stamps may run a little ahead of time, when much is used at one instant.
            for _, stamp in evicted:
                if stamp < now_stamp:
                    self.evicted_age_ns += (now_stamp - stamp) >> 16
        else:
            self.ssd_evicted_blocks += len(evicted)
