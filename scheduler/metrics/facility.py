"""The place a fleet stands in: its NPUs by node and rack, what else draws power beside them, what all of it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct, field

from scheduler.metrics.columns import Floats

DAY_S: Final = 86_400.0


class RestingNpu(Struct, frozen=True):
    """What an NPU draws that does nothing: `waiting_w` with the model of its instance loaded, `idle_w` as nobody's."""

    waiting_w: float
    idle_w: float


class FacilityCurves(Struct, frozen=True):
    """Power of everything but the planned NPUs, as piecewise-linear functions of the power of all NPUs, in watts.

    `npu_w`: the knots, shape (num_knots,), rising. `part_w`: for each class of parts its watts at the knots, shape
    (num_knots,), none falling. `spare_npu_w` is drawn by NPUs outside the plan. `building_share` is PUE - 1, of all
    that is drawn at the feeds of the supernodes. `waiting_w`: one NPU of an instance that has nothing to do. `plane_w`,
    shaped like `part_w`, splits switches and optics by network. `plan_share`: of all `num_npus`, those in the plan.
    `idle_w`: one NPU that nobody has.
    """

    npu_w: Floats
    part_w: Mapping[str, Floats]
    spare_npu_w: float = 0.0
    building_share: float = 0.0
    waiting_w: float = 0.0
    plane_w: Mapping[str, Floats] = field(default_factory=dict[str, Floats])
    plan_share: float = 1.0
    idle_w: float = 0.0
    num_npus: int = 1
    resting: Mapping[str, RestingNpu] = field(default_factory=dict[str, "RestingNpu"])
    """`waiting_w` and `idle_w` by the pool of a supernode, where their chips differ."""

    def resting_in(self, pool: str) -> RestingNpu:
        """One NPU in the supernode of that pool."""
        return self.resting.get(pool) or RestingNpu(self.waiting_w, self.idle_w)

    def feed_w(self, npu_w: float) -> float:
        """Watts at the feeds of the supernodes while their NPUs, spare ones included, draw `npu_w`."""
        return npu_w + sum(float(np.interp(npu_w, self.npu_w, watts)) for watts in self.part_w.values())


ONLY_NPUS: Final = FacilityCurves(np.array([0.0, 1.0]), {})
"""Where nothing is known of what else draws power."""


class Prices(Struct, frozen=True):
    """What a system costs while it is there. `input_share` of what belongs to no role is the cost of input tokens.

    `bands`: pairs (second of the day from which it holds, dollars per joule at the meter), in order, the first from 0.
    """

    capital_usd_per_s: float = 0.0
    bands: Sequence[tuple[float, float]] = ((0.0, 0.0),)
    input_share: float = 0.5

    def usd_per_joule(self, second: float) -> float:
        """At the meter, so many seconds after a midnight."""
        second_of_day = second % DAY_S
        return next(price for from_s, price in reversed(self.bands) if from_s <= second_of_day)


FREE: Final = Prices()


def deal_npus(instances: Iterable[tuple[int, int]], first_npus: Sequence[int]) -> list[range]:
    """The numbers of the NPUs of each instance; an instance is given as (its supernode, how many NPUs it takes), and
    supernodes by the number of the first NPU of each."""
    dealt: list[range] = []
    first = list(first_npus)
    for supernode, num_npus in instances:
        begin = first[supernode]
        dealt.append(range(begin, begin + num_npus))
        first[supernode] += num_npus
    return dealt


class Ground(Struct, frozen=True):
    """Where a supernode stands: how many NPUs its nodes have and nodes its racks, and the number of the first of each,
    counted over all supernodes."""

    npus_per_node: int
    nodes_per_rack: int
    first_npu: int = 0
    first_node: int = 0
    first_rack: int = 0

    def node_of(self, npu: int) -> int:
        """The node of one of its NPUs."""
        return self.first_node + (npu - self.first_npu) // self.npus_per_node

    def rack_of(self, npu: int) -> int:
        """The rack of one of its NPUs."""
        return self.first_rack + (self.node_of(npu) - self.first_node) // self.nodes_per_rack


class Places(Struct, frozen=True):
    """Numbers of the NPUs of each instance and the ground they are on, in the order of instances."""

    npus: tuple[range, ...]
    grounds: tuple[Ground, ...]

    def by_node(self, joules: Sequence[float]) -> dict[str, float]:
        """Joules by number of a node, from those of each instance, spread evenly over its NPUs: all of them step
        together."""
        return self._by(Ground.node_of, joules)

    def by_rack(self, joules: Sequence[float]) -> dict[str, float]:
        """The same by number of a rack."""
        return self._by(Ground.rack_of, joules)

    def _by(self, place_of: Callable[[Ground, int], int], joules: Sequence[float]) -> dict[str, float]:
        # Of the NPUs of an instance, so many are in each place; those of a place lie side by side.
        stands = zip(self.npus, self.grounds, strict=True)
        counts = [Counter(place_of(ground, npu) for npu in npus) for npus, ground in stands]
        found = {str(place): 0.0 for place in sorted({place for count in counts for place in count})}
        for npus, count, of_instance in zip(self.npus, counts, joules, strict=True):
            for place, num_npus in count.items():
                found[str(place)] += of_instance * num_npus / len(npus)
        return found
