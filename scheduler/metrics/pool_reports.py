"""What cache pools report of themselves, added up over pools, and over the lives of pools that began anew."""

from __future__ import annotations

from typing import Final

from scheduler.protocol.messages import CacheReported

_COUNTED: Final[tuple[str, ...]] = (
    "asked_tokens",
    "dram_found_tokens",
    "ssd_found_tokens",
    "offered_tokens",
    "stored_tokens",
    "dram_evicted_blocks",
    "ssd_evicted_blocks",
    "evicted_age_ns",
    "lost_blocks",
    "moved_blocks",
)
"""Fields of `CacheReported` that count since the pool began; all others are of now."""


class PoolReports:
    """The last report of each pool. A pool reports its whole account since it began: one that tells of less than before
    has begun anew, and what its former life came to is kept."""

    def __init__(self) -> None:
        self._past: Final = dict.fromkeys(_COUNTED, 0)
        self._last: Final[dict[str, CacheReported]] = {}

    def add(self, report: CacheReported) -> None:
        """Take a report."""
        before = self._last.get(report.pool)
        if before is not None and report.asked_tokens < before.asked_tokens:
            self._keep(before)
        self._last[report.pool] = report

    def restart(self) -> None:
        """All pools begin anew, empty and unheard of: counters go on, what was held is gone."""
        for report in self._last.values():
            self._keep(report)
        self._last.clear()

    def _keep(self, ended: CacheReported) -> None:
        for field in _COUNTED:
            self._past[field] += getattr(ended, field)

    def sum(self, field: str) -> int:
        """Of one field of `CacheReported`, over all pools; of counts, past lives included."""
        return self._past.get(field, 0) + sum(getattr(report, field) for report in self._last.values())
