"""How long a read from a cache pool may keep its requests: as long as computing what it brings would take.

The time is predicted from what a token has taken in all passes so far. A read that takes longer is given up and what
it was to bring is computed. Until a read to that instance has ended in time, one at a time finds out whether it would;
the others are computed at once.
"""

from __future__ import annotations

from heapq import heappop, heappush

from scheduler.core.fleet import Stage
from scheduler.core.transfers import CacheRead
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import PrefillStepped


class ReadLimits:
    """`waiting`: reads with a limit that may not have ended yet, as a heap by when they are given up."""

    def __init__(self, stage: Stage) -> None:
        self.waiting: list[tuple[int, int, CacheRead]] = []
        self.num_given_up = 0
        self._num_npus = {instance.address: instance.num_npus for instance in stage.instances}
        # What all passes have taken so far, and the tokens computed in them.
        self._npu_ns = 0
        self._computed_tokens = 0
        self._num_begun = 0
        self._slow: set[str] = set()

    @property
    def deadline_ns(self) -> int:
        """When the next read is given up."""
        waiting = self.waiting
        while waiting and not waiting[0][2].open_flows:
            heappop(waiting)
        return waiting[0][0] if waiting else NEVER_NS

    def learn(self, message: PrefillStepped) -> None:
        """A pass has ended."""
        self._npu_ns += message.usage.busy_ns * self._num_npus[message.instance]
        self._computed_tokens += message.computed_tokens

    def allows(self, address: str) -> bool:
        """Whether to read anything to this instance now."""
        return address not in self._slow or not any(
            read.open_flows and read.address == address for _, _, read in self.waiting
        )

    def begin(self, now_ns: int, read: CacheRead) -> None:
        """A read begins; as long as no pass has ended, it has no limit."""
        if not self._computed_tokens:
            return
        num_npus = self._num_npus[read.address]
        compute_ns = sum(read.command.cached_tokens) * self._npu_ns // (self._computed_tokens * num_npus)
        heappush(self.waiting, (now_ns + max(1, compute_ns), self._num_begun, read))
        self._num_begun += 1

    def ended(self, read: CacheRead) -> None:
        """All of it has arrived."""
        if self._slow:
            self._slow.discard(read.address)

    def notes(self) -> list[str]:
        """A line for a person, if any read was given up."""
        if not self.num_given_up:
            return []
        return [
            f"{self.num_given_up:,} reads of the cache took longer than computing would: what they were to bring was"
            " computed"
        ]

    def take_overdue(self, now_ns: int) -> list[CacheRead]:
        """Reads to be given up now."""
        overdue: list[CacheRead] = []
        while self.deadline_ns <= now_ns:
            overdue.append(heappop(self.waiting)[2])
        self._slow.update(read.address for read in overdue)
        self.num_given_up += len(overdue)
        return overdue
