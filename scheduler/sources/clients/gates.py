"""How many requests are in flight: each client of a group is a place that is free, taken, or thinking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from scheduler.protocol.component import NEVER_NS
from scheduler.sources.clients.groups import ClientGroup

Place = tuple[int, int]
"""Since when a client is free, or will be, and the key of its last request, `NO_REQUEST` before its first."""

NO_REQUEST: Final = -1


class Gate:
    """The places of one group of clients, by when each is free.

    A place that is taken is none of them; it comes back when its request has ended and its client has thought. So at
    most as many requests of the group are in flight as it has clients, and as many as that while some are ready and
    nobody thinks. `think_ns` gives a time for each end, in the order of the ends.
    """

    def __init__(self, begin_ns: Sequence[int], think_ns: Iterator[int]) -> None:
        self._places: Final[list[Place]] = [(at_ns, -1) for at_ns in begin_ns]
        heapify(self._places)
        self._think_ns = think_ns

    @property
    def next_ns(self) -> int:
        """When a place is free; `NEVER_NS` if all are taken."""
        return self._places[0][0] if self._places else NEVER_NS

    def take(self) -> Place:
        """The place that was free first is taken."""
        return heappop(self._places)

    def give_back(self, ended_ns: int, *, key: int) -> None:
        """A request has ended."""
        heappush(self._places, (ended_ns + next(self._think_ns), key))


class OpenGate(Gate):
    """Of requests that come when they are ready, however many are in flight."""

    def __init__(self) -> None:
        super().__init__([0], iter(()))

    def take(self) -> Place:
        """There is always a place."""
        return self._places[0]

    def give_back(self, ended_ns: int, *, key: int) -> None:
        """No place was taken."""


Gates = dict[str, Gate]
"""By class; the one for all requests has an empty name."""


def make_gates(groups: Sequence[ClientGroup], think_ns: Sequence[Iterator[int]]) -> Gates:
    """Of groups with the think times of each; without groups, one that is always open."""
    if not groups:
        return {"": OpenGate()}
    return {group.class_name: Gate(group.begin_ns(), times) for group, times in zip(groups, think_ns, strict=True)}
