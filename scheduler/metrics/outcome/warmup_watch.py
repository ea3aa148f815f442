"""The guest that sees a warm-up end, in runs that have one."""

from __future__ import annotations

from typing import Any

from scheduler.core.guest import Guest
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.warmup import Warmup
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import RequestsArrived


class WarmupWatch(Guest):
    """Has the collector note how it stood when the warm-up ended: when the first request after it arrives, or, where it
    is a time, before the first message from that time on. It is to be asked before the collector."""

    def __init__(self, collector: Collector, warmup: Warmup) -> None:
        self.hears = (RequestsArrived,) if warmup.num_requests else None
        self._collector = collector
        self._warmup = warmup
        self._has_ended = False

    def before(self, now_ns: int, message: Any) -> Outputs:
        """Look whether this message is the first of what is counted."""
        if self._has_ended:
            return NOTHING
        num_requests, warmup = self._collector.table.num_requests, self._warmup
        if warmup.num_requests:
            self._has_ended = num_requests + len(message.prompt_tokens) > warmup.num_requests
            at_ns, first = now_ns, warmup.num_requests
        else:
            self._has_ended = now_ns >= warmup.until_ns
            at_ns, first = warmup.until_ns, num_requests
        if self._has_ended:
            self._collector.note_warmup_end(at_ns, first)
        return NOTHING
