"""Energy of NPUs by the node and the rack in which they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def deal_npus(instances: Iterable[tuple[int, int]], npus_per_supernode: int) -> list[range]:
    """The numbers of the NPUs of each instance, in their order; an instance is its supernode and how many it takes."""
    dealt: list[range] = []
    first: dict[int, int] = {}
    for supernode, num_npus in instances:
        begin = first.get(supernode, supernode * npus_per_supernode)
        dealt.append(range(begin, begin + num_npus))
        first[supernode] = begin + num_npus
    return dealt


@dataclass(frozen=True, slots=True)
class Places:
    """Numbers of the NPUs of each instance, in their order; nodes take NPUs in turn, and racks nodes."""

    npus: tuple[range, ...]
    npus_per_node: int
    nodes_per_rack: int

    def by_node(self, joules: Sequence[float]) -> dict[str, float]:
        """Joules of each instance, spread over its NPUs alike, since all of them step together; by number of a node."""
        return self._by(self.npus_per_node, joules)

    def by_rack(self, joules: Sequence[float]) -> dict[str, float]:
        """The same by number of a rack."""
        return self._by(self.npus_per_node * self.nodes_per_rack, joules)

    def _by(self, num_npus: int, joules: Sequence[float]) -> dict[str, float]:
        places = sorted({npu // num_npus for npus in self.npus for npu in npus})
        found = {str(place): 0.0 for place in places}
        for npus, of_instance in zip(self.npus, joules, strict=True):
            for place in {npu // num_npus: None for npu in npus}:
                here = range(max(npus.start, place * num_npus), min(npus.stop, (place + 1) * num_npus))
                found[str(place)] += of_instance * len(here) / len(npus)
        return found
