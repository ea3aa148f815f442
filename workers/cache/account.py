"""The counters of a store: what was looked up, found, stored, evicted, lost and moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STAMP_SHIFT: Final = 16
"""A stamp of use is the time in nanoseconds shifted by this, and rises by at least one from use to use."""


@dataclass(slots=True)
class Account:
    """Tokens of prompts looked up and found (by the tier that they came from), of prompts whose store was asked for and
    of those blocks of them that were new, with new blocks of answers in both; blocks evicted from each tier, lost with
    their server and handed over (each tier for itself).

    `evicted_age_ns`: how long blocks had not been used when they left DRAM (or SSD, if there is no DRAM), summed up.
    """

    asked_tokens: int = 0
    dram_found_tokens: int = 0
    ssd_found_tokens: int = 0
    offered_tokens: int = 0
    stored_tokens: int = 0
    dram_evicted_blocks: int = 0
    ssd_evicted_blocks: int = 0
    evicted_age_ns: int = 0
    lost_blocks: int = 0
    moved_blocks: int = 0

    def note_evicted(self, num_blocks: int, last_use: int, now: int, *, is_dram: bool) -> None:
        """Blocks that left a tier, with stamps of their last use and of now."""
        if is_dram:
            self.dram_evicted_blocks += num_blocks
            # Stamps may run a little ahead of time, when much is used at one instant.
            if last_use < now:
                self.evicted_age_ns += num_blocks * ((now - last_use) >> STAMP_SHIFT)
        else:
            self.ssd_evicted_blocks += num_blocks
