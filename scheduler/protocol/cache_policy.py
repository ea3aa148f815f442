"""What a cache of prefix KV asks of its policy: who goes first, what an open session keeps, what comes back from SSD.

The base class is least recently used. A policy is told what a real one could know: sessions by number, times, sizes
and how long sessions have been away before; never how long an answer will be or a tool will take.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

NEVER_FETCHED: Final = -1
"""In place of a time after which something is fetched."""


class CacheUse(Struct, frozen=True, gc=False):
    """A chain of blocks that is being stored: of which session (`NO_SESSION` for none) and tenant, its tokens, and
    those of them that its look-up had found."""

    now_ns: int
    session: int
    tenant: int
    num_tokens: int
    cached_tokens: int


class CachedSession(Struct, frozen=True, gc=False):
    """An open session as a cache knows it.

    `is_idle`: none of its requests is open. `num_requests` have come so far, after `num_gaps` times in which it was
    idle, `mean_gap_ns` on average (0 without any). `kv_tokens`: what the blocks of its last turn take here.
    `kept_tokens` of `capacity_tokens` are kept for other sessions.
    """

    now_ns: int
    session: int
    is_idle: bool
    num_requests: int
    num_gaps: int
    mean_gap_ns: int
    kv_tokens: int
    kept_tokens: int
    capacity_tokens: int

    def fits(self, share: float) -> bool:
        """Whether no more than this share of the cache is kept with what this session has."""
        return self.kept_tokens + self.kv_tokens <= share * self.capacity_tokens


class CachePolicy:
    """Who chooses what a cache keeps; as it stands here the least recently used block goes first, and no more.

    `reads_sessions`: the cache is to be told of sessions; without, every use is of none, and only `rank` is asked.
    `expired_first`: blocks that only one session has used go first once its time has run out, or it has closed.
    `needs_ssd`: without SSD behind the cache it would do nothing.
    """

    reads_sessions: bool = False
    expired_first: bool = False
    needs_ssd: bool = False

    def rank(self, use: CacheUse) -> float:
        """Blocks of the lowest rank go first, among equals the least recently used. Of several uses a block has the
        highest rank, so that it stays as long as any block behind it."""
        return 0.0

    def keep_ns(self, session: CachedSession) -> int:
        """How long from now blocks of the session's last turn cannot be evicted, unless it comes back before; 0 for not
        at all. Asked when a request of it has been stored, and when it has become idle."""
        return 0

    def fetch_ns(self, session: CachedSession) -> int:
        """In how long what is only on SSD of an idle session is brought to DRAM; `NEVER_FETCHED` for not before it is
        read."""
        return NEVER_FETCHED

    @property
    def failures(self) -> tuple[int, str]:
        """How often code of a user's own failed, and the line on the first time."""
        return 0, ""
