"""The run of steps that an instance is in where the length of each is known by itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workers.decode.expected_tokens import ExpectedTokens
from workers.decode.step_run import PS_PER_NS, StepRun

Ints = npt.NDArray[np.int64]


class SampledRun(StepRun):
    """As a `StepRun`, of steps that need not grow evenly; `accepted_over` sums the KV tokens that each reads."""

    def __init__(self, expected: ExpectedTokens) -> None:
        super().__init__(expected)
        self._ends_ps = self._read = np.zeros(1, np.int64)
        self._last_ps = 0

    @property
    def last_ps(self) -> int:
        """Length of the last step before `step`."""
        return self._last_ps

    def begin_steps(self, lengths_ps: Ints, kv_tokens: Ints) -> None:
        """Run steps of these lengths, each of which reads so many tokens of KV; shape (num_steps,), the latter may be
        longer."""
        self._ends_ps = lengths_ps.cumsum()
        self._read = kv_tokens.cumsum()
        self.first_ps = int(self._ends_ps[0])
        self.aim(len(lengths_ps))

    def aim(self, num_steps: int) -> None:
        """Let it end after so many steps, at least one."""
        self.num_steps = num_steps
        self.accepted_over = int(self._read[num_steps - 1])
        self.end_ps = self.clock_ps + int(self._ends_ps[num_steps - 1])

    def steps_until(self, target_ns: int) -> int:
        """The smallest number of steps, at least one and at most all, after which it is `target_ns` or later."""
        target_ps, num_steps = target_ns * PS_PER_NS - self.clock_ps, self.num_steps
        if self.first_ps >= target_ps:
            return 1
        if int(self._ends_ps[num_steps - 1]) < target_ps:
            return num_steps
        return 1 + int(self._ends_ps[:num_steps].searchsorted(target_ps))

    def end(self) -> None:
        """All of its steps have run."""
        num_steps, ends_ps = self.num_steps, self._ends_ps
        before_ps = int(ends_ps[num_steps - 2]) if num_steps > 1 else 0
        self._last_ps = int(ends_ps[num_steps - 1]) - before_ps
        self.step += num_steps
        self.clock_ps = self.end_ps
        self.num_steps = 0
