"""The time of decode steps: the slowest die of each step, summed over runs of steps in closed form."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from sim_hw.engine.compiled_decode import StepForm
from workers.growth import Growth

PS_PER_NS: Final = 1000

MAX_LINES: Final = 2
"""Lines of a form: attention, and what runs beside it."""


class DecodeCost(Protocol):
    """How long steps last."""

    def form(self, num_running: int, kv_tokens: int) -> StepForm:
        """From now on until membership changes, for so many sequences and tokens of KV on all dies together."""
        ...


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
    """At most two lines per die: with G tokens grown, a die's step lasts the longest of its lines at G.

    A sequence changes the lines of its die when it joins and when it leaves, so nothing is updated per step and nothing
    drifts; a form of another way changes those of all dies. The step of the instance is that of its slowest die, since
    expert parallelism synchronises all ranks in every layer.
    """

    def __init__(self, num_dies: int, growth: Growth) -> None:
        self._num_dies = num_dies
        self._growth = growth
        self._form: StepForm | None = None
        self._lines: list[tuple[list[int], int]] = []
        self._requests = np.zeros(num_dies, dtype=np.int64)
        self._base_tokens = np.zeros(num_dies, dtype=np.int64)
        # Line after line, each with an entry per die; without what a form adds to a whole line.
        self._offset = np.zeros(MAX_LINES * num_dies, dtype=np.int64)
        self._slope = np.zeros(MAX_LINES * num_dies, dtype=np.int64)
        # Scratch space: in-place arithmetic on arrays costs half of what it does with new ones and Python numbers.
        self._line = np.zeros(MAX_LINES * num_dies, dtype=np.int64)
        self._grown = np.zeros((), dtype=np.int64)
        # Memory views read and write plain Python integers, which a numpy scalar would not be.
        self._requests_view = memoryview(self._requests.data)
        self._base_tokens_view = memoryview(self._base_tokens.data)
        self._offset_view = memoryview(self._offset.data)
        self._slope_view = memoryview(self._slope.data)
        self._cut_to_lines(0)

    def use(self, form: StepForm) -> None:
        """Steps run in this form from now on."""
        if self._form is None or form.way != self._form.way:
            self._rebuild(form)
        self._form = form

    def add(self, die: int, base_tokens: int) -> None:
        """A sequence joins; it will hold `base_tokens + G` tokens of KV."""
        self._requests_view[die] += 1
        self._base_tokens_view[die] += base_tokens
        self._update(die)

    def remove(self, die: int, base_tokens: int) -> None:
        """A sequence leaves."""
        self._requests_view[die] -= 1
        self._base_tokens_view[die] -= base_tokens
        self._update(die)

    def _update(self, die: int) -> None:
        requests, tokens = self._requests_view[die], self._base_tokens_view[die]
        entry = die
        for base_ps, kv_ps in self._lines:
            self._offset_view[entry] = base_ps[requests] + kv_ps * tokens
            self._slope_view[entry] = kv_ps * requests
            entry += self._num_dies

    def _rebuild(self, form: StepForm) -> None:
        """Another way to run steps: other lines for all dies."""
        self._lines = [(line.base_ps.tolist(), line.kv_ps) for line in form.lines]
        self._cut_to_lines(len(form.lines))
        for index, line in enumerate(form.lines):
            entries = slice(index * self._num_dies, (index + 1) * self._num_dies)
            self._offset[entries] = line.base_ps[self._requests] + line.kv_ps * self._base_tokens
            self._slope[entries] = line.kv_ps * self._requests

    def _cut_to_lines(self, num_lines: int) -> None:
        """Views of as many lines as there are."""
        used = slice(num_lines * self._num_dies)
        self._used_offset, self._used_slope, self._used_line = self._offset[used], self._slope[used], self._line[used]
        self._line_parts = [
            self._line[index * self._num_dies : (index + 1) * self._num_dies] for index in range(num_lines)
        ]

    def _slowest(self, grown: int) -> int:
        """The entry whose step is longest when G is `grown`; the lowest index on a tie."""
        line = self._used_line
        self._grown[()] = grown
        np.multiply(self._used_slope, self._grown, out=line)
        np.add(line, self._used_offset, out=line)
        parts = self._line_parts
        first = int(parts[0].argmax())
        if len(parts) == 1:
            return first
        second = int(parts[1].argmax())
        assert self._form is not None
        first_line, second_line = self._form.lines
        if int(parts[1][second]) + second_line.constant_ps > int(parts[0][first]) + first_line.constant_ps:
            return self._num_dies + second
        return first

    def span(self, step: int, num_steps: int) -> StepSpan:
        """The longest run from `step` on, at most `num_steps`, that halving finds to have one slowest die and line.

        The slowest follows the upper envelope of lines, which is convex in G: if the line that is longest in the first
        step and the one in the last have the same slope, the envelope between them is one straight line.
        """
        growth = self._growth
        entry = self._slowest(growth.at(step))
        slope = self._slope_view[entry]
        # No line that is not steeper can overtake the slowest.
        if num_steps > 1 and slope < self._slope_view[int(self._used_slope.argmax())]:
            while num_steps > 1:
                slowest = self._slowest(growth.at(step + num_steps - 1))
                if self._slope_view[slowest] == slope:
                    break
                num_steps //= 2
        assert self._form is not None
        offset = self._offset_view[entry] + self._form.lines[entry // self._num_dies].constant_ps
        return StepSpan(step, num_steps, offset, slope, growth.sum_before(step))
