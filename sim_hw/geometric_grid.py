"""Functions of a load, tabulated on a grid that is equally fine everywhere in proportion."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NODES_PER_OCTAVE = 12
"""Between two nodes a load grows by 6 %; what bends between them is met within some 0.2 %."""


@dataclass(frozen=True, slots=True)
class GeometricGrid:
    """Rows of values at ascending loads; between two of them values are interpolated, beyond the last extrapolated."""

    loads: list[float]
    values: NDArray[np.float64]
    """One row for each load."""

    def at(self, load: float) -> NDArray[np.float64]:
        """The row at `load`, which is no lower than the first."""
        upper = min(max(bisect_right(self.loads, load), 1), len(self.loads) - 1)
        lower_load, upper_load = self.loads[upper - 1], self.loads[upper]
        weight = (load - lower_load) / (upper_load - lower_load)
        lower = self.values[upper - 1]
        return lower + weight * (self.values[upper] - lower)


def tabulate(function: Callable[[float], Sequence[float]], first: float, last: float) -> GeometricGrid:
    """`function` of loads from `first` to `last` or a little beyond, 0 < first < last."""
    num_steps = max(1, int(np.ceil(NODES_PER_OCTAVE * np.log2(last / first))))
    loads = [first * 2.0 ** (step / NODES_PER_OCTAVE) for step in range(num_steps + 1)]
    return GeometricGrid(loads, np.array([function(load) for load in loads], dtype=np.float64))
