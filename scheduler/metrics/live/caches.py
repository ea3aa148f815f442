"""What the cache pools have come to while a system lives, over all its sessions."""

from __future__ import annotations

from typing import Final

from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.live.snapshot import CACHE_TIERS, CachesSeen
from scheduler.protocol.messages import CacheReported

_COUNTED: Final[tuple[str, ...]] = (
    "lookup_tokens",
    "dram_hit_tokens",
    "ssd_hit_tokens",
    "offered_tokens",
    "stored_tokens",
    "dram_evicted_blocks",
    "ssd_evicted_blocks",
    "evicted_age_ns",
    "lost_blocks",
    "moved_blocks",
)
"""Fields of `CacheReported` that count since the pool began."""


class CacheTotals:
    """Told of each account of a pool; a session begins with pools that are empty, and unheard of."""

    def __init__(self) -> None:
        self._past: Final = dict.fromkeys(_COUNTED, 0)
        self._reports: Final[dict[str, CacheReported]] = {}

    def begin(self) -> None:
        """A session begins, with pools of its own."""
        for report in self._reports.values():
            self._keep(report)
        self._reports.clear()

    def on_reported(self, message: CacheReported) -> None:
        """A pool tells its account since it began; one that tells of less than before has begun anew."""
        before = self._reports.get(message.pool)
        if before is not None and message.lookup_tokens < before.lookup_tokens:
            self._keep(before)
        self._reports[message.pool] = message

    def _keep(self, ended: CacheReported) -> None:
        """Counters go on; what was held is gone."""
        for field in _COUNTED:
            self._past[field] += getattr(ended, field)

    def _sum(self, field: str) -> int:
        return self._past.get(field, 0) + sum(getattr(report, field) for report in self._reports.values())

    def _by_tier(self, field: str) -> tuple[int, ...]:
        return tuple(self._sum(f"{tier}_{field}") for tier in CACHE_TIERS)

    def seen(self) -> CachesSeen:
        """As it stands."""
        return CachesSeen(
            self._sum("num_servers"),
            self._by_tier("capacity_tokens"),
            self._by_tier("tokens"),
            self._sum("lookup_tokens"),
            self._by_tier("hit_tokens"),
            self._sum("offered_tokens"),
            self._sum("stored_tokens"),
            self._by_tier("evicted_blocks"),
            self._sum("evicted_age_ns") / NS_PER_S,
            self._sum("lost_blocks"),
            self._sum("moved_blocks"),
        )
