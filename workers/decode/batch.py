"""The sequences that an instance runs: how many tokens each has, and the run of steps over them.

Here all of them grow alike, by the expected tokens of a step, so that nothing is kept of each but what it began with
and every question has a closed answer. `sampled_batch` has those that each accept their own number of drafts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_hw.instance.compiled_decode import StepForm
from workers.decode.expected_tokens import ExpectedTokens
from workers.decode.sequences import Sequence
from workers.decode.step_cost import StepCost
from workers.decode.step_run import StepRun

# Only an instance that keeps a power budget needs what does it.
if TYPE_CHECKING:
    from workers.decode.step_governor import StepGovernor


class Batch:
    """`num_running` sequences on so many dies; tokens are as of the boundary at which `run` begins, or the next run.

    `most_tokens` is what a step may bring to a sequence, so that much room must be there before it begins.
    """

    def __init__(self, num_dies: int, numerator: int, denominator: int) -> None:
        self.num_running: int = 0
        self.expected = ExpectedTokens(numerator, denominator)
        self.most_tokens = -(-numerator // denominator)
        self.run: StepRun = StepRun(self.expected)
        self._step_cost = StepCost(num_dies, self.expected)
        self._base_tokens = 0
        self._reported_accepted = 0

    @property
    def kv_tokens(self) -> int:
        """That all of them hold."""
        return self._base_tokens + self.num_running * self.run.accepted

    def use(self, form: StepForm) -> None:
        """Steps run in this form from now on."""
        self._step_cost.use(form)

    def add(self, sequence: Sequence, kv_tokens: int, produced: int) -> None:
        """It runs from the next step on, with so much KV and so many output tokens: note when it will finish."""
        accepted = self.run.accepted
        sequence.base_tokens = tokens = kv_tokens - accepted
        sequence.base_produced = produced - accepted
        sequence.finish_step = self.expected.first_step_reaching(accepted + sequence.output_tokens - produced)
        self.num_running += 1
        self._base_tokens += tokens
        self._step_cost.change(sequence.die, 1, tokens)

    def remove(self, sequence: Sequence) -> int:
        """It runs no longer; returns the output tokens that it has, of which it may have no use for the last."""
        base_tokens = sequence.base_tokens
        self.num_running -= 1
        self._base_tokens -= base_tokens
        self._step_cost.change(sequence.die, -1, -base_tokens)
        return sequence.base_produced + self.run.accepted

    def step_holding(self, sequence: Sequence, kv_tokens: int) -> int:
        """The first step after which it holds so many tokens of KV, or one at which it has finished."""
        return self.expected.first_step_reaching(kv_tokens - sequence.base_tokens)

    def plan(self, num_steps: int, governor: StepGovernor | None) -> None:
        """Run at most so many steps from here on."""
        run = self.run
        if governor is not None:
            num_steps = min(num_steps, governor.steps_ahead(run.step))
        num_steps, offset_ps, slope_ps = self._step_cost.span(run.step, run.accepted, num_steps)
        if governor is not None:
            offset_ps, slope_ps = governor.slowed(run.step, offset_ps, slope_ps, self.num_running, self._base_tokens)
        run.begin(num_steps, offset_ps, slope_ps)

    def next_step_ps(self) -> int:
        """How long the next step would last."""
        run = self.run
        _, offset_ps, slope_ps = self._step_cost.span(run.step, run.accepted, 1)
        return offset_ps + slope_ps * run.accepted

    def begin_step(self, length_ps: int) -> None:
        """Run one step of that length; where sequences run, `next_step_ps` has just been asked for."""
        self.run.begin(1, length_ps, 0)

    def end_run(self) -> int:
        """All steps of the run have run; returns the tokens of KV that were read, summed over them."""
        run = self.run
        read = self._base_tokens * run.num_steps + self.num_running * run.accepted_over
        run.end()
        return read

    def take_report(self) -> tuple[int, int, bytes]:
        """Of what was produced since the last report: what each has at least, what all together have beside, and what
        each has in all, as a column of the report; the latter two are nothing where they produce alike."""
        accepted = self.run.accepted
        tokens = accepted - self._reported_accepted
        self._reported_accepted = accepted
        return tokens, 0, b""
