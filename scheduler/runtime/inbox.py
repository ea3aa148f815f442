"""What has come to the control plane and is to be told to its components, each message not before it is due.

A host may run ahead of the wall by a lead, so that what it has to say is here when it falls due and not a hop later
(`workers.ray_shell.host_loop`). What it says of a time that has not come is *early*, and held until then: nobody here
can know what a real engine would not have done yet. What the same sender says after it is held as long, whatever it is
due, since it may rest on what was early. Nothing is held for longer than the lead: who is further ahead than that has a
clock that is off, as between two nodes, and waiting for it would make all that it says late.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.envelope import Item
from scheduler.protocol.errors import ClusterError
from scheduler.protocol.messages import CacheReported, UsageReported
from scheduler.runtime.hops import LatenessHistogram

MAX_INBOX_ITEMS: Final = 200_000
"""Messages received and not yet handled; beyond it the control plane is hopelessly behind."""


_ACCOUNTS: Final = (UsageReported, CacheReported)
"""What is answered to the question how they stand: sent as of an earlier time on purpose, and late for nobody."""


class Inbox:
    """`lead_ns`: emulated time by which hosts may be ahead. Times that are given to it never fall.

    How late messages of hosts are is counted in `lateness`: when they come in, and of those that were held, when they
    are let go.
    """

    def __init__(self, lateness: LatenessHistogram, lead_ns: int = 0) -> None:
        self._lateness: Final = lateness
        self._lead_ns: Final = lead_ns
        self._ready: list[Item] = []
        # (until when it is held, order of receipt, sender, item)
        self._early: list[tuple[int, int, str, Item]] = []
        self._until_ns: dict[str, int] = {}
        self._num_held = 0

    def __len__(self) -> int:
        return len(self._ready) + len(self._early)

    @property
    def next_ns(self) -> int:
        """When the first of those that are early may be told; `NEVER_NS` if there is none."""
        return self._early[0][0] if self._early else NEVER_NS

    def add(self, item: Item) -> None:
        """Said in this process: it is due."""
        self._ready.append(item)

    def receive(self, sender: str, items: Sequence[Item], now_ns: int) -> None:
        """What a sender says, in its order. A `ClusterError` if too much waits."""
        until_ns, most_ns = self._until_ns.get(sender, now_ns), now_ns + self._lead_ns
        for item in items:
            until_ns = min(max(until_ns, item[1]), most_ns)
            if until_ns > now_ns:
                self._num_held += 1
                heappush(self._early, (until_ns, self._num_held, sender, item))
            else:
                self._ready.append(item)
                self._count(item, now_ns)
        self._until_ns[sender] = until_ns
        if len(self) > MAX_INBOX_ITEMS:
            raise ClusterError(f"the control plane is too far behind: {len(self)} messages wait; take a lower --speed")

    def take(self, now_ns: int) -> list[Item]:
        """All that may be told now, by due time: what one host sent late must not push ahead the time of what another
        sent before."""
        items: list[Item] = []
        while self._early and self._early[0][0] <= now_ns:
            item = heappop(self._early)[-1]
            self._count(item, now_ns)
            items.append(item)
        items += self._ready
        self._ready = []
        items.sort(key=_due_ns)
        return items

    def forget(self, sender: str, now_ns: int) -> None:
        """It died: what it said of a time that has not come does not happen."""
        self._early = [one for one in self._early if one[2] != sender or one[0] <= now_ns]
        heapify(self._early)
        self._until_ns.pop(sender, None)

    def _count(self, item: Item, now_ns: int) -> None:
        if type(item[2]) not in _ACCOUNTS:
            self._lateness.add(now_ns - item[1])


def _due_ns(item: Item) -> int:
    return item[1]
