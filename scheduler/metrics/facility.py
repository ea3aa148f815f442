"""The place a fleet stands in: its NPUs by node and rack, what else draws power beside them, what all of it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct, field

from scheduler.metrics.columns import Floats

DAY_S: Final = 86_400.0


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
    pool_waiting_w: Mapping[str, float] = field(default_factory=dict[str, float])
    """`waiting_w` by the pool of a supernode, where their chips differ."""

    def waiting_w_in(self, pool: str) -> float:
        """One NPU, in the supernode of that pool, of an instance that has nothing to do."""
        return self.pool_waiting_w.get(pool, self.waiting_w)

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


class Places(Struct, frozen=True):
    """Numbers of the NPUs of each instance, in the order of instances; nodes take NPUs in turn, and racks nodes."""

    npus: tuple[range, ...]
    npus_per_node: int
    nodes_per_rack: int

    def by_node(self, joules: Sequence[float]) -> dict[str, float]:
        """Joules by number of a node, from those of each instance, spread evenly over its NPUs: all of them step
        together."""
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
