"""KV that is brought back from SSD before its session returns."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.policies.caching import NS_PER_S
from scheduler.policies.registry import cache_policy
from scheduler.protocol.cache_policy import CachedSession, CachePolicy


@cache_policy(
    "prefetch",
    formula="lru; from SSD to DRAM lead_s before the mean of the session's earlier gaps (gap_s without any) has passed",
    source="SGLang HiCache, design document: prefetch from storage to host memory ahead of prefill",
)
@dataclass(slots=True)
class Prefetch(CachePolicy):
    """What was written down to SSD is in DRAM when a session comes back as late as it did before, on average."""

    gap_s: float = 10.0
    lead_s: float = 1.0
    reads_sessions = True
    needs_ssd = True

    def fetch_ns(self, session: CachedSession) -> int:
        """As soon as it is idle, if it is not away for longer than the lead."""
        gap_ns = session.mean_gap_ns if session.num_gaps else round(self.gap_s * NS_PER_S)
        return max(0, gap_ns - round(self.lead_s * NS_PER_S))
