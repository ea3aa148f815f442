"""A time-to-live for the KV of sessions."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.policies.caching import DEFAULT_SHARE, NS_PER_S, checked_share
from scheduler.policies.registry import cache_policy
from scheduler.protocol.cache_policy import CachedSession, CachePolicy


@cache_policy(
    "ttl",
    formula="kept until ttl after the session's last use, up to share of the cache; then first to go; others lru",
    source="Continuum, arXiv 2511.02230: time-to-live of KV between the calls of an agent",
)
@dataclass(slots=True)
class TimeToLive(CachePolicy):
    """Blocks of a session stay for `ttl` seconds after its last use of them, and are the first to go after that."""

    ttl: float = 60.0
    share: float = DEFAULT_SHARE
    reads_sessions = True
    expired_first = True

    def __post_init__(self) -> None:
        checked_share(self.share)

    def keep_ns(self, session: CachedSession) -> int:
        """From each use on."""
        return round(self.ttl * NS_PER_S) if session.fits(self.share) else 0
