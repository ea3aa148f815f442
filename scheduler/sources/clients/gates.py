"""How many requests are in flight: each client of a group is a place that is free, taken, or thinking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from scheduler.protocol.component import NEVER_NS
from scheduler.sources.clients.groups import ClientGroup


class Gate:
    """The places of one group of clients, by when each is free.

    A place that is taken is none of them; it comes back when its request has ended and its client has thought. So at
    most `count` requests of the group are in flight, and as many as that while some are ready and nobody thinks.
    """

    def __init__(self, group: ClientGroup, think_ns: Iterator[int]) -> None:
        self._free_ns: Final = group.begin_ns()
        heapify(self._free_ns)
        self._think_ns = think_ns

    @property
    def next_ns(self) -> int:
        """When a place is free; `NEVER_NS` if all are taken."""
        return self._free_ns[0] if self._free_ns else NEVER_NS

    def take(self) -> None:
        """The place that was free first is taken."""
        heappop(self._free_ns)

    def give_back(self, ended_ns: int) -> None:
        """A request has ended."""
        heappush(self._free_ns, ended_ns + next(self._think_ns))


class OpenGate(Gate):
    """Of requests that come when they are ready, however many are in flight."""

    def __init__(self) -> None:
        super().__init__(ClientGroup(1), iter(()))

    def take(self) -> None:
        """There is always a place."""

    def give_back(self, ended_ns: int) -> None:
        """No place was taken."""


Gates = dict[str, Gate]
"""By class; the one for all requests has an empty name."""


def make_gates(groups: Sequence[ClientGroup], think_ns: Sequence[Iterator[int]]) -> Gates:
    """Of groups with the think times of each; without groups, one that is always open."""
    if not groups:
        return {"": OpenGate()}
    return {group.class_name: Gate(group, times) for group, times in zip(groups, think_ns, strict=True)}
