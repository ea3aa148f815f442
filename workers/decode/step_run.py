"""The run of decode steps that an instance is in: their count and their time, summed in closed form.

Why steps are not simulated one by one. Between two changes of membership nothing happens in a decode instance but
steps, thousands of them with long outputs, and each has an affine cost in G, the expected accepted tokens
(`step_cost`). The time of n steps from step s on is then

    sum of (offset + slope * G(s + i)) for i < n   =   offset * n  +  slope * (S(s + n) - S(s))

with S(s) = G(0) + ... + G(s - 1), which is closed too (`ExpectedTokens.sum_before`). A run costs the same few integer
operations whether it has two steps or two thousand, so the virtual clock pays for membership changes, not for tokens.

Why it is exact. Times are summed in integer picoseconds and rounded down to nanoseconds only where they are told. A
sum of integers does not depend on how it is split, so a run that is cut and goes on has the same step boundaries as
one that is not: reports may be grouped in any way, and the naive simulation that steps one by one agrees to the
nanosecond. A run is cut at the first boundary at or after the time of a message. As G does not fall and no slope is
negative, steps only get longer: a division by the first step's length bounds how many fit, and a bisection finds them.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from workers.decode.expected_tokens import ExpectedTokens

PS_PER_NS: Final = 1000


class StepRun:
    """`num_steps` steps from `step` on, none if the instance stands still.

    Step i of them lasts `offset_ps + slope_ps * G(step + i)` picoseconds. `accepted` is G(step), and `clock_ps` the
    time at which they begin.
    """

    def __init__(self, expected: ExpectedTokens) -> None:
        self.step = 0
        self.accepted = 0
        self.clock_ps = 0
        self.num_steps = 0
        self.offset_ps = 0
        self.slope_ps = 0
        self.first_ps = 0
        """Length of the first step."""
        self.end_ps = 0
        self.accepted_over = 0
        """Sum of G over the steps."""
        self._expected = expected
        self._sum_before = 0
        """Sum of G over all steps before `step`."""

    @property
    def last_ps(self) -> int:
        """Length of the last step before `step`, where that was of this run."""
        return self.offset_ps + self.slope_ps * self._expected.at(self.step - 1)

    def begin(self, num_steps: int, offset_ps: int, slope_ps: int) -> None:
        """Run so many steps of such lengths from here on."""
        self.offset_ps = offset_ps
        self.slope_ps = slope_ps
        self.first_ps = offset_ps + slope_ps * self.accepted
        self.aim(num_steps)

    def aim(self, num_steps: int) -> None:
        """Let it end after so many steps, at least one."""
        accepted_over = self._expected.sum_before(self.step + num_steps) - self._sum_before
        self.num_steps = num_steps
        self.accepted_over = accepted_over
        self.end_ps = self.clock_ps + self.offset_ps * num_steps + self.slope_ps * accepted_over

    def cut(self, target_ns: int) -> None:
        """End it at the first boundary at or after `target_ns`, if that is sooner than planned."""
        if self.num_steps > 1:
            steps = self.steps_until(target_ns)
            if steps < self.num_steps:
                self.aim(steps)

    def steps_until(self, target_ns: int) -> int:
        """The smallest number of steps, at least one and at most all, after which it is `target_ns` or later."""
        target_ps, first_ps = target_ns * PS_PER_NS - self.clock_ps, self.first_ps
        if first_ps >= target_ps:
            return 1
        # Steps only get longer, so this is too many rather than too few, and in a short run seldom by more than one.
        steps = min(-(-target_ps // first_ps), self.num_steps)
        if self._length_ps(steps - 1) < target_ps:
            return steps
        return 1 + bisect_left(range(1, steps), target_ps, key=self._length_ps)

    def _length_ps(self, num_steps: int) -> int:
        accepted_over = self._expected.sum_before(self.step + num_steps) - self._sum_before
        return self.offset_ps * num_steps + self.slope_ps * accepted_over

    def end(self) -> None:
        """All of its steps have run."""
        step = self.step = self.step + self.num_steps
        self.accepted = self._expected.at(step)
        self.clock_ps = self.end_ps
        self._sum_before += self.accepted_over
        self.num_steps = 0
