"""How long a read from a cache pool may keep its requests: as long as computing what it brings would take.

The time is predicted from what a token has taken in all passes so far. A read that takes longer is given up by the
fabric and what it was to bring is computed. Until a read to that instance has ended in time, one at a time finds out
whether it would; the others are computed at once.
"""

from __future__ import annotations

from scheduler.core.fleet import Stage
from scheduler.core.transfers import CacheRead, Transfers
from scheduler.protocol.messages import PrefillStepped


class ReadLimits:
    """Learns from passes, and from reads that ended in time or did not."""

    def __init__(self, stage: Stage, transfers: Transfers) -> None:
        self.num_given_up = 0
        self._transfers = transfers
        self._num_npus = {instance.address: instance.num_npus for instance in stage.instances}
        # What all passes have taken so far, and the tokens computed in them.
        self._npu_ns = 0
        self._computed_tokens = 0
        self._slow: set[str] = set()

    def learn(self, message: PrefillStepped) -> None:
        """A pass has ended."""
        self._npu_ns += message.usage.busy_ns * self._num_npus[message.instance]
        self._computed_tokens += message.computed_tokens

    def allows(self, address: str) -> bool:
        """Whether to read anything to this instance now."""
        return address not in self._slow or not self._transfers.is_read_to(address)

    def give_up_ns(self, now_ns: int, address: str, num_tokens: int) -> int:
        """Until when a read of so many tokens may last; 0 for no limit, as long as no pass has ended."""
        if not self._computed_tokens:
            return 0
        num_npus = self._num_npus[address]
        compute_ns = num_tokens * self._npu_ns // (self._computed_tokens * num_npus)
        return now_ns + max(1, compute_ns)

    def ended(self, read: CacheRead) -> None:
        """All of it has arrived."""
        if self._slow:
            self._slow.discard(read.address)

    def given_up(self, read: CacheRead) -> None:
        """It took too long."""
        self._slow.add(read.address)
        self.num_given_up += 1

    def warnings(self) -> list[str]:
        """A line for a person, if any read was given up."""
        if not self.num_given_up:
            return []
        return [
            f"{self.num_given_up:,} reads of the cache took longer than computing would: what they were to bring was"
            " computed"
        ]
