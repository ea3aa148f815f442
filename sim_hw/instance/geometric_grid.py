"""Functions of a load, tabulated on a grid that is equally fine everywhere in proportion."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import ceil, log2

NODES_PER_OCTAVE = 12
"""Between two nodes a load grows by 6 %; what bends between them is met within some 0.2 %."""


class GeometricGrid:
    """Rows of values at ascending loads; between two of them values are interpolated, beyond the last extrapolated.

    The nodes go from `first` to `last` or a little beyond, 0 < first < last. A row is computed when it is first asked
    for, since a run visits few of them. Rows are plain numbers: they are short, and instances ask for one at a time.
    """

    def __init__(
        self,
        function: Callable[[float], Sequence[float]],
        first: float,
        last: float,
        nodes_per_octave: int = NODES_PER_OCTAVE,
    ) -> None:
        num_steps = max(1, ceil(nodes_per_octave * log2(last / first)))
        self.loads = [first * 2.0 ** (step / nodes_per_octave) for step in range(num_steps + 1)]
        self._function = function
        self._rows: dict[int, tuple[float, ...]] = {}

    def at(self, load: float) -> list[float]:
        """The row at `load`, which is no lower than the first."""
        low_row, high_row, weight = self.around(load)
        return [low + weight * (high - low) for low, high in zip(low_row, high_row)]

    def around(self, load: float) -> tuple[tuple[float, ...], tuple[float, ...], float]:
        """The rows below and above `load`, and how far it is from the one to the other."""
        loads, rows = self.loads, self._rows
        upper = bisect_right(loads, load)
        if upper == len(loads):
            upper -= 1
        low_row = rows.get(upper - 1) or self._row(upper - 1)
        high_row = rows.get(upper) or self._row(upper)
        lower_load = loads[upper - 1]
        return low_row, high_row, (load - lower_load) / (loads[upper] - lower_load)

    def _row(self, node: int) -> tuple[float, ...]:
        row = self._rows[node] = tuple(map(float, self._function(self.loads[node])))
        return row
