"""KV that is pinned while a tool runs."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.policies.caching import DEFAULT_SHARE, NS_PER_S, checked_share
from scheduler.policies.registry import cache_policy
from scheduler.protocol.cache_policy import CachedSession, CachePolicy


@cache_policy(
    "pin",
    formula="kept from a request's end to the session's next, at most limit_s, up to share of the cache; others lru",
    source="Continuum, arXiv 2511.02230: KV pinned while a tool runs",
)
@dataclass(slots=True)
class Pin(CachePolicy):
    """Blocks of an open session stay from its request's end to its next request, or until it is closed, for at most
    `limit_s`."""

    limit_s: float = 300.0
    share: float = DEFAULT_SHARE
    reads_sessions = True

    def __post_init__(self) -> None:
        checked_share(self.share)

    def keep_ns(self, session: CachedSession) -> int:
        """While it is idle."""
        return round(self.limit_s * NS_PER_S) if session.is_idle and session.fits(self.share) else 0
