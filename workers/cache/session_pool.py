"""A cache pool with a policy of its own: it is told of sessions, and asks for what is to come from SSD."""

from __future__ import annotations

from scheduler.protocol.addresses import CACHE_ADDRESS, CORE_ADDRESS
from scheduler.protocol.cache_policy import CachePolicy
from scheduler.protocol.component import Outputs
from scheduler.protocol.messages import FetchSessions, Message, ReportUsage, RunEnded
from workers.cache.pool import CachePool
from workers.cache.session_store import SessionStore
from workers.cache.sizes import StoreSizes


class SessionPool(CachePool):
    """A `CachePool` with a timer: `deadline_ns` is when it asks for blocks of a session that is expected back."""

    # What it replies does not depend on what it asked for in between.
    backdates_replies = True

    def __init__(
        self, sizes: StoreSizes, policy: CachePolicy, reports_to: str = CORE_ADDRESS, address: str = CACHE_ADDRESS
    ) -> None:
        self._sessions = SessionStore(sizes, policy)
        super().__init__(sizes, reports_to, address, self._sessions)

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """As in `CachePool`, and what is said of sessions."""
        outputs = super().handle(now_ns, message)
        self.deadline_ns = self._sessions.fetch_due_ns
        return outputs

    def wake(self, now_ns: int) -> Outputs:
        """Sessions are expected back."""
        sessions, num_tokens = self._sessions.fetch(now_ns)
        self.deadline_ns = self._sessions.fetch_due_ns
        return [(self._reports_to, FetchSessions(self.address, sessions, num_tokens))] if sessions else ()

    def _on_report(self, now_ns: int, message: ReportUsage | RunEnded) -> Outputs:
        self._sessions.expire(now_ns)
        reports = self._sessions.policy_report(self.address)
        return [*super()._on_report(now_ns, message), *((self._reports_to, report) for report in reports)]
