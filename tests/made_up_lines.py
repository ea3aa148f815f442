"""Lines of a made-up supernode, for fabrics in tests: any rates, and a part by which each line can be broken."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sim_hw.network.lines import LineEnd

_PARTS = {
    LineEnd.UB_DIE: "l1/{}",
    LineEnd.UB_CPU: "ub/{}",
    LineEnd.RDMA_DIE: "leaf/{}",
    LineEnd.VPC_NODE: "spine/{}",
}
"""Names of parts that there are, so that their kinds can be told."""


def part_of(end: LineEnd, number: int) -> str:
    """The part that one line is lost with."""
    return _PARTS[end].format(number)


class MadeUpLines:
    """Rates by number of each end; a line whose part has failed carries nothing."""

    def __init__(self, rates: Mapping[LineEnd, Sequence[int]]) -> None:
        self._rates = rates
        self.parts = [part_of(end, number) for end, numbers in rates.items() for number in range(len(numbers))]

    def bytes_per_s(self, end: LineEnd, failed: Collection[str] = ()) -> NDArray[np.float64]:
        """Raises LookupError for an end or a part that is not there."""
        unknown = set(failed).difference(self.parts)
        if unknown:
            raise LookupError(f"no part {min(unknown)}")
        return np.array(
            [0.0 if part_of(end, number) in failed else rate for number, rate in enumerate(self._rates[end])]
        )
