"""The time of decode steps: the slowest die of each step, summed over runs of steps in closed form."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

import numpy as np

from workers.growth import Growth

PS_PER_NS: Final = 1000


@dataclass(slots=True)
class StepSpan:
    """A run of steps from `step` on in which one die is the slowest throughout.

    Step i of the run lasts `offset_ps + slope_ps * G(step + i)` picoseconds.
    """

    step: Final[int]
    num_steps: Final[int]
    offset_ps: Final[int]
    slope_ps: Final[int]
    growth_before: Final[int]

    def grown(self, growth: Growth, num_steps: int) -> int:
        """Sum of G over the first `num_steps` steps."""
        return growth.sum_before(self.step + num_steps) - self.growth_before

    def length_ps(self, growth: Growth, num_steps: int) -> int:
        """Length of the first `num_steps` steps together."""
        return self.offset_ps * num_steps + self.slope_ps * self.grown(growth, num_steps)

    def steps_until(self, growth: Growth, target_ps: int) -> int:
        """The smallest number of steps, at least one and at most the whole run, that lasts `target_ps` or more."""
        if self.num_steps == 1:
            return 1
        first_ps = self.length_ps(growth, 1)
        if first_ps >= target_ps:
            return 1
        # Steps only get longer, so this is too many rather than too few, and in a short run seldom by more than one.
        steps = min(-(-target_ps // first_ps), self.num_steps)
        if self.length_ps(growth, steps - 1) < target_ps:
            return steps
        counts = range(1, steps)
        return 1 + bisect_left(counts, target_ps, key=lambda count: self.length_ps(growth, count))


class StepLines:
    """One line per die: with G tokens grown, a die's step lasts `offset[die] + slope[die] * G` picoseconds.

    A sequence adds its line once when it joins and takes it away when it leaves, so nothing is updated per step and
    nothing drifts. The step of the instance is that of its slowest die, since expert parallelism synchronises all
    ranks in every layer.
    """

    def __init__(self, num_dies: int, fixed_ps: int, sequence_ps: int, kv_ps: int, growth: Growth) -> None:
        self._offset = np.full(num_dies, fixed_ps, dtype=np.int64)
        self._slope = np.zeros(num_dies, dtype=np.int64)
        # Scratch space: in-place arithmetic on arrays costs half of what it does with new ones and Python numbers.
        self._line = np.zeros(num_dies, dtype=np.int64)
        self._grown = np.zeros((), dtype=np.int64)
        # Memory views read and write plain Python integers, which a numpy scalar would not be.
        self._offset_view = memoryview(self._offset.data)
        self._slope_view = memoryview(self._slope.data)
        self._sequence_ps = sequence_ps
        self._kv_ps = kv_ps
        self._growth = growth

    def add(self, die: int, base_tokens: int) -> None:
        """A sequence joins; it will hold `base_tokens + G` tokens of KV."""
        self._offset_view[die] += self._sequence_ps + self._kv_ps * base_tokens
        self._slope_view[die] += self._kv_ps

    def remove(self, die: int, base_tokens: int) -> None:
        """A sequence leaves."""
        self._offset_view[die] -= self._sequence_ps + self._kv_ps * base_tokens
        self._slope_view[die] -= self._kv_ps

    def _slowest(self, grown: int) -> int:
        """The die whose step is longest when G is `grown`; the lowest index on a tie."""
        line = self._line
        self._grown[()] = grown
        np.multiply(self._slope, self._grown, out=line)
        np.add(line, self._offset, out=line)
        return int(line.argmax())

    def span(self, step: int, num_steps: int) -> StepSpan:
        """The longest run from `step` on, at most `num_steps`, that halving finds to have one slowest die.

        The slowest die follows the upper envelope of lines, which is convex in G: if the die that is slowest in the
        first step and the one in the last have the same slope, the envelope between them is one straight line.
        """
        growth = self._growth
        die = self._slowest(growth.at(step))
        slope = self._slope_view[die]
        # No line that is not steeper can overtake the slowest.
        if num_steps > 1 and slope < self._slope_view[int(self._slope.argmax())]:
            while num_steps > 1:
                slowest = self._slowest(growth.at(step + num_steps - 1))
                if self._slope_view[slowest] == slope:
                    break
                num_steps //= 2
        return StepSpan(step, num_steps, self._offset_view[die], slope, growth.sum_before(step))
